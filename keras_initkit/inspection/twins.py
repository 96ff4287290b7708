"""Twins: weight tensors that hold the same random values although they belong to different layers."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import is_custom_float
from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.paths import layer_paths

_FEWEST_VALUES = 4  # fewer may be equal by chance, as in half precision


@dataclass(frozen=True, eq=False)
class Twins:
    """Variables with equal values.

    Attributes:
        paths: paths of the layers that own them, in the order of the model.
        variables: names of the variables in these layers, e.g. `"kernel"`.
        owned: the variables themselves.
        arguments: names of the arguments by which each layer got its initializer, None where that is not known.
        origin: `"instance"` if the layers share one initializer, `"seed"` if their initializers have the same integer
            seed, `"copy"` if the values were made equal otherwise.
        seed: the seed, where that is the origin.
    """

    paths: tuple[str, ...]
    variables: tuple[str, ...]
    owned: tuple[Any, ...]
    arguments: tuple[str | None, ...]
    origin: str
    seed: int | None = None


@dataclass(frozen=True, eq=False)
class _Owned:
    path: str
    layer: Any
    variable: Any
    argument: str | None
    initializer: Any


def find_twins(model: Any) -> list[Twins]:
    """Find trainable weights of different variables that have equal values and are not constant.

    Tensors of at least two axes are compared that have the same shape; constants are no twins but a fault of their
    own, and what a deterministic initializer (identity, Dirac, Hadamard) gives is the same by intent.

    Args:
        model: a built model.
    """
    groups: dict[tuple[Any, ...], list[_Owned]] = {}
    for owned in _owned_variables(model):
        array = to_numpy(owned.variable)
        if _is_random(array) and not _is_deterministic(owned.initializer):
            groups.setdefault((array.shape, array.dtype.str, array.tobytes()), []).append(owned)
    return [_twins(group) for group in groups.values() if len(group) > 1]


def _owned_variables(model: Any) -> list[_Owned]:
    found, seen = [], set()
    for path, layer in layer_paths(model):
        for variable in layer._trainable_variables:
            if id(variable) not in seen and len(variable.shape) >= 2:
                seen.add(id(variable))
                argument = f"{variable.name}_initializer"
                if not hasattr(layer, argument):
                    argument = f"{variable.name.rpartition('_')[0]}_initializer"
                initializer = getattr(layer, argument, None)
                known = argument if initializer is not None else None
                found.append(_Owned(path, layer, variable, known, initializer))
    return found


def _is_random(array: NDArray[Any]) -> bool:
    if array.size < _FEWEST_VALUES or not (array.dtype.kind == "f" or is_custom_float(array.dtype)):
        return False
    values = array.astype(np.float32) if is_custom_float(array.dtype) else array
    return bool(np.isfinite(values).all()) and len(np.unique(values)) > 2  # constants, and patterns of zeros and ones


def _is_deterministic(initializer: Any) -> bool:
    return isinstance(initializer, keras.initializers.Initializer) and not hasattr(initializer, "seed")


def _twins(group: list[_Owned]) -> Twins:
    seeds = {getattr(owned.initializer, "seed", None) for owned in group if _has_plain_seed(owned.initializer)}
    origin, seed = "copy", None
    if len({id(owned.initializer) for owned in group}) == 1 and group[0].initializer is not None:
        origin = "instance"
    elif len(seeds) == 1 and all(_has_plain_seed(owned.initializer) for owned in group):
        origin, seed = "seed", seeds.pop()
    return Twins(
        tuple(owned.path for owned in group),
        tuple(owned.variable.name for owned in group),
        tuple(owned.variable for owned in group),
        tuple(owned.argument for owned in group),
        origin,
        seed,
    )


def _has_plain_seed(initializer: Any) -> bool:
    return isinstance(getattr(initializer, "seed", None), (int, np.integer))
