"""Consumers, against an oracle that knows nothing of graphs: exchanging two units everywhere keeps the function.

Two units of a layer are exchanged in its kernel and bias, in the normalisations behind it and in the rows of every
reader that was found. If a reader, an offset or an order were wrong, the model would compute something else.
"""

import keras
import numpy as np
import pytest

from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.consumers import find_consumers
from keras_initkit.units.graph import Graph
from keras_initkit.units.reading import weight_layers

L = keras.layers


def chain(shape, *layers):
    inputs = keras.Input(shape)
    x = inputs
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def target(units=4, activation="tanh"):
    return L.Dense(units, activation, name="target")


def conv_target(filters=4, **kwargs):
    return L.Conv2D(filters, 3, padding="same", activation="relu", name="target", **kwargs)


def concatenated(position):
    inputs = keras.Input((6,))
    branches = [L.Dense(3)(inputs), L.Dense(5, "relu")(inputs)]
    branches.insert(position, target()(inputs))
    return keras.Model(inputs, L.Dense(2)(L.Concatenate()(branches)))


def twice_in_one_concatenation():
    inputs = keras.Input((6,))
    x = target()(inputs)
    return keras.Model(inputs, L.Dense(2)(L.Concatenate()([x, L.Dense(3)(inputs), x])))


def two_ways_into_one_concatenation():
    inputs = keras.Input((6,))
    x = target(activation=None)(inputs)
    return keras.Model(inputs, L.Dense(2)(L.Concatenate()([L.ReLU()(x), L.Activation("tanh")(x)])))


def branches():
    inputs = keras.Input((6,))
    x = target()(inputs)
    return keras.Model(inputs, [L.Dense(2)(x), L.Dense(3)(L.BatchNormalization()(x)), L.Dense(1)(L.Dense(3)(x))])


def shared_target():
    left, right = keras.Input((6,)), keras.Input((6,))
    layer = target()
    return keras.Model([left, right], L.Dense(2)(L.Concatenate()([layer(left), L.Dense(3)(right), layer(right)])))


def siamese():
    left, right = keras.Input((6,)), keras.Input((6,))
    layer, norm, reader = target(), L.BatchNormalization(), L.Dense(2)
    return keras.Model([left, right], [reader(norm(layer(left))), reader(norm(layer(right)))])


def siamese_of_models():
    tower = keras.Sequential([keras.Input((6,)), target()], name="tower")
    head = keras.Sequential([keras.Input((4,)), L.Dense(2)], name="head")
    left, right = keras.Input((6,)), keras.Input((6,))
    return keras.Model([left, right], [head(tower(left)), head(tower(right))])


def nested_functional():
    inner_input = keras.Input((6,))
    x = target()(inner_input)
    inner = keras.Model(inner_input, [L.Dense(3)(x), L.LayerNormalization()(x)], name="inner")
    inputs = keras.Input((6,))
    one, other = inner(inputs)
    return keras.Model(inputs, L.Dense(2)(L.Concatenate()([other, one])))


def nested_twice():
    block = keras.Sequential([keras.Input((6,)), target()], name="block")
    return keras.Sequential([keras.Input((6,)), keras.Sequential([keras.Input((6,)), block, L.ReLU()]), L.Dense(2)])


def reader_in_a_nested_model():
    head = keras.Sequential([keras.Input((4,)), L.BatchNormalization(), L.Dense(3), L.Dense(2)], name="head")
    return chain((6,), target(), L.Dropout(0.1), head)


def nested_model_called_twice():
    block = keras.Sequential([keras.Input((6,)), target()], name="block")
    left, right = keras.Input((6,)), keras.Input((6,))
    return keras.Model([left, right], [L.Dense(2)(block(left)), L.Dense(3)(block(right))])


