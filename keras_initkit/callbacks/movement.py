"""Whether training moved anything between two measurements."""

from typing import Any

import numpy as np

from keras_initkit.units.arrays import to_numpy


class Movement:
    """Compares the small weights of a model, biases and scales, with those seen before; all weights if it has none.

    Nothing moves where the learning rate is still zero, or where gradients are only collected.
    """

    def __init__(self, model: Any):
        """Remember the present weights."""
        self._watched = watched_variables(model)
        self._seen = [to_numpy(variable) for variable in self._watched]

    def since_last(self) -> bool:
        """Return whether any of the weights moved since the call before."""
        before, self._seen = self._seen, [to_numpy(variable) for variable in self._watched]
        return any(not np.array_equal(one, other) for one, other in zip(before, self._seen, strict=True))


def watched_variables(model: Any) -> list[Any]:
    """Return the variables that are compared: the small ones, or all if none is small."""
    trained = model.trainable_variables
    return [variable for variable in trained if len(variable.shape) <= 1] or list(trained)
