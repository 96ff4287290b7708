"""inspect on layers that users write: weights of their own, random numbers, operations that are not understood."""

import keras
import numpy as np
import pytest

import keras_initkit as ik
from keras_initkit.units.arrays import to_numpy

L, ops = keras.layers, keras.ops


class FeedForward(L.Layer):
    """Two kernels of different widths, without layers inside."""

    def build(self, shape):
        self.wide = self.add_weight(shape=(shape[-1], 12), name="wide")
        self.narrow = self.add_weight(shape=(12, shape[-1]), name="narrow")
        self.built = True

    def call(self, x):
        return ops.matmul(ops.relu(ops.matmul(x, self.wide)), self.narrow)


class Sampling(L.Layer):
    """As in a variational autoencoder; also counts its calls in a variable."""

    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(1)
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs):
        mean, variance = inputs
        self.calls.assign(self.calls + 1)
        return mean + ops.exp(0.5 * variance) * keras.random.normal(ops.shape(mean), seed=self.generator)


class Gate(L.Layer):
    """Indexing with a new axis is not understood."""

    def build(self, shapes):
        self.gate = L.Dense(shapes[0][-1])
        self.gate.build(shapes[1])
        self.built = True

    def call(self, inputs):
        return inputs[0] * self.gate(inputs[1])[:, None]


class Standardised(L.Conv2D):
    """A layer of Keras with a `call` of its own."""

    def call(self, x):
        return ops.conv(x, self.kernel - ops.mean(self.kernel, axis=(0, 1, 2)))


def feed_forward():
    inputs = keras.Input((5, 6))
    return keras.Model(inputs, L.Dense(4)(FeedForward(name="ffn")(inputs)))


def autoencoder():
    inputs = keras.Input((9,))
    hidden = L.Dense(8, "relu")(inputs)
    latent = Sampling()([L.Dense(4, name="mean")(hidden), L.Dense(4)(hidden)])
    return keras.Model(inputs, L.Dense(9, name="decoder")(latent))


def gated():
    inputs, condition = keras.Input((5, 6)), keras.Input((5,))
    gate = Gate(name="gate")
    model = keras.Model([inputs, condition], L.Dense(3, name="out")(gate([L.Dense(8, name="h")(inputs), condition])))
    return model, gate


def in_pairs(variable, axis):
    values = to_numpy(variable)
    variable.assign(np.repeat(np.take(values, range(0, values.shape[axis], 2), axis), 2, axis))


def test_every_kernel_of_a_layer_is_judged_under_its_name_and_the_fix_works():
    keras.utils.set_random_seed(0)
    model = feed_forward()
    assert [(row["layer"], row["units"], row["verdict"]) for row in ik.inspect(model).rows] == [
        ("ffn/wide", 12, "healthy"),
        ("ffn/narrow", 6, "healthy"),
    ]
    layer = model.get_layer("ffn")
    in_pairs(layer.wide, 1)
    in_pairs(layer.narrow, 0)
    [finding] = ik.inspect(model).findings
    assert (finding.layer, finding.verdict, len(finding.units)) == ("ffn/wide", "locked", 12)
    exec(finding.fix, {"model": model, "keras": keras})
    assert ik.inspect(model).ok


def test_random_states_and_variables_that_a_call_assigns_are_not_touched():
    keras.utils.set_random_seed(0)
    model = autoencoder()
    before = [to_numpy(variable) for variable in model.variables]
    ik.inspect(model)
    ik.inspect(model, np.ones((4, 9), "float32"))
    for then, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(then, to_numpy(variable))


def test_units_that_random_numbers_of_the_user_separate_are_not_called_locked():
    keras.utils.set_random_seed(0)
    model = autoencoder()
    in_pairs(model.get_layer("mean").kernel, 1)
    in_pairs(model.get_layer("decoder").kernel, 0)
    inspection = ik.inspect(model)
    assert inspection.ok
    assert any("draws random numbers" in note for note in inspection.notes)


def test_units_that_meet_something_unknown_are_judged_by_gradients():
    keras.utils.set_random_seed(0)
    model, gate = gated()
    in_pairs(model.get_layer("h").kernel, 1)
    in_pairs(model.get_layer("out").kernel, 0)
    assert ik.inspect(model).ok  # the gates differ
    in_pairs(gate.gate.kernel, 1)
    found = {finding.layer: finding.verdict for finding in ik.inspect(model).findings}
    assert found["h"] == "locked"
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    rng = np.random.default_rng(0)
    data = [rng.standard_normal(shape).astype("float32") for shape in ((8, 5, 6), (8, 5), (8, 5, 3))]
    for _ in range(5):
        model.train_on_batch(data[:2], data[2])
    kernel = to_numpy(model.get_layer("h").kernel)
    np.testing.assert_allclose(kernel[:, ::2], kernel[:, 1::2], rtol=1e-4, atol=1e-6)


def test_layers_that_are_not_understood_are_named():
    layers = [L.Conv2D(4, 3), Standardised(4, 3, name="own"), L.Flatten(), L.Dense(2)]
    inspection = ik.inspect(keras.Sequential([keras.Input((8, 8, 3)), *layers]))
    assert "Not judged, since what their weights do is not known: own." in inspection.notes


def test_tokens_have_no_scale():
    keras.utils.set_random_seed(0)
    tokens, numbers = keras.Input((1,), dtype="int32"), keras.Input((4,))
    joined = L.Concatenate()([L.Flatten()(L.Embedding(100, 8)(tokens)), numbers])
    model = keras.Model([tokens, numbers], L.Dense(1)(L.Dense(16, "relu")(joined)))
    rng = np.random.default_rng(0)
    batch = [rng.integers(0, 100, (32, 1)), rng.standard_normal((32, 4)).astype("float32")]
    assert ik.inspect(model, batch).findings == ()


@pytest.mark.parametrize("trainable", [True, False])
def test_units_of_a_frozen_layer_that_give_nothing_are_no_finding(trainable):
    low = keras.initializers.Constant(-100.0)
    hidden = L.Dense(8, "relu", bias_initializer=low, trainable=trainable)
    model = keras.Sequential([keras.Input((6,)), hidden, L.Dense(3)])
    x = np.random.default_rng(0).standard_normal((32, 6)).astype("float32")
    assert ik.inspect(model, x).ok == (not trainable)
