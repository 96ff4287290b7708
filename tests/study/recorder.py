"""What `fit` and `evaluate` really see: a model that writes down every batch of its steps."""

import keras
import numpy as np


class Recorder(keras.Sequential):
    """One linear unit; `.trained` and `.tested` hold the batches `(x, y, sample_weight)` in NumPy."""

    def __init__(self, inputs=1, rate=0.0, **settings):
        super().__init__([keras.Input((inputs,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
        self.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=True, **settings)
        self.trained, self.tested = [], []

    def train_step(self, *arguments):  # JAX puts the state before the batch
        self.trained.append(_numpy(arguments[-1]))
        return super().train_step(*arguments)

    def test_step(self, *arguments):
        self.tested.append(_numpy(arguments[-1]))
        return super().test_step(*arguments)


def _numpy(batch):
    triple = keras.utils.unpack_x_y_sample_weight(batch)
    return tuple(keras.tree.map_structure(keras.ops.convert_to_numpy, p) if p is not None else None for p in triple)


def assert_same_batches(received, expected):
    """The same batches in the same order: sizes, values, and which parts there are."""
    received, expected = list(received), list(expected)
    assert len(received) == len(expected)
    for one, other in zip(received, expected, strict=True):
        assert [part is None for part in one] == [part is None for part in other]
        for a, b in zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True):
            if a is not None:
                np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
