"""Weights of the units as arrays: the right ones, each fetched once, under any dtype policy and kind of model."""

import keras
import numpy as np
import pytest

from keras_initkit.inspection.verdicts import judge_model
from keras_initkit.units import weights
from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.functions import value_and_slope
from keras_initkit.units.reading import UnitReader

L = keras.layers


def sequential(*layers, shape=(3,)):
    return keras.Sequential([keras.Input(shape), *layers])


def read_one(*layers, shape=(3,)):
    return UnitReader(sequential(*layers, shape=shape)).read().layers[0]


def test_a_dense_layer_is_read_with_its_bias_and_outgoing_weights():
    hidden, output = L.Dense(4, "relu", bias_initializer="normal", name="hidden"), L.Dense(2)
    units = read_one(hidden, output)
    assert units.layer == "hidden"
    assert units.activation == "relu"
    assert not units.noise
    assert not units.frozen
    np.testing.assert_array_equal(units.kernel, to_numpy(hidden.kernel))
    np.testing.assert_array_equal(units.bias, to_numpy(hidden.bias)[None])
    np.testing.assert_array_equal(units.outgoing, to_numpy(output.kernel).T)
    assert units.scales.shape == (0, 4)


def test_outgoing_weights_through_flatten_are_those_of_every_position_of_the_channel():
    output = L.Dense(2)
    units = read_one(L.Conv2D(4, 2, use_bias=False), L.Flatten(), output, shape=(3, 3, 1))
    rows = to_numpy(output.kernel).reshape(4, 4, 2)  # positions, channels, outputs
    assert units.outgoing.shape == (8, 4)
    for channel in range(4):
        np.testing.assert_array_equal(units.outgoing[:, channel], rows[:, channel].ravel())
    assert units.bias.shape == (0, 4)


def test_scales_are_those_of_the_units_and_moving_statistics_count_only_where_they_are_used():
    norm = L.BatchNormalization()
    model = sequential(L.Dense(4, "tanh"), norm, L.Dense(2))
    norm.gamma.assign([1.0, 2, 3, 4])
    norm.moving_mean.assign([5.0, 6, 7, 8])
    [units] = UnitReader(model).read().layers
    np.testing.assert_array_equal(units.scales, [[1, 2, 3, 4], [0, 0, 0, 0]])
    norm.trainable = False
    [units] = UnitReader(model).read().layers
    assert sorted(units.scales.tolist()) == [[0] * 4, [1] * 4, [1, 2, 3, 4], [5, 6, 7, 8]]
    assert read_one(L.Dense(4), L.LayerNormalization(center=False), L.Dense(2)).scales.shape == (1, 4)


def test_batch_normalization_right_behind_the_layer_cancels_its_bias():
    def bias(*between, activation=None):
        hidden = L.Dense(4, activation, bias_initializer="ones")
        return read_one(hidden, *between, L.Dense(2)).bias.tolist()

    frozen = L.BatchNormalization()
    frozen.trainable = False
    assert bias(L.BatchNormalization()) == []
    assert bias(frozen) == [[1] * 4]
    assert bias(L.ReLU(), L.BatchNormalization()) == [[1] * 4]
    assert bias(L.BatchNormalization(), activation="relu") == [[1] * 4]
    assert bias(L.LayerNormalization()) == [[1] * 4]
    # Behind dropout its statistics are not those of the bias: zeroed entries do not have it.
    assert bias(L.Dropout(0.1), L.BatchNormalization(), L.ReLU()) == [[1] * 4]


