"""What is said about twins, and the change that tells them apart."""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.inspection.finding import Finding
from keras_initkit.inspection.gradients import Gradients
from keras_initkit.inspection.layer_code import layer_expression
from keras_initkit.inspection.twins import Twins

_ORIGIN = {
    "instance": "they were given one and the same initializer, which draws the same values at every call",
    "seed": "their initializers have the same integer seed ({seed})",
    "copy": "the values were copied, or loaded twice",
}
_MOST_NAMED = 6
# Sums over a batch are made in another order for every tensor.
_ROUNDING = 1e-5


def twin_finding(model: Any, twins: Twins, found: Gradients | None) -> Finding:
    """Return the finding for weights that hold equal values in different layers.

    Args:
        model: the model.
        twins: the weights.
        found: gradients of a batch with all noise; twins that get equal gradients stay equal. None if there are none.
    """
    names = [f"{path}.{variable}" for path, variable in zip(twins.paths, twins.variables, strict=True)]
    shown = ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
    cause = f"{len(names)} weight tensors have equal values ({shown}): {_ORIGIN[twins.origin].format(seed=twins.seed)}."
    locked = found is not None and _move_alike([found.of(variable) for variable in twins.owned])
    if locked:
        cause += " They get equal gradients as well, so they stay equal for ever."
    return Finding(
        layer=twins.paths[1],
        verdict="twins",
        severity="error" if locked else "warning",
        units=(),
        cause=cause,
        fix=_fix(model, twins),
        evidence={"tensors": names, "origin": twins.origin, "seed": twins.seed, "equal_gradients": locked},
    )


def _move_alike(arrays: list[NDArray[Any] | None]) -> bool:
    """Return whether some two tensors get the same gradient, other than zero."""
    known = [array for array in arrays if array is not None and array.any() and np.isfinite(array).all()]
    return any(
        float(np.abs(one - other).max()) <= _ROUNDING * float(np.abs(one).max())
        for one, other in itertools.combinations(known, 2)
    )


def _fix(model: Any, twins: Twins) -> str:
    argument = twins.arguments[1]
    if twins.origin == "instance" and argument is not None:
        return (
            f"{argument}=keras_initkit.initializers.Distinct(initializer)"
            "  # or an initializer of its own for every layer"
        )
    if twins.origin == "seed" and argument is not None:
        return (
            f"{argument}=keras_initkit.initializers.Distinct(initializer)"
            "  # other values at every call, the same in every run; or another seed for every layer"
        )
    target = f"{layer_expression(model, twins.paths[1])}.{twins.variables[1]}"
    return f'w = {target}; w.assign(keras.initializers.get("glorot_uniform")(w.shape))'
