"""The network of a model, against real training: two units that are the same in all of it must stay the same.

If the network lacked a reader, a scale, an offset or an order, the two would part; if it asked for too much, the pair
would not be found.
"""

import keras
import numpy as np
import pytest

from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.reading import UnitReader
from tests.units.planting import assign, classes, distance, plant, randomise, reader_of, train

L = keras.layers
ops = keras.ops


def chain(shape, *layers):
    inputs = keras.Input(shape)
    x = inputs
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def target(units=4, activation="tanh", **kwargs):
    return L.Dense(units, activation, name="target", **kwargs)


def conv_target(filters=4, **kwargs):
    return L.Conv2D(filters, 3, padding="same", activation="relu", name="target", **kwargs)


def functional(make, *shapes):
    inputs = [keras.Input(shape) for shape in shapes or [(6,)]]
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], make(*inputs))


def two_towers():
    layer, norm, reader = target(), L.BatchNormalization(), L.Dense(2)
    return functional(lambda a, b: [reader(norm(layer(a))), reader(norm(layer(b)))], (6,), (6,))


def two_towers_of_models():
    tower = keras.Sequential([keras.Input((6,)), target()], name="tower")
    head = keras.Sequential([keras.Input((4,)), L.Dense(2)], name="head")
    return functional(lambda a, b: [head(tower(a)), head(tower(b))], (6,), (6,))


def nested_functional():
    inner_input = keras.Input((6,))
    x = target()(inner_input)
    inner = keras.Model(inner_input, [L.Dense(3)(x), L.LayerNormalization()(x)], name="inner")
    return functional(lambda i: L.Dense(2)(L.Concatenate()(inner(i)[::-1])))


def nested_model_called_twice():
    block = keras.Sequential([keras.Input((6,)), target()], name="block")
    return functional(lambda a, b: [L.Dense(2)(block(a)), L.Dense(3)(block(b))], (6,), (6,))


def one_reader_of_two_layers():
    reader = L.Dense(2)
    return functional(lambda i: [reader(target()(i)), reader(L.Dense(4, "tanh")(i))])


def one_reader_of_two_orders():
    reader = L.Dense(2)

    def make(i):
        x, other = target()(i), L.Dense(4, "tanh")(i)
        return [reader(L.Concatenate()([x, other])), reader(L.Concatenate()([other, x]))]

    return functional(make)


def one_normalisation_of_two_layers():
    norm = L.BatchNormalization()
    return functional(lambda i: [L.Dense(2)(norm(target()(i))), L.Dense(2)(norm(L.Dense(4)(i)))])


def concatenated(position):
    def make(i):
        branches = [L.Dense(3)(i), L.Dense(5, "relu")(i)]
        branches.insert(position, target()(i))
        return L.Dense(2)(L.Concatenate()(branches))

    return functional(make)