@pytest.mark.parametrize(
    ("layers", "name"),
    [
        ([L.Dense(4)], "linear"),
        ([L.Dense(4, "tanh")], "tanh"),
        ([L.Dense(4), L.Activation("gelu")], "gelu"),
        ([L.Dense(4), L.Dropout(0.1), L.ReLU()], "relu"),
        ([L.Dense(4), L.ReLU(negative_slope=0.1)], "leaky_relu"),
        ([L.Dense(4), L.LeakyReLU()], "leaky_relu"),
        ([L.Dense(4), L.ELU()], "elu"),
        ([L.Dense(4), L.ReLU(max_value=6)], None),
        ([L.Dense(4), L.ReLU(threshold=1.0)], None),
        ([L.Dense(4), L.Softmax()], None),
        ([L.Dense(4, lambda x: x * 2)], None),
        ([L.Dense(4, "tanh"), L.ReLU()], None),
        ([L.Dense(4, "tanh"), L.Activation("linear")], "tanh"),
    ],
)
def test_the_activation_is_the_only_one_on_the_way_to_the_readers(layers, name):
    assert read_one(*layers, L.Dense(2)).activation == name


def test_an_activation_on_one_of_two_ways_is_not_that_of_the_units():
    inputs = keras.Input((3,))
    x = L.Dense(4, name="hidden", kernel_initializer="zeros")(inputs)
    model = keras.Model(inputs, [L.Dense(2)(L.ReLU()(x)), L.Dense(2)(x)])
    [state] = judge_model(UnitReader(model), {}, False)
    assert state.units.activation is None
    assert state.dead == 0  # flat on one way, not on the other
    model = keras.Model(inputs, [L.Dense(2)(L.ReLU()(x)), L.Dense(2)(L.Activation("relu")(x))])
    assert UnitReader(model).read().layers[0].activation == "relu"


# Value and slope at a point, from the formulas; at a kink the flatter side.
AT_REST = {
    "linear": lambda b: (b, 1),
    "relu": lambda b: (max(b, 0), float(b > 0)),
    "tanh": lambda b: (np.tanh(b), 1 - np.tanh(b) ** 2),
    "sigmoid": lambda b: (1 / (1 + np.exp(-b)), np.exp(-b) / (1 + np.exp(-b)) ** 2),
    "leaky_relu": lambda b: (max(b, 0.2 * b), 1 if b > 0 else 0.2),
    "softplus": lambda b: (np.log1p(np.exp(b)), 1 / (1 + np.exp(-b))),
    "elu": lambda b: (b if b > 0 else np.expm1(b), 1 if b > 0 else np.exp(b)),
    "relu6": lambda b: (min(max(b, 0), 6), float(0 < b < 6)),
}


@pytest.mark.parametrize("activation", AT_REST)
def test_units_without_incoming_weights_are_dead_where_the_activation_is_flat(activation):
    biases = np.array([-0.7, 0.0, 0.7, 6.0, 0.7])
    kernel = np.zeros((3, 5))
    kernel[1, 4] = 0.1
    hidden = L.Dense(5, activation)
    model = sequential(hidden, L.Dense(2))
    hidden.set_weights([kernel, biases])
    expected = np.array([AT_REST[activation](b) for b in biases[:4]])
    if activation == "leaky_relu" and keras.backend.backend() == "jax":
        expected[1, 1] = 1  # JAX takes the steep side
    value, slope = value_and_slope(keras.activations.get(activation), biases[:4])
    np.testing.assert_allclose(value, expected[:, 0], atol=1e-6)
    np.testing.assert_allclose(slope, expected[:, 1], atol=1e-6)
    [state] = judge_model(UnitReader(model), {}, False)
    assert state.dead_units.tolist() == np.flatnonzero(expected[:, 1] == 0).tolist()


@pytest.mark.parametrize("units", [1, 4])
@pytest.mark.parametrize(
    "activation",
    [
        "softmax",
        "glu",
        keras.layers.Softmax(),
        lambda x: x / keras.ops.norm(x),
        lambda x: keras.ops.reshape(x, (-1, 4)),
        lambda x: x - keras.ops.mean(x, axis=0),
        lambda x: x * keras.ops.mean(x),
    ],
    ids=["softmax", "glu", "softmax layer", "norm", "fixed shape", "centred", "gated"],
)
def test_nothing_is_claimed_about_activations_that_mix_units(activation, units):
    value, slope = value_and_slope(keras.activations.get(activation), np.zeros(units))
    assert np.isnan([value, slope]).all()