COMPLETE = {
    "dense": lambda: chain((6,), target(), L.Dense(2)),
    "dense on sequences": lambda: chain((5, 6), target(), L.Conv1D(2, 3), L.GlobalMaxPooling1D()),
    "activation and noise": lambda: chain(
        (6,), target(), L.Activation("gelu"), L.Dropout(0.5), L.GaussianNoise(1.0), L.LeakyReLU(), L.Dense(2)
    ),
    "softmax layer": lambda: chain((6,), target(), L.Softmax(), L.Dense(2)),
    "conv": lambda: chain((6, 6, 3), conv_target(), L.Conv2D(2, 3)),
    "conv, pooling, flatten": lambda: chain((6, 6, 3), conv_target(), L.MaxPooling2D(), L.Flatten(), L.Dense(2)),
    "conv, global pooling": lambda: chain((6, 6, 3), conv_target(), L.GlobalAveragePooling2D(), L.Dense(2)),
    "conv, flatten, normalisation": lambda: chain(
        (4, 4, 3), conv_target(), L.Flatten(), L.BatchNormalization(), L.Dense(2)
    ),
    "conv, normalisation": lambda: chain(
        (6, 6, 3), conv_target(), L.BatchNormalization(), L.SpatialDropout2D(0.1), L.ReLU(), L.Conv2D(2, 3)
    ),
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
    "transposed": lambda: chain(
        (4, 4, 3), L.Conv2DTranspose(4, 3, name="target"), L.ReLU(6.0), L.Conv2DTranspose(2, 3, strides=2)
    ),
    "conv3d": lambda: chain((3, 3, 3, 2), L.Conv3D(4, 2, name="target"), L.Flatten(), L.Dense(2)),
    "layer normalisation": lambda: chain((6,), target(), L.LayerNormalization(), L.ELU(), L.Dense(2)),
    "repeated": lambda: chain((6,), target(), L.RepeatVector(3), L.Conv1D(2, 2)),
    "first of a concatenation": lambda: concatenated(0),
    "middle of a concatenation": lambda: concatenated(1),
    "last of a concatenation": lambda: concatenated(2),
    "twice in one concatenation": twice_in_one_concatenation,
    "two ways into one concatenation": two_ways_into_one_concatenation,
    "branches": branches,
    "shared layer": shared_target,
    "siamese": siamese,
    "siamese of models": siamese_of_models,
    "nested functional": nested_functional,
    "nested twice": nested_twice,
    "reader in a nested model": reader_in_a_nested_model,
    "nested model called twice": nested_model_called_twice,
    "sequential": lambda: keras.Sequential([keras.Input((6,)), target(), L.Dense(2)]),
}


def look_up(model, name="target"):
    """Return a layer of the model, which may be nested, and its consumers."""
    [(layer, graph)] = [(layer, graph) for path, layer, graph in weight_layers(model) if path.endswith(name)]
    return layer, find_consumers(graph, layer)


def randomise(model):
    rng = np.random.default_rng(1)
    for variable in model.weights:
        if "seed" not in variable.path:
            variable.assign(rng.uniform(0.2, 1.0, variable.shape) * rng.choice([-1, 1], variable.shape))
        if "variance" in variable.path:
            variable.assign(rng.uniform(0.5, 2.0, variable.shape))


def exchange(variable, axis, one, other):
    values = np.moveaxis(to_numpy(variable), axis, 0).copy()
    values[[*one, *other]] = values[[*other, *one]]
    variable.assign(np.moveaxis(values, 0, axis))


def positions(features, unit):
    return np.flatnonzero(features == unit)


def transposed(layer):
    return "Transpose" in type(layer).__name__


@pytest.mark.parametrize("name", COMPLETE)
def test_exchanging_two_units_everywhere_keeps_the_function(name):
    model = COMPLETE[name]()
    randomise(model)
    layer, found = look_up(model)
    assert found.complete
    assert not found.reaches_output
    rng = np.random.default_rng(2)
    data = [rng.standard_normal((3, *tensor.shape[1:])).astype("float32") for tensor in model.inputs]

    def outputs():
        return [
            keras.ops.convert_to_numpy(out) for out in keras.tree.flatten(model(data if len(data) > 1 else data[0]))
        ]

    before = outputs()
    i, j = 0, 1  # in one group, where there are groups
    exchange(layer.kernel, -2 if transposed(layer) else -1, [i], [j])
    exchange(layer.bias, 0, [i], [j])
    for norm, features in {id(norm): (norm, features) for norm, features in found.scales}.values():
        for variable in norm.weights:
            exchange(variable, 0, positions(features, i), positions(features, j))
    halfway = outputs()
    exchanged = set()
    for reader, features in found.readers:
        rows = tuple(positions(features, i)), tuple(positions(features, j))
        assert len(rows[0]) == len(rows[1]) > 0
        if (id(reader), rows) not in exchanged:  # a layer that is called twice has one kernel
            exchange(reader.kernel, -1 if transposed(reader) else -2, *rows)
            exchanged.add((id(reader), rows))
    after = outputs()
    # 8 float32 roundings of the largest term is generous for sums of at most a few hundred terms of order one.
    for then, now in zip(before, after, strict=True):
        np.testing.assert_allclose(now, then, atol=2e-5 * max(np.abs(then).max(), 1))
    assert any(np.abs(middle - then).max() > 1e-3 for then, middle in zip(before, halfway, strict=True))


