"""The present numbers of a model's variables and of what its optimizer holds for them, each fetched once."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.units.arrays import to_numpy

# Lists under which Keras' optimizers keep what moves a weight even without a gradient.
_MOMENTUM = ("momentums", "_momentums", "_m", "_linears", "_accumulated_gradients")


# Adafactor keeps a mean for every row and every column of the last two axes; the axis that each of them lacks.
_LACKS = {"_r": -1, "_c": -2}


class Weights:
    """Fetches variables as NumPy arrays of at least float32.

    Args:
        optimizer: the optimizer whose slots are read along. Defaults to none.
    """

    def __init__(self, optimizer: Any = None):
        self._cache: dict[Any, NDArray[Any]] = {}
        self._slots: dict[int, list[_Slot]] = {}
        _find_slots(optimizer, self._slots)

    def value(self, layer: Any, name: str) -> NDArray[Any]:
        """Return what a layer has under this name, e.g. its `"kernel"`."""
        array = getattr(layer, name)
        # `kernel` may be computed anew at each access (LoRA), so it is cached by layer and name.
        return self._fetch(array, id(array) if isinstance(array, keras.Variable) else (id(layer), name))

    def slots(self, layer: Any, name: str) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
        """Return the optimizer's numbers for a variable: those that move it by themselves, and all others."""
        found: tuple[list[NDArray[Any]], list[NDArray[Any]]] = ([], [])
        if self._slots:
            variable = getattr(layer, name)
            for slot in self._slots.get(id(variable), []):
                array = self._fetch(slot.variable, id(slot.variable))
                if slot.lacks is not None:
                    array = np.broadcast_to(np.expand_dims(array, slot.lacks), tuple(variable.shape))
                found[not slot.moves].append(array)
        return found

    def is_trainable(self, layer: Any, name: str) -> bool:
        """Return whether training changes the variable."""
        variable = getattr(layer, name)
        if isinstance(variable, keras.Variable):
            return bool(variable.trainable)
        return bool(layer.trainable_variables)

    def _fetch(self, variable: Any, key: Any) -> NDArray[Any]:
        if key not in self._cache:
            array = to_numpy(variable)
            known = array.dtype in (np.dtype(np.float32), np.dtype(np.float64))
            self._cache[key] = array if known else array.astype(np.float32)
        return self._cache[key]


@dataclass(frozen=True, eq=False)
class _Slot:
    """A variable of an optimizer that belongs to one of the model: whether it moves it, and which axis it lacks."""

    variable: Any
    moves: bool
    lacks: int | None


def _find_slots(optimizer: Any, found: dict[int, list[_Slot]]) -> None:
    """Collect the slots of an optimizer, and of those inside of it, by the identity of the model's variables."""
    if optimizer is None or not optimizer.built:
        return
    for inner in [getattr(optimizer, "inner_optimizer", None), *getattr(optimizer, "_inner_optimizers", ())]:
        _find_slots(inner, found)
    trained = getattr(optimizer, "_trainable_variables", [])
    for name, slots in vars(optimizer).items():
        # The moving average of the weights plays no part in training.
        if name in ("_trainable_variables", "_model_variables_moving_average") or not isinstance(slots, list):
            continue
        if len(slots) != len(trained):
            continue
        lacks = _LACKS.get(name)
        for variable, slot in zip(trained, slots, strict=True):
            shape = list(variable.shape)
            if lacks is not None and len(shape) > 1:
                del shape[lacks]
            if isinstance(slot, keras.Variable) and list(slot.shape) == shape:
                found.setdefault(id(variable), []).append(_Slot(slot, name in _MOMENTUM, lacks))