def test_a_backend_without_gradients_has_the_flatter_side_by_differences(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    at = np.array([-1.0, 0, 1, 7])
    for name, slopes in {"relu": [0, 0, 1, 1], "tanh": [0.42, 1, 0.42, 0], "softmax": [np.nan] * 4}.items():
        _, found = value_and_slope(keras.activations.get(name), at)
        np.testing.assert_allclose(found, slopes, atol=1e-3)
        assert found[3] != 0  # nearly saturated is not flat


def beta(value):
    return L.BatchNormalization(beta_initializer=keras.initializers.Constant(value))


Z = {"kernel_initializer": "zeros"}
UNTRAINED = {
    "relu": [L.Dense(4, "relu", **Z)],
    "relu layer": [L.Dense(4, **Z), L.ReLU()],
    "relu with negative bias": [L.Dense(4, "relu", bias_initializer=keras.initializers.Constant(-0.1), **Z)],
    "relu before normalisation": [L.Dense(4, "relu", **Z), L.BatchNormalization()],
    "relu behind normalisation": [L.Dense(4, **Z), L.BatchNormalization(), L.ReLU()],
    "relu before tanh": [L.Dense(4, "relu", **Z), L.Activation("tanh")],
    "relu under normalisation with negative shift": [L.Dense(4, **Z), beta(-0.1), L.ReLU()],
}
TRAINED = {
    "tanh": [L.Dense(4, "tanh", **Z)],
    "relu with positive bias": [L.Dense(4, "relu", bias_initializer=keras.initializers.Constant(0.1), **Z)],
    "leaky relu": [L.Dense(4, **Z), L.LeakyReLU()],
    "relu under normalisation with positive shift": [L.Dense(4, **Z), beta(0.1), L.ReLU()],
    "tanh behind normalisation": [L.Dense(4, **Z), L.BatchNormalization(), L.Activation("tanh")],
    "softmax": [L.Dense(4, "softmax", **Z)],
    "softmax layer": [L.Dense(4, **Z), L.Softmax()],
}


# What the gradient is at a kink depends on the backend, and on the order in which it gets its arguments.
KINKS = {
    "maximum of z and 0": lambda z: keras.ops.maximum(z, 0.0),
    "maximum of 0 and z": lambda z: keras.ops.maximum(0.0, z),
    "clip": lambda z: keras.ops.clip(z, 0.0, 6.0),
    "where": lambda z: keras.ops.where(z >= 0, z, 0.0 * z),
    "abs": lambda z: keras.ops.abs(z),
    "square": lambda z: keras.ops.square(z),
    "cube": lambda z: z**3,
    "sign": lambda z: keras.ops.sign(z),
    "tanh_shrink": keras.activations.tanh_shrink,
    "soft_shrink": keras.activations.soft_shrink,
    "straight through": lambda z: z + keras.ops.stop_gradient(keras.ops.sign(z) - z),
}


@pytest.mark.parametrize("name", KINKS)
def test_units_of_zeros_are_called_dead_exactly_where_the_gradient_at_zero_is_zero(name):
    keras.utils.set_random_seed(0)
    model = sequential(L.Dense(4, KINKS[name], **Z), L.Dense(1, bias_initializer="ones"))
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    [state] = judge_model(UnitReader(model), {}, False)
    x = np.random.default_rng(0).standard_normal((8, 3)).astype("float32")
    for _ in range(2):
        model.train_on_batch(x, x[:, :1] ** 2)
    moved = bool(to_numpy(model.layers[0].kernel).any())
    assert (state.verdict, state.dead) == (("transient", 0) if moved else ("dead", 4))
    if name in ("square", "cube", "sign", "tanh_shrink", "soft_shrink", "straight through"):
        assert moved == (name == "straight through")  # on every backend


@pytest.mark.parametrize("name", [*UNTRAINED, *TRAINED])
def test_units_are_called_dead_exactly_where_training_does_not_move_them(name):
    keras.utils.set_random_seed(0)
    model = sequential(*(UNTRAINED.get(name) or TRAINED[name]), L.Dense(1, bias_initializer="ones"))
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    [state] = judge_model(UnitReader(model), {}, False)
    x = np.random.default_rng(0).standard_normal((8, 3)).astype("float32")
    for _ in range(2):
        model.train_on_batch(x, x[:, :1] ** 2)
    assert state.dead == (4 if name in UNTRAINED else 0)
    assert to_numpy(model.layers[0].kernel).any() == (name in TRAINED)


def test_a_shift_behind_the_activation_gives_units_of_zeros_a_value():
    keras.utils.set_random_seed(0)
    model = sequential(L.Dense(4, "tanh", **Z), beta(0.5), L.Dense(1, **Z))
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    assert judge_model(UnitReader(model), {}, False)[0].dead == 0
    x = np.random.default_rng(0).standard_normal((8, 3)).astype("float32")
    for _ in range(2):
        model.train_on_batch(x, x[:, :1] ** 2)
    assert to_numpy(model.layers[0].kernel).any()


def nested_model():
    block = sequential(L.Dense(3, name="one"), L.Dense(4, name="two"), shape=(3,))
    block.name = "block"
    return sequential(L.Dense(3, name="one"), block, L.Dense(2, name="out"))


def test_paths_of_nested_layers_have_the_names_of_the_models_around_them():
    reader = UnitReader(nested_model())
    assert reader.paths == ["one", "block/one", "block/two"]
    assert all(units.outgoing is not None for units in reader.read().layers)


@pytest.mark.parametrize(
    ("layers", "paths"),
    [
        (["block/two"], ["block/two"]),
        (["two"], ["block/two"]),
        (["one"], ["one", "block/one"]),
        (["two", "block/one"], ["block/one", "block/two"]),
        ([], []),
    ],
)
def test_layers_are_chosen_by_path_or_by_name(layers, paths):
    assert UnitReader(nested_model(), layers).paths == paths


@pytest.mark.parametrize("layer", ["block/tow", "out", None])
def test_an_unknown_layer_is_an_error_that_lists_the_known_ones(layer):
    with pytest.raises(
        ValueError, match="Expected `layers` to be one of 'one', 'block/one', 'block/two', 'two'"
    ) as error:
        UnitReader(nested_model(), [layer])
    assert ("Did you mean 'block/two'?" in str(error.value)) == (layer == "block/tow")


def test_the_output_layer_and_layers_without_units_are_not_read():
    assert UnitReader(sequential(L.Dense(2))).paths == []
    assert UnitReader(sequential(L.Flatten(), L.Dense(2), shape=(4, 3))).paths == []


class Subclassed(keras.Model):
    def __init__(self, activation="relu"):
        super().__init__()
        self.hidden = L.Dense(4, activation, name="hidden", kernel_initializer="zeros")
        self.out = L.Dense(2, name="out", kernel_initializer="zeros")

    def call(self, inputs):
        return self.out(self.hidden(inputs))


class Closed(Subclassed):
    """Needs real numbers, so that the way from layer to layer is not known."""

    def call(self, inputs):
        return super().call(inputs * float(keras.ops.convert_to_numpy(inputs).max()))


@pytest.mark.parametrize("make", [Subclassed, Closed])
def test_subclassed_models_are_read_with_outgoing_weights_where_they_can_be_opened(make):
    model = make()
    assert UnitReader(model).paths == []  # not built yet
    model(np.ones((1, 3), "float32"))
    reader = UnitReader(model)
    assert reader.opened == (make is Subclassed)
    [state] = judge_model(reader, {}, False)
    assert state.units.layer == "hidden"
    assert (state.units.outgoing is None) == (make is Closed)
    assert state.verdict == "dead"


def test_the_last_layer_of_a_model_that_cannot_be_opened_is_its_output_unless_it_is_named():
    class Nested(keras.Model):
        def __init__(self):
            super().__init__()
            self.body = Closed()
            self.head = sequential(L.Dense(3, name="one"), L.Dense(2, name="two"), L.Softmax(), shape=(2,))
            self.head.name = "head"
            self.scale = L.Rescaling(2.0)

        def call(self, inputs):
            return self.scale(self.head(self.body(inputs)))

    model = Nested()
    model(np.ones((1, 3), "float32"))
    body = model.body.name
    assert UnitReader(model).paths == [f"{body}/hidden", f"{body}/out", "head/one"]
    assert UnitReader(model, ["two", "hidden"]).paths == [f"{body}/hidden", "head/two"]
    [state] = judge_model(UnitReader(model.body, ["out"]), {}, False)
    assert state.verdict == "transient"
    if keras.backend.backend() != "jax":  # which refuses to put such a model into another
        around = keras.Sequential([model.body, L.Dense(2)])
        around(np.ones((1, 3), "float32"))
        assert UnitReader(around).paths == [f"{body}/hidden", f"{body}/out"]


def test_every_array_is_fetched_once_per_reading(monkeypatch):
    fetched = []

    def counting(variable):
        fetched.append(variable.path)
        return to_numpy(variable)

    monkeypatch.setattr(weights, "to_numpy", counting)
    inputs = keras.Input((3,))
    both = L.Concatenate()([L.Dense(3, "tanh", name="left")(inputs), L.Dense(3, "relu", name="right")(inputs)])
    x = L.Dense(4, name="third")(L.BatchNormalization(name="norm")(both))
    model = keras.Model(inputs, [L.Dense(2, name="out")(x), L.Dense(2, name="other")(x)])
    reader = UnitReader(model)
    assert fetched == []
    reader.read()
    assert len(fetched) == len(set(fetched))  # though two layers share the normalisation and the layer behind it
    assert set(fetched) == {v.path for v in model.trainable_variables}
    once = list(fetched)
    reader.read()
    assert fetched == once * 2


def test_arrays_are_copies_that_training_does_not_change():
    hidden = L.Dense(4, "relu")
    model = sequential(hidden, L.Dense(2))
    [units] = UnitReader(model).read().layers
    kept = units.kernel.copy()
    hidden.kernel.assign_add(hidden.kernel)
    np.testing.assert_array_equal(units.kernel, kept)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64"])
def test_every_dtype_policy_gives_arrays_that_numpy_computes_with(policy):
    if policy == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has no float64 unless it is told so before it starts")
    layers = L.Dense(4, dtype=policy), L.BatchNormalization(dtype=policy), L.ReLU(), L.Dense(2, dtype=policy)
    [state] = judge_model(UnitReader(sequential(*layers)), {}, False)
    units = state.units
    expected = np.float64 if policy == "float64" else np.float32
    assert {part.dtype for part in (units.kernel, units.bias, units.scales, units.outgoing)} == {np.dtype(expected)}
    assert state.verdict == "healthy"


def test_frozen_layers_are_marked():
    hidden = L.Dense(4)
    model = sequential(hidden, L.Dense(2))
    hidden.trainable = False
    assert UnitReader(model).read().layers[0].frozen


def test_the_weights_are_those_the_layer_computes_with_under_low_rank_adaptation():
    hidden = L.Dense(4, "relu")
    model = sequential(hidden, L.Dense(2))
    hidden.enable_lora(2)
    hidden.lora_kernel_b.assign(np.ones((2, 4)))
    [units] = UnitReader(model).read().layers
    np.testing.assert_array_equal(units.kernel, keras.ops.convert_to_numpy(hidden.kernel))
    assert not units.frozen