def test_flatten_gives_channel_c_the_rows_c_and_every_c_th_after_it():
    _, found = look_up(chain((2, 3, 5), conv_target(), L.Flatten(), L.Dense(2)))
    [(_, features)] = found.readers
    np.testing.assert_array_equal(features, np.arange(2 * 3 * 4) % 4)


def test_concatenation_moves_the_features_behind_those_of_others():
    _, found = look_up(concatenated(1))
    [(_, features)] = found.readers
    np.testing.assert_array_equal(features, [-1, -1, -1, 0, 1, 2, 3, -1, -1, -1, -1, -1])


def added():
    inputs = keras.Input((6,))
    x = target(6)(inputs)
    return keras.Model(inputs, L.Dense(2)(L.Add()([x, inputs])))


def custom_operation():
    inputs = keras.Input((6,))
    return keras.Model(inputs, L.Dense(2)(keras.ops.sin(target()(inputs))))


def concatenated_along_time():
    inputs = keras.Input((5, 6))
    return keras.Model(inputs, L.Dense(2)(L.Concatenate(axis=1)([target()(inputs), L.Dense(4)(inputs)])))


def shared_reader():
    inputs = keras.Input((6,))
    reader = L.Dense(2)
    return keras.Model(inputs, [reader(target()(inputs)), reader(L.Dense(4)(inputs))])


def shared_reader_of_other_features():
    inputs = keras.Input((6,))
    reader, x, other = L.Dense(2), target()(inputs), L.Dense(4)(inputs)
    return keras.Model(inputs, [reader(L.Concatenate()([x, other])), reader(L.Concatenate()([other, x]))])


def shared_normalisation():
    inputs = keras.Input((6,))
    norm = L.BatchNormalization()
    return keras.Model(inputs, [L.Dense(2)(norm(target()(inputs))), L.Dense(2)(norm(L.Dense(4)(inputs)))])


def shared_nested_reader():
    inputs = keras.Input((6,))
    head = keras.Sequential([keras.Input((4,)), L.Dense(2)], name="head")
    return keras.Model(inputs, [head(target()(inputs)), head(L.Dense(4)(inputs))])


@pytest.mark.parametrize(
    "make",
    [
        added,
        shared_reader,
        shared_reader_of_other_features,
        shared_normalisation,
        shared_nested_reader,
        custom_operation,
        concatenated_along_time,
        lambda: chain((6, 6, 3), conv_target(), L.Conv2D(2, 3, groups=2)),
        lambda: chain((6, 6, 3), conv_target(), L.DepthwiseConv2D(3), L.Dense(2)),
        lambda: chain((5, 6), target(), L.LSTM(3)),
        lambda: chain((5, 6), target(), L.Permute((2, 1)), L.Dense(2)),
        lambda: chain((4, 6), target(5), L.Reshape((10, 2)), L.Dense(2)),
        lambda: chain((4, 6), target(), L.BatchNormalization(axis=1), L.Dense(2)),
        lambda: chain((4, 6), target(), L.LayerNormalization(axis=[1, 2]), L.Dense(2)),
        lambda: chain((3, 6, 6), conv_target(data_format="channels_first"), L.Flatten(), L.Dense(2)),
        lambda: chain((3, 6, 6), conv_target(data_format="channels_first"), L.Dense(2)),
        lambda: chain((6, 6, 3), conv_target(), L.Conv2D(2, 3, data_format="channels_first")),
        lambda: chain((6, 6, 3), conv_target(), L.Flatten(data_format="channels_first"), L.Dense(2)),
        lambda: chain((6, 6, 3), conv_target(), L.MaxPooling2D(data_format="channels_first"), L.Dense(2)),
    ],
)
def test_what_is_not_known_is_said_to_be_incomplete(make):
    _, found = look_up(make())
    assert not found.complete
    assert not found.reaches_output


def test_one_unknown_reader_among_known_ones_is_enough_to_be_incomplete():
    inputs = keras.Input((6,))
    x = target(6)(inputs)
    model = keras.Model(inputs, [L.Dense(2)(x), L.Dense(2)(L.Multiply()([x, inputs]))])
    _, found = look_up(model)
    assert len(found.readers) == 1
    assert not found.complete


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.block = keras.Sequential([keras.Input((6,)), target(), L.Dense(3, name="inside"), L.ReLU()], name="block")
        self.head = L.Dense(2, name="head")

    def call(self, inputs):
        return self.head(self.block(inputs))