UNDERSTOOD = {
    "dense": lambda: chain((6,), target(), L.Dense(2)),
    "dense on sequences": lambda: chain((5, 6), target(), L.Conv1D(2, 3), L.GlobalMaxPooling1D()),
    "activations": lambda: chain((6,), target(), L.Activation("gelu"), L.LeakyReLU(), L.ELU(), L.PReLU(), L.Dense(2)),
    "a function of the user": lambda: chain((6,), target(activation=lambda z: z * ops.tanh(z)), L.Dense(2)),
    "softmax": lambda: chain((6,), target(), L.Softmax(), L.Dense(2)),
    "conv": lambda: chain((6, 6, 3), conv_target(), L.Conv2D(2, 3)),
    "conv, pooling, flatten": lambda: chain((6, 6, 3), conv_target(), L.MaxPooling2D(), L.Flatten(), L.Dense(2)),
    "conv, global pooling": lambda: chain((6, 6, 3), conv_target(), L.GlobalAveragePooling2D(), L.Dense(2)),
    "conv, flatten, normalisation": lambda: chain(
        (4, 4, 3), conv_target(), L.Flatten(), L.BatchNormalization(), L.Dense(2)
    ),
    "conv, normalisation": lambda: chain((6, 6, 3), conv_target(), L.BatchNormalization(), L.ReLU(), L.Conv2D(2, 3)),
    "conv, resizing": lambda: chain(
        (4, 4, 3),
        conv_target(),
        L.ZeroPadding2D(),
        L.UpSampling2D(),
        L.Cropping2D(1),
        L.AveragePooling2D(2),
        L.Dense(2),
    ),
    "conv, reshape to sequence": lambda: chain((4, 4, 3), conv_target(), L.Reshape((16, 4)), L.Conv1D(2, 3)),
    "conv, reshape to wider features": lambda: chain((4, 4, 3), conv_target(), L.Reshape((4, 16)), L.Dense(2)),
    "conv, reshape to vector": lambda: chain((4, 4, 3), conv_target(), L.Reshape((64,)), L.Dense(2)),
    "conv with groups": lambda: chain((6, 6, 4), conv_target(groups=2), L.Conv2D(2, 3)),
    "reader with groups": lambda: chain((6, 6, 3), conv_target(), L.Conv2D(2, 3, groups=2)),
    "transposed": lambda: chain(
        (4, 4, 3), L.Conv2DTranspose(4, 3, name="target"), L.ReLU(6.0), L.Conv2DTranspose(2, 3, strides=2)
    ),
    "conv3d": lambda: chain((3, 3, 3, 2), L.Conv3D(4, 2, name="target"), L.Flatten(), L.Dense(2)),
    "layer normalisation": lambda: chain((6,), target(), L.LayerNormalization(), L.ELU(), L.Dense(2)),
    "group normalisation": lambda: chain((6,), target(), L.GroupNormalization(2), L.Dense(2)),
    "unit normalisation": lambda: chain((6,), target(), L.UnitNormalization(), L.Dense(2)),
    "repeated": lambda: chain((6,), target(), L.RepeatVector(3), L.Conv1D(2, 2)),
    "permuted": lambda: chain((2, 3, 6), target(), L.Permute((2, 1, 3)), L.Reshape((3, 8)), L.Dense(2)),
    "first of a concatenation": lambda: concatenated(0),
    "middle of a concatenation": lambda: concatenated(1),
    "last of a concatenation": lambda: concatenated(2),
    "twice in one concatenation": lambda: functional(
        lambda i: (x := target()(i), L.Dense(2)(L.Concatenate()([x, L.Dense(3)(i), x])))[1]
    ),
    "two ways into one concatenation": lambda: functional(
        lambda i: (
            x := target(activation=None)(i),
            L.Dense(2)(L.Concatenate()([L.ReLU()(x), L.Activation("tanh")(x)])),
        )[1]
    ),
    "concatenated along time": lambda: functional(
        lambda i: L.Dense(2)(L.Concatenate(axis=1)([target()(i), L.Dense(4)(i)])), (5, 6)
    ),
    "branches": lambda: functional(
        lambda i: (x := target()(i), [L.Dense(2)(x), L.Dense(3)(L.BatchNormalization()(x)), L.Dense(1)(L.Dense(3)(x))])[
            1
        ]
    ),
    "sum": lambda: functional(lambda i: L.Dense(2)(L.Add()([target()(i), L.Dense(4)(i)]))),
    "product": lambda: functional(lambda i: L.Dense(2)(L.Multiply()([target()(i), L.Dense(4, "sigmoid")(i)]))),
    "gate for all": lambda: functional(lambda i: L.Dense(2)(L.Multiply()([target()(i), L.Dense(1, "sigmoid")(i)]))),
    "difference": lambda: functional(lambda i: L.Dense(2)(L.Subtract()([target()(i), L.Dense(4)(i)]))),
    "average": lambda: functional(lambda i: L.Dense(2)(L.Average()([target()(i), L.Dense(4)(i)]))),
    "maximum": lambda: functional(lambda i: L.Dense(2)(L.Maximum()([target()(i), L.Dense(4)(i)]))),
    "two steps of a residual network": lambda: functional(
        lambda i: (
            x := target()(i),
            y := L.Add()([x, L.Dense(4)(L.Dense(3, "relu")(L.LayerNormalization()(x)))]),
            L.Dense(2)(L.Add()([y, L.Dense(4)(L.Dense(3, "relu")(L.LayerNormalization()(y)))])),
        )[2]
    ),
    "operations": lambda: functional(
        lambda i: L.Dense(2)(ops.sin(target()(i)) * 2.0 + ops.square(1.0 - L.Dense(4)(i)) / 3.0)
    ),
    "parts": lambda: functional(
        lambda i: (x := ops.split(target(8)(i), 2, axis=-1), L.Dense(2)(x[0] * ops.sigmoid(x[1])))[1]
    ),
    "mean over time": lambda: functional(lambda i: L.Dense(2)(ops.mean(target()(i), axis=1)), (5, 6)),
    "last step": lambda: functional(lambda i: L.Dense(2)(target()(i)[:, -1]), (5, 6)),
    "some features": lambda: functional(lambda i: L.Dense(2)(target()(i)[..., :3])),
    "penalty": lambda: chain((6,), target(activity_regularizer="l2"), L.ActivityRegularization(0.1, 0.1), L.Dense(2)),
    "two towers": two_towers,
    "two towers of models": two_towers_of_models,
    "nested functional": nested_functional,
    "nested twice": lambda: keras.Sequential(
        [
            keras.Input((6,)),
            keras.Sequential([keras.Input((6,)), keras.Sequential([keras.Input((6,)), target()]), L.ReLU()]),
            L.Dense(2),
        ]
    ),
    "reader in a nested model": lambda: chain(
        (6,), target(), keras.Sequential([keras.Input((4,)), L.BatchNormalization(), L.Dense(3), L.Dense(2)])
    ),
    "nested model called twice": nested_model_called_twice,
    "one reader of two layers": one_reader_of_two_layers,
    "one reader of two orders": one_reader_of_two_orders,
    "one normalisation of two layers": one_normalisation_of_two_layers,
    "one mask for all features": lambda: chain((6,), target(), L.Dropout(0.3, noise_shape=(None, 1)), L.Dense(2)),
    "noise of no strength": lambda: chain((6,), target(), L.Dropout(0.0), L.GaussianNoise(0.0), L.Dense(2)),
    "over time": lambda: chain((5, 6), L.TimeDistributed(target()), L.GlobalAveragePooling1D(), L.Dense(2)),
}
PAIR = {"some features": (0, 2), "parts": (0, 1)}


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_a_planted_pair_is_found_and_stays_equal_and_every_single_number_of_it_counts(name):
    keras.utils.set_random_seed(0)
    model = UNDERSTOOD[name]()
    randomise(model)
    reader = reader_of(model)
    one, other = PAIR.get(name, (0, 1))
    assert len(set(classes(reader, "target"))) == (8 if name == "parts" else 4)
    pairs = plant(reader, model, "target", one, other)
    labels = classes(reader, "target")
    assert labels[one] == labels[other]
    assert len(set(labels)) in (len(labels) - 1, len(labels) - 2)
    rng = np.random.default_rng(0)
    chosen = sorted(pairs)
    for number, place, _ in [chosen[k] for k in rng.permutation(len(chosen))[:8]]:
        before = to_numpy(model.variables[number]).reshape(-1)[place]
        assign(model, {(number, place): before + 0.1})
        assert len(set(classes(reader, "target"))) > len(set(labels))
        assign(model, {(number, place): before})
    train(model)
    assert distance(model, pairs) < 1e-5


