"""Models that have no weights before the first step, and what the running `fit` tells of them."""

import keras
import numpy as np
import pytest

import keras_initkit as ik
from keras_initkit.callbacks.running_fit import build_for_running_fit, running_batch_size
from keras_initkit.units.arrays import to_numpy

L = keras.layers
X = np.random.default_rng(0).normal(size=(24, 5)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = L.Dense(4, "relu", name="hidden")
        self.out = L.Dense(1, name="out")

    def call(self, inputs):
        x = inputs["a"] if isinstance(inputs, dict) else inputs
        return self.out(self.hidden(x))


def sequential():
    return keras.Sequential([L.Dense(4, "relu", name="hidden"), L.Dense(1, name="out")])


def trained(build, callbacks, x=X):
    keras.utils.set_random_seed(3)
    model = build()
    model.compile("sgd", "mse")
    model.fit(x, Y, batch_size=8, epochs=2, verbose=0, shuffle=False, callbacks=callbacks)
    return [to_numpy(weight) for weight in model.weights]


@pytest.mark.parametrize("build", [sequential, Subclassed])
@pytest.mark.parametrize("x", [X, {"a": X}], ids=["array", "dict"])
def test_epoch_0_is_measured_and_training_is_the_same(build, x):
    if build is sequential and isinstance(x, dict):
        x = X.astype("float64")
    monitor = ik.SymmetryMonitor()
    watched = trained(build, [monitor], x)
    assert sorted({row["epoch"] for row in monitor.rows}) == [0, 1, 2]
    for one, other in zip(watched, trained(build, [], x), strict=True):
        np.testing.assert_array_equal(one, other)


def test_generators_lose_no_batch():
    seen = []

    def batches():
        for start in (0, 8, 16):
            seen.append(start)
            yield X[start : start + 8], Y[start : start + 8]

    def fit(callbacks):
        keras.utils.set_random_seed(3)
        model = sequential()
        model.compile("sgd", "mse")
        model.fit(batches(), steps_per_epoch=3, epochs=1, verbose=0, shuffle=False, callbacks=callbacks)
        return [to_numpy(weight) for weight in model.weights]

    for one, other in zip(fit([ik.SymmetryMonitor()]), fit([]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert seen == [0, 8, 16] * 2


def test_the_batch_size_is_that_of_the_running_fit():
    sizes = []
    trained(sequential, [keras.callbacks.LambdaCallback(on_train_begin=lambda _: sizes.append(running_batch_size()))])
    assert sizes == [8]
    assert running_batch_size() is None


def test_outside_fit_a_model_without_weights_stays_as_it_is():
    model = sequential()
    assert not build_for_running_fit(model)
    assert not model.built
    model.build((None, 5))
    assert build_for_running_fit(model)