def test_subclassed_models_are_incomplete_but_the_models_in_them_are_read():
    model = Subclassed()
    model(np.zeros((1, 6), "float32"))
    assert [path for path, _, _ in weight_layers(model)] == ["block/target", "block/inside", "head"]
    assert look_up(model)[1].complete
    for name in ("inside", "head"):
        _, found = look_up(model, name)
        assert not found.complete
        assert not found.reaches_output


def test_a_layer_without_graph_is_incomplete():
    assert not find_consumers(None, L.Dense(2)).complete
    assert Graph.of(Subclassed()) is None


def wide_and_deep():
    inputs = keras.Input((6,))
    deep = L.Dense(2)(L.Dense(4, "relu")(inputs))
    return keras.Model(inputs, L.Activation("sigmoid")(L.Add()([target(2)(inputs), deep])))


def normalised_logits():
    inputs = keras.Input((6,))
    return keras.Model(inputs, L.Softmax()(L.BatchNormalization()(target()(inputs) / 10.0)))


def hidden_layer_as_second_output():
    inputs = keras.Input((6,))
    x = target()(inputs)
    return keras.Model(inputs, [L.Dense(2)(x), x])


def scaled_logits():
    inputs = keras.Input((6,))
    return keras.Model(inputs, target()(inputs) / 10.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: chain((6,), target()),
        lambda: chain((6,), target(), L.Dropout(0.1), L.Softmax()),
        lambda: chain((6,), target(), L.BatchNormalization(), L.Activation("softmax")),
        lambda: chain((4, 4, 6), conv_target(), L.GlobalAveragePooling2D(), L.Activation("softmax")),
        lambda: chain((3, 4, 4), conv_target(data_format="channels_first")),
        wide_and_deep,
        hidden_layer_as_second_output,
        scaled_logits,
        normalised_logits,
        lambda: keras.Sequential([keras.Input((6,)), keras.Sequential([keras.Input((6,)), target()]), L.Softmax()]),
    ],
)
def test_units_with_no_weights_behind_them_are_outputs(make):
    assert look_up(make())[1].reaches_output


@pytest.mark.parametrize(
    ("layer", "acts"),
    [
        (L.Dropout(0.2), True),
        (L.Dropout(0.0), False),
        (L.Dropout(0.2, noise_shape=(None, 1)), False),
        (L.AlphaDropout(0.2), True),
        (L.GaussianDropout(0.2), True),
        (L.GaussianNoise(0.2), True),
        (L.GaussianNoise(0.0), False),
        (L.ActivityRegularization(0.1), False),
    ],
)
def test_noise_is_what_acts_on_single_units(layer, acts):
    assert look_up(chain((6,), target(), layer, L.Dense(2)))[1].noise is acts


def test_noise_before_the_layer_and_behind_the_reader_does_not_count():
    _, found = look_up(chain((6,), L.Dropout(0.5), target(), L.Dense(3), L.Dropout(0.5), L.Dense(2)))
    assert not found.noise


@pytest.mark.parametrize(
    ("layer", "mirrored"),
    [
        (L.AveragePooling2D(2), True),
        (L.MaxPooling2D(), False),
        (L.GlobalMaxPooling2D(), False),
        (L.BatchNormalization(), False),
        (L.LayerNormalization(center=False, scale=False), False),
    ],
)
def test_opposite_values_stay_opposite_unless_pooled_by_maximum_or_normalised(layer, mirrored):
    _, found = look_up(chain((6, 6, 3), conv_target(), layer, L.Dense(2)))
    assert found.mirrored is mirrored


def test_routes_name_the_activations_and_normalisations_on_every_way():
    relu, norm, tanh = L.ReLU(), L.BatchNormalization(), L.Activation("tanh")
    inputs = keras.Input((6,))
    x = target(activation=None)(inputs)
    model = keras.Model(inputs, [L.Dense(2)(relu(norm(x))), L.Dense(2)(tanh(x))])
    assert sorted(look_up(model)[1].routes, key=len) == [(tanh,), (norm, relu)]


def test_a_long_chain_of_layers_is_followed_to_its_end():
    _, found = look_up(chain((6,), target(), *(L.Identity() for _ in range(300)), L.Dense(2)))
    assert len(found.readers) == 1