def test_a_pair_with_one_other_number_parts_in_training():
    model = UNDERSTOOD["branches"]()
    randomise(model)
    reader = reader_of(model)
    pairs = plant(reader, model, "target")
    number, place, _ = max(pairs)
    assign(model, {(number, place): 0.9})
    train(model)
    assert distance(model, pairs) > 1e-3


class Positions(L.Layer):
    def call(self, x):
        return x * ops.cast(ops.arange(x.shape[-1]), x.dtype)


NEVER = {
    "dropout": lambda: chain((6,), target(), L.Dropout(0.5), L.Dense(2)),
    "noise": lambda: chain((6,), target(), L.GaussianNoise(1.0), L.Dense(2)),
    "spatial dropout": lambda: chain((4, 4, 3), conv_target(), L.SpatialDropout2D(0.5), L.Dense(2)),
    "sum with the inputs": lambda: functional(lambda i: L.Dense(2)(L.Add()([target(6)(i), i]))),
    "product with the inputs": lambda: functional(lambda i: L.Dense(2)(L.Multiply()([target(6)(i), i]))),
    "activation that tells units apart": lambda: chain(
        (6,), target(activation=lambda z: z * np.arange(4, dtype="float32")), L.Dense(2)
    ),
    "layer that tells units apart": lambda: chain((6,), target(), Positions(), L.Dense(2)),
    "features among positions": lambda: chain((5, 6), target(), L.Permute((2, 1)), L.Dense(2)),
    "normalised over time": lambda: chain((4, 6), target(), L.BatchNormalization(axis=1), L.Dense(2)),
    "normalised over all": lambda: chain((4, 6), target(), L.LayerNormalization(axis=[1, 2]), L.Dense(2)),
    "mean over features": lambda: functional(
        lambda i: (x := target()(i), L.Dense(2)(x - ops.mean(x, axis=-1, keepdims=True)))[1]
    ),
    "channels first": lambda: chain((3, 6, 6), conv_target(data_format="channels_first"), L.Flatten(), L.Dense(2)),
    "channels first behind": lambda: chain((6, 6, 3), conv_target(), L.Conv2D(2, 3, data_format="channels_first")),
    "flatten with channels first": lambda: chain(
        (6, 6, 3), conv_target(), L.Flatten(data_format="channels_first"), L.Dense(2)
    ),
}


