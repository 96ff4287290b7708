import keras
import numpy as np
import pytest
from keras import layers as L

from keras_initkit.inspection.signal import first_not_finite, forward_signal

RNG = np.random.default_rng(0)
X = RNG.standard_normal((64, 6)).astype("float32")


def test_against_numpy_with_a_nested_model():
    inside = keras.Sequential([keras.Input((6,)), L.Dense(5, "tanh", name="dense"), L.Dropout(0.5)], name="block")
    inputs = keras.Input((6,))
    model = keras.Model(inputs, L.Dense(3, "softmax", name="out")(L.ReLU(name="relu")(inside(inputs))))
    (w, b, v, c) = (RNG.standard_normal(shape) for shape in ((6, 5), 5, (5, 3), 3))
    for variable, value in zip(model.trainable_variables, (w, b, v, c), strict=True):
        variable.assign(value)
    before = X @ w + b
    h = np.tanh(before)
    logits = np.maximum(h, 0) @ v + c
    expected = {"block/dense": (h, before), "block/dropout": (h, None), "relu": (np.maximum(h, 0), h)}
    out = np.exp(logits)
    expected["out"] = (out / out.sum(1, keepdims=True), logits)
    found = forward_signal(model, X)
    assert [path.replace(inside.layers[1].name, "dropout") for path in found] == list(expected)
    for signal, (values, pre_activation) in zip(found.values(), expected.values(), strict=True):
        assert signal.units == values.shape[1]
        assert signal.mean_square == pytest.approx((values**2).mean(), rel=1e-4)
        assert signal.std == pytest.approx(values.std(), rel=1e-4)
        rms = None if pre_activation is None else pytest.approx(np.sqrt((pre_activation**2).mean()), rel=1e-4)
        assert signal.pre_activation_rms == rms
        assert signal.not_finite == 0
        assert signal.constant_units == ()
    assert found["relu"].dead_units == ()
    assert found["block/dense"].dead_units is None
    assert found["block/dense"].saturated_values == pytest.approx((np.abs(h) > 0.99).mean(), abs=1e-9)
    assert found["out"].saturated_units is None


def test_dropout_acts_only_if_asked_for():
    model = keras.Sequential([keras.Input((6,)), L.Dropout(0.5)])
    [quiet], [noisy] = forward_signal(model, X).values(), forward_signal(model, X, noise=True).values()
    assert quiet.mean_square == pytest.approx((X**2).mean(), rel=1e-5)
    assert noisy.mean_square > 1.5 * quiet.mean_square


@pytest.mark.parametrize("separate", [False, True])
def test_dead_and_constant_units(separate):
    convolution = L.Conv1D(4, 1, activation=None if separate else "relu", name="conv")
    model = keras.Sequential([keras.Input((3, 2)), convolution, *([L.ReLU(name="relu")] if separate else [])])
    kernel = RNG.standard_normal((1, 2, 4))
    kernel[..., 1], kernel[..., 3] = 0, 0
    convolution.kernel.assign(kernel)
    convolution.bias.assign([0.0, 0.5, -1000.0, 0.0])
    signal = forward_signal(model, RNG.standard_normal((20, 3, 2)))["relu" if separate else "conv"]
    assert signal.dead_units == (2, 3)
    assert signal.constant_units == (1, 2, 3)
    assert (signal.dead, signal.constant, signal.saturated) == (0.5, 0.75, None)
    # One sample cannot tell what is constant.
    assert forward_signal(model, np.ones((1, 3, 2)))["conv"].constant is None


def test_constant_means_over_samples_not_over_positions():
    model = keras.Sequential([keras.Input((3, 2)), L.Dense(2, name="dense")])
    x = np.broadcast_to(np.arange(6.0).reshape(1, 3, 2), (8, 3, 2))
    signal = forward_signal(model, x)["dense"]
    assert signal.constant_units == (0, 1)
    assert signal.std > 0


@pytest.mark.parametrize(
    ("activation", "large", "bounded"),
    [("tanh", 3.0, True), ("sigmoid", 5.0, True), ("hard_sigmoid", 4.0, True), ("relu", 9.0, False)],
)
def test_saturated_units(activation, large, bounded):
    dense = L.Dense(3, activation, use_bias=False)
    model = keras.Sequential([keras.Input((1,)), dense])
    dense.kernel.assign([[-large, 0.1, 2 * large]])
    # The third unit is steep for one sample only, the second for both.
    signal = forward_signal(model, np.array([[1.0], [0.01]]))[dense.name]
    assert signal.saturated_units == (() if bounded else None)
    signal = forward_signal(model, np.array([[1.0], [-1.0]]))[dense.name]
    assert signal.saturated_units == ((0, 2) if bounded else None)
    assert signal.saturated_values == (pytest.approx(2 / 3) if bounded else None)


