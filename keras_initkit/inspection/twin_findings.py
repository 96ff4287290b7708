"""What is said about twins, and the change that tells them apart."""

from typing import Any

from keras_initkit.inspection.finding import Finding
from keras_initkit.inspection.layer_code import layer_expression
from keras_initkit.inspection.twins import Twins

_ORIGIN = {
    "instance": "they were given one and the same initializer, which draws the same values at every call",
    "seed": "their initializers have the same integer seed ({seed})",
    "copy": "the values were copied, or loaded twice",
}
_MOST_NAMED = 6


def twin_finding(model: Any, twins: Twins) -> Finding:
    """Return the finding for weights that hold equal values in different layers."""
    names = [f"{path}.{variable}" for path, variable in zip(twins.paths, twins.variables, strict=True)]
    shown = ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
    origin = _ORIGIN[twins.origin].format(seed=twins.seed)
    return Finding(
        layer=twins.paths[1],
        verdict="twins",
        severity="warning",
        units=(),
        cause=f"{len(names)} weight tensors have equal values ({shown}): {origin}.",
        fix=_fix(model, twins),
        evidence={"tensors": names, "origin": twins.origin, "seed": twins.seed},
    )


def _fix(model: Any, twins: Twins) -> str:
    argument = twins.arguments[1]
    if twins.origin == "instance" and argument is not None:
        return (
            f"{argument}=keras_initkit.initializers.fresh_per_call(initializer)"
            "  # or an initializer of its own for every layer"
        )
    if twins.origin == "seed" and argument is not None:
        return (
            f"{argument}=keras_initkit.initializers.fresh_per_call(initializer)"
            "  # other values at every call, the same in every run; or another seed for every layer"
        )
    target = f"{layer_expression(model, twins.paths[1])}.{twins.variables[1]}"
    return f'w = {target}; w.assign(keras.initializers.get("glorot_uniform")(w.shape))'