@pytest.mark.parametrize("name", NEVER)
def test_no_units_are_called_equal_where_something_tells_them_apart_or_is_not_understood(name):
    model = NEVER[name]()
    for variable in model.trainable_variables:
        variable.assign(ops.full(variable.shape, 0.3))
    reader = reader_of(model)
    if "target" in reader.paths:
        labels = classes(reader, "target")
        assert len(set(labels)) == len(labels)


MIRRORED = {
    "batch normalisation": ([L.BatchNormalization], True),
    "mean square normalisation": ([L.RMSNormalization], True),
    "layer normalisation": ([L.LayerNormalization], False),
    "normalisation of a group with others": ([lambda: L.GroupNormalization(1)], False),
    "normalisation of the two": ([lambda: L.GroupNormalization(2)], True),  # their mean is 0
    "softsign": ([lambda: L.Activation("softsign")], True),
    "relu": ([L.ReLU], False),
}


@pytest.mark.parametrize("name", MIRRORED)
def test_mirrored_units_are_found_where_what_is_behind_is_odd(name):
    layers, expected = MIRRORED[name]
    hidden, out = target(), L.Dense(2)
    model = chain((6,), hidden, *(make() for make in layers), out)
    randomise(model)
    for norm in model.layers:
        for scale in {"gamma", "scale"} & vars(norm).keys():
            if isinstance(getattr(norm, scale), keras.Variable):
                getattr(norm, scale).assign(np.ones(4))
        if hasattr(norm, "beta"):
            norm.beta.assign(np.zeros(4))
    kernel, rows = to_numpy(hidden.kernel).copy(), to_numpy(out.kernel).copy()
    kernel[:, 1], rows[1] = -kernel[:, 0], -rows[0]
    hidden.set_weights([kernel, np.array([0.2, -0.2, 0.1, 0.3])])
    out.set_weights([rows, np.zeros(2)])
    assert (classes(reader_of(model), "target")[1] == 0) == expected
    train(model)
    kernel = to_numpy(hidden.kernel)
    assert (np.abs(kernel[:, 0] + kernel[:, 1]).max() < 1e-5) == expected


