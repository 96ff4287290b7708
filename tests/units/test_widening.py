"""Copies of units, as Net2Wider makes them: locked until something tells them apart."""

import keras
import numpy as np
import pytest

from keras_initkit.inspection.verdicts import judge_model
from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.reading import UnitReader
from tests.units.planting import randomise

L = keras.layers
X = np.random.default_rng(0).standard_normal((32, 6)).astype("float32")
Y = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], axis=1)


def widened(*, parts=(0.5, 0.5), noise=0.0, between=()):
    """Return a network of 8 hidden units, each of them in it twice, their outgoing weights in two parts."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), L.Dense(16, "tanh", name="wide"), *between, L.Dense(2)])
    randomise(model)
    first, last = model.layers[0], model.layers[-1]
    kernel, bias = (to_numpy(variable).copy() for variable in first.variables)
    rows = to_numpy(last.kernel).copy()
    kernel[:, 8:], bias[8:] = kernel[:, :8], bias[:8]
    rows[8:], rows[:8] = parts[1] * rows[:8], parts[0] * rows[:8]
    kernel[:, 8:] += noise * np.random.default_rng(1).standard_normal((6, 8))
    first.set_weights([kernel, bias])
    last.set_weights([rows, to_numpy(last.bias)])
    return model


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize(
    ("how", "locked"),
    [
        ({}, 16),
        ({"noise": 0.01}, 0),
        ({"parts": (1 / 3, 2 / 3)}, 0),
        ({"between": (L.Dropout(0.2),)}, 0),
        ({"between": (L.GaussianNoise(1.0),)}, 0),
        ({"between": (L.BatchNormalization(),)}, 16),
    ],
    ids=["copies", "noise", "unequal parts", "dropout", "noise in training", "normalised"],
)
def test_copies_of_units_stay_locked_unless_something_frees_them(how, locked, optimizer):
    model = widened(**how)
    if any(isinstance(layer, L.BatchNormalization) for layer in model.layers):
        for variable in model.layers[1].variables:
            variable.assign(keras.ops.ones(variable.shape))
    assert judge_model(UnitReader(model), {}, False)[0].locked == locked
    model.compile(optimizer, "mse", run_eagerly=True)
    for _ in range(20):
        model.train_on_batch(X, Y)
    kernel = to_numpy(model.layers[0].kernel)
    gap = np.abs(kernel[:, 8:] - kernel[:, :8]).max()
    assert gap < 1e-6 if locked else gap > 1e-5
