"""The present numbers of a model's variables and of what its optimizer holds for them, each fetched once."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.units.arrays import to_numpy

# Lists under which Keras' optimizers keep what moves a weight even without a gradient.
_MOMENTUM = ("momentums", "_momentums", "_m", "_linears", "_accumulated_gradients")


class Weights:
    """Fetches variables as NumPy arrays of at least float32.

    Args:
        optimizer: the optimizer whose slots are read along. Defaults to none.
    """

    def __init__(self, optimizer: Any = None):
        self._cache: dict[Any, NDArray[Any]] = {}
        self._slots = _slots_by_variable(optimizer)

    def value(self, layer: Any, name: str) -> NDArray[Any]:
        """Return what a layer has under this name, e.g. its `"kernel"`."""
        # `kernel` may be computed anew at each access (LoRA), so it is cached by layer and name.
        key = (id(layer), name)
        if key not in self._cache:
            self._cache[key] = _fetch(getattr(layer, name))
        return self._cache[key]

    def slots(self, layer: Any, name: str) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
        """Return the optimizer's numbers for a variable: those that move it by themselves, and all others."""
        variable = getattr(layer, name) if self._slots else None
        momentum, state = self._slots.get(id(variable), ([], []))
        return [_fetch(slot) for slot in momentum], [_fetch(slot) for slot in state]

    def is_trainable(self, layer: Any, name: str) -> bool:
        """Return whether training changes the variable."""
        variable = getattr(layer, name)
        if isinstance(variable, keras.Variable):
            return bool(variable.trainable)
        return bool(layer.trainable_variables)


def _slots_by_variable(optimizer: Any) -> dict[int, tuple[list[Any], list[Any]]]:
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if optimizer is None or not optimizer.built:
        return {}
    trained = optimizer._trainable_variables
    found: dict[int, tuple[list[Any], list[Any]]] = {}
    for name, slots in vars(optimizer).items():
        # The moving average of the weights plays no part in training.
        if name in ("_trainable_variables", "_model_variables_moving_average") or not isinstance(slots, list):
            continue
        if len(slots) != len(trained):
            continue
        for variable, slot in zip(trained, slots, strict=True):
            if isinstance(slot, keras.Variable) and tuple(slot.shape) == tuple(variable.shape):
                momentum, state = found.setdefault(id(variable), ([], []))
                (momentum if name in _MOMENTUM else state).append(slot)
    return found


def _fetch(variable: Any) -> NDArray[Any]:
    array = to_numpy(variable)
    return array if array.dtype in (np.dtype(np.float32), np.dtype(np.float64)) else array.astype(np.float32)