def test_a_maximum_of_mirrored_units_is_not_mirrored():
    one, other, out = target(2), L.Dense(2, "tanh"), L.Dense(1)
    model = functional(lambda i: out(L.Maximum()([one(i), other(i)])))
    for layer in (one, other):
        kernel = to_numpy(layer.kernel).copy()
        kernel[:, 1] = -kernel[:, 0]
        layer.set_weights([kernel, np.zeros(2)])
    out.set_weights([np.array([[0.5], [-0.5]]), np.zeros(1)])
    assert classes(reader_of(model), "target").tolist() == [0, 1]


def test_low_rank_updates_tell_features_apart_that_have_equal_weights():
    first, second = target(), L.Dense(3)
    model = chain((6,), first, second)
    first.set_weights([np.full((6, 4), 0.3), np.zeros(4)])
    second.set_weights([np.full((4, 3), 0.3), np.zeros(3)])
    assert set(classes(reader_of(model), "target")) == {0}
    second.enable_lora(2)
    assert len(set(classes(reader_of(model), "target"))) == 4  # rows of the first factor are random


def test_a_zero_feature_in_a_normalised_layer_is_not_dead_but_a_layer_of_zeros_is():
    from keras_initkit.inspection.verdicts import judge_model

    def dead(kernel):
        hidden, out = L.Dense(4, use_bias=False, name="target"), L.Dense(2)
        model = chain((6,), hidden, L.LayerNormalization(), out)
        hidden.set_weights([kernel])
        out.set_weights([np.zeros((4, 2)), np.zeros(2)])
        found = judge_model(UnitReader(model), {}, False)[0].dead_units.tolist()
        train(model)
        moved = (to_numpy(hidden.kernel) != kernel).any(axis=0)
        assert found == np.flatnonzero(~moved).tolist()
        return found

    kernel = np.random.default_rng(0).standard_normal((6, 4)).astype("float32")
    kernel[:, 1] = 0
    assert dead(kernel) == []
    assert dead(np.zeros((6, 4), "float32")) == [0, 1, 2, 3]


def test_a_penalty_on_activities_reaches_units_that_nothing_reads_but_not_at_zero():
    from keras_initkit.inspection.verdicts import judge_model

    for bias, expected in ((0.5, []), (0.0, [0, 1, 2, 3])):
        hidden, out = target(activation="relu", activity_regularizer="l2"), L.Dense(2, kernel_initializer="zeros")
        out.trainable = False
        model = chain((6,), hidden, out)
        hidden.set_weights([np.zeros((6, 4)), np.full(4, bias)])
        assert judge_model(UnitReader(model), {}, False)[0].dead_units.tolist() == expected
        train(model, steps=3)
        assert (to_numpy(hidden.bias) != bias).all() == (not expected)


def test_a_long_chain_of_layers_is_followed_to_its_end():
    [units] = (
        UnitReader(chain((6,), target(), *(L.Activation("softsign") for _ in range(300)), L.Dense(2))).read().layers
    )
    assert units.outgoing.shape == (2, 4)


def test_sums_of_sums_are_followed_once():
    def make(i):
        x = target()(i)
        for _ in range(40):  # as many ways as 2⁴⁰
            x = L.Add()([x, L.Activation("relu")(x)])
        return L.Dense(2)(x)

    [units] = UnitReader(functional(make)).read().layers
    assert units.activation is None
    assert units.outgoing.shape == (2, 4)
