"""Many trainings with one compiled model: tracing costs more than a hundred steps of a small net."""

import numpy as np

from keras_initkit.units.arrays import to_numpy


class Restarting:
    """A compiled model that can be started again from any weights, with an optimizer that remembers nothing.

    Args:
        model: a compiled Keras model.
    """

    def __init__(self, model):
        model.optimizer.build(model.trainable_variables)
        self.model = model
        self._fresh = [to_numpy(variable).copy() for variable in model.optimizer.variables]

    def start(self, weights):
        """Put weights into the model and return it."""
        self.model.set_weights([np.asarray(weight, "float32") for weight in weights])
        for variable, value in zip(self.model.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        return self.model