def test_an_activation_that_does_not_give_the_output_says_nothing_about_it():
    class Doubled(L.Dense):
        def call(self, x):
            return 2 * super().call(x)

    dense = Doubled(3, "tanh", kernel_initializer="ones")
    signal = forward_signal(keras.Sequential([keras.Input((6,)), dense]), X)[dense.name]
    assert signal.mean_square > 1
    assert (signal.saturated_units, signal.saturated_values, signal.pre_activation_rms) == (None, None, None)


def test_batch_statistics_are_those_of_training():
    model = keras.Sequential([keras.Input((6,)), L.BatchNormalization(epsilon=1e-6)])
    [training], [inference] = (
        forward_signal(model, 5 * X + 3).values(),
        forward_signal(model, X, training=False).values(),
    )
    assert training.std == pytest.approx(1, rel=1e-3)
    assert inference.mean_square == pytest.approx((X**2).mean(), rel=1e-4)
    assert not np.any(keras.ops.convert_to_numpy(model.layers[0].moving_mean.value))


def test_a_layer_that_is_used_twice_is_measured_over_both_calls():
    inputs, dense = keras.Input((6,)), L.Dense(6, "relu", name="dense")
    model = keras.Model(inputs, dense(dense(inputs)))
    first = np.maximum(X @ np.asarray(keras.ops.convert_to_numpy(dense.kernel.value)), 0)
    second = np.maximum(first @ np.asarray(keras.ops.convert_to_numpy(dense.kernel.value)), 0)
    signal, both = forward_signal(model, X)["dense"], np.stack([first, second])
    assert signal.mean_square == pytest.approx((both**2).mean(), rel=1e-4)
    assert signal.std == pytest.approx(both.std(), rel=1e-4)
    assert signal.dead_units == tuple(np.flatnonzero((both == 0).all((0, 1))))


def test_a_small_spread_around_a_large_mean_is_not_lost():
    model = keras.Sequential([keras.Input((6,)), L.Rescaling(1e-2, 100.0)])
    [signal] = forward_signal(model, X).values()
    assert signal.std == pytest.approx(0.01 * X.std(), rel=1e-2)


def test_the_first_layer_with_infinite_values_is_named():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.b, self.a, self.c = L.Dense(4, name="b"), L.Dense(4, name="a"), L.Dense(2, name="c")

        def call(self, x):
            return self.c(self.b(self.a(x)))

    model = Own()
    model(X)
    assert first_not_finite(forward_signal(model, X)) is None
    model.b.kernel.assign(np.full((4, 4), 3e38))
    signals = forward_signal(model, X)
    assert list(signals) == ["a", "b", "c"]
    assert first_not_finite(signals) == "b"
    assert signals["a"].not_finite == 0
    assert signals["b"].not_finite > 0


def test_models_of_many_kinds_of_layers():
    inputs = keras.Input((5, 8))
    attended = L.MultiHeadAttention(2, 4, name="attention")(inputs, inputs)
    sequence = L.Bidirectional(L.LSTM(3, return_sequences=True), name="both")(L.Add()([inputs, attended]))
    timed = L.TimeDistributed(L.Dense(2), name="timed")(L.GRU(4, return_sequences=True, name="gru")(sequence))
    model = keras.Model(inputs, L.Dense(2, activation=L.LeakyReLU(), name="out")(L.Flatten()(timed)))
    found = forward_signal(model, RNG.standard_normal((4, 5, 8)))
    assert {"attention", "both", "gru", "timed", "out"} <= set(found)
    assert found["gru"].units == 4
    assert found["gru"].pre_activation_rms is None
    assert found["out"].pre_activation_rms > 0
    assert all(np.isfinite([signal.mean_square, signal.std]).all() for signal in found.values())


def test_half_precision_and_channels_first():
    model = keras.Sequential([keras.Input((3, 4)), L.GlobalAveragePooling1D(data_format="channels_first", name="pool")])
    assert forward_signal(model, RNG.standard_normal((8, 3, 4)))["pool"].units == 3
    model = keras.Sequential([keras.Input((6,)), L.Dense(4, dtype="mixed_bfloat16", name="half")])
    assert forward_signal(model, X)["half"].std == pytest.approx(
        float(np.std(keras.ops.convert_to_numpy(keras.ops.cast(model(X), "float32")))), rel=1e-2
    )


def test_nothing_is_left_behind():
    model = keras.Sequential([keras.Input((6,)), L.Dense(4, "relu"), L.BatchNormalization(), L.Dense(2)])
    attributes = [set(vars(layer)) for layer in model.layers]
    before = np.asarray(keras.ops.convert_to_numpy(model(X)))
    forward_signal(model, X)
    assert [set(vars(layer)) for layer in model.layers] == attributes
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(X)), before)
    with pytest.raises(Exception, match=r"(?s)."):  # the text is Keras' own
        forward_signal(model, X[:, :2])
    assert [set(vars(layer)) for layer in model.layers] == attributes
