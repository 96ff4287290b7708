"""Opening layers and models of the user: what is inside is found, and nothing is left behind."""

import keras
import numpy as np
import pytest

from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.reading import UnitReader
from tests.units.planting import classes, distance, plant, randomise, reader_of, train

L = keras.layers
ops = keras.ops


class Residual(L.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.inner, self.back = L.Dense(3, name="inner"), L.Dense(units, name="back")

    def build(self, shape):
        self.inner.build(shape)
        self.back.build((*shape[:-1], 3))
        super().build(shape)

    def call(self, x):
        return x + self.back(ops.relu(self.inner(x)))


class OwnWeights(L.Layer):
    """A dense layer by hand, under the name `target`."""

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], 4), name="w")
        self.b = self.add_weight(shape=(4,), name="b")
        super().build(shape)

    def call(self, x):
        return ops.tanh(ops.matmul(x, self.w) + self.b)


class Nested(L.Layer):
    """Holds a layer that holds a layer and so on."""

    def __init__(self, depth, **kwargs):
        super().__init__(**kwargs)
        self.inside = Nested(depth - 1, name=f"depth_{depth}") if depth else L.Dense(4, "tanh", name="target")

    def build(self, shape):
        self.inside.build(shape)
        super().build(shape)

    def call(self, x):
        return self.inside(x) * 2.0


class SideEffects(L.Layer):
    """Keeps what it saw, and counts."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = L.Dense(4, "tanh", name="target")
        self.calls = 0
        self.history = []
        self.seeds = keras.random.SeedGenerator(1)

    def build(self, shape):
        self.dense.build(shape)
        super().build(shape)

    def call(self, x):
        self.calls += 1
        self.seen = x
        self.last = self.dense(x)
        self.history.append("called")
        return self.last


class WithLoss(SideEffects):
    def call(self, x):
        y = super().call(x)
        self.add_loss(ops.mean(ops.square(y)))
        return y


class Switch(L.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.drop = L.Dropout(0.5)

    def call(self, x, training=None):
        return self.drop(x, training=training) if training else x


def around(*layers, shape=(6,)):
    return keras.Sequential([keras.Input(shape), *layers, L.Dense(2, name="out")])


class TwoInputs(keras.Model):
    """Inputs as a dictionary, two outputs, one layer used twice."""

    def __init__(self):
        super().__init__()
        self.tower = L.Dense(4, "tanh", name="target")
        self.left, self.right = L.Dense(2, name="left"), L.Dense(3, name="right")

    def call(self, inputs):
        one, other = self.tower(inputs["one"]), self.tower(inputs["other"])
        return {"left": self.left(one), "right": self.right(ops.concatenate([one, other], axis=-1))}


class Subclassed(keras.Model):
    def __init__(self, *layers):
        super().__init__()
        self.parts = list(layers)

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


def subclassed(*layers):
    model = Subclassed(*layers)
    model(np.zeros((2, 6), "float32"))
    return model


OPENED = {
    "residual": lambda: around(L.Dense(4, "tanh", name="target"), Residual(4)),
    "own weights": lambda: around(OwnWeights(name="target")),
    "nested": lambda: around(Nested(3)),
    "side effects": lambda: around(SideEffects()),
    "loss": lambda: around(WithLoss()),
    "subclassed": lambda: subclassed(Residual(6), L.Dense(4, "tanh", name="target"), Residual(4), L.Dense(2)),
    "subclassed in functional": lambda: around(subclassed(L.Dense(4, "tanh", name="target"), L.ReLU())),
    "functional in subclassed": lambda: subclassed(
        keras.Sequential([keras.Input((6,)), L.Dense(4, "tanh", name="target")]), L.Dense(2)
    ),
}


@pytest.mark.parametrize("name", [name for name in OPENED if name != "loss"])
def test_layers_of_the_user_are_opened(name):
    keras.utils.set_random_seed(0)
    model = OPENED[name]()
    randomise(model)
    reader = reader_of(model)
    assert reader.opened
    assert len(set(classes(reader, "target"))) == 4
    pairs = plant(reader, model, "target")
    assert classes(reader, "target").tolist() == [0, 0, 1, 2]
    if not hasattr(model, "inputs") or not model.inputs:
        x = np.random.default_rng(0).standard_normal((6, 6)).astype("float32")
        model.compile(keras.optimizers.SGD(0.02), "mse", run_eagerly=True)
        for _ in range(10):
            model.train_on_batch(x, x[:, :2])
    else:
        train(model)
    assert distance(model, pairs) < 1e-5


def test_inputs_and_outputs_may_be_dictionaries_and_layers_may_be_shared():
    model = TwoInputs()
    rng = np.random.default_rng(0)
    x = {name: rng.standard_normal((6, 5)).astype("float32") for name in ("one", "other")}
    model(x)
    randomise(model)
    reader = reader_of(model)
    assert reader.opened
    assert reader.paths == ["target"]
    pairs = plant(reader, model, "target")
    assert classes(reader, "target").tolist() == [0, 0, 1, 2]
    model.compile(keras.optimizers.SGD(0.05), {"left": "mse", "right": "mse"}, run_eagerly=True)
    y = {"left": rng.standard_normal((6, 2)), "right": rng.standard_normal((6, 3))}
    for _ in range(5):
        model.train_on_batch(x, y)
    assert distance(model, pairs) < 1e-5


def test_a_loss_inside_a_layer_may_tell_units_apart():
    model = around(WithLoss())
    model.layers[0].dense.kernel.assign(ops.ones((6, 4)))
    assert classes(reader_of(model), "target").tolist() == [0, 1, 2, 3]


def test_what_a_layer_does_in_training_counts():
    model = around(L.Dense(4, "tanh", kernel_initializer="ones", name="target"), Switch())
    assert classes(reader_of(model), "target").tolist() == [0, 1, 2, 3]


class RealNumbers(L.Layer):
    def call(self, x):
        return x * float(np.asarray(keras.ops.convert_to_numpy(x)).max())

    def compute_output_shape(self, shape):
        return shape

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def test_what_cannot_be_opened_tells_units_apart():
    model = around(
        L.Dense(4, "tanh", kernel_initializer="ones", name="target"), RealNumbers(), L.Dense(3, name="behind")
    )
    reader = reader_of(model)
    assert classes(reader, "target").tolist() == [0, 1, 2, 3]
    units = {units.layer: units for units in reader.read().layers}
    for name, known in (("target", False), ("behind", True)):
        assert units[name].consumers_known == (units[name].outgoing is not None) == known


def snapshot(model):
    """Everything of a model's layers that opening could disturb."""
    return [
        (
            {name: value for name, value in vars(layer).items() if name != "_losses"},
            list(layer._losses),
            list(layer._inbound_nodes),
            list(layer._outbound_nodes),
            [id(variable) for variable in layer.variables],
            [to_numpy(variable).tolist() for variable in layer.variables],
            list(getattr(layer, "history", ())),
        )
        for layer in model._flatten_layers()
    ]


@pytest.mark.parametrize("name", OPENED)
def test_opening_leaves_nothing_behind(name, tmp_path):
    keras.utils.set_random_seed(0)
    model = OPENED[name]()
    before = snapshot(model)
    UnitReader(model).read()
    after = snapshot(model)
    for one, other in zip(before, after, strict=True):
        assert one[0].keys() == other[0].keys()
        for key, value in one[0].items():
            assert value is other[0][key], key
        assert one[1:] == other[1:]
    model.save_weights(tmp_path / "model.weights.h5")
    if not isinstance(model, Subclassed):
        model.save(tmp_path / "model.keras")


@pytest.mark.parametrize("name", ["side effects", "residual", "subclassed"])
def test_training_is_the_same_to_the_bit_after_opening(name):
    def fitted(*, opened):
        keras.utils.set_random_seed(0)
        model = OPENED[name]()
        model.compile(keras.optimizers.SGD(0.05), "mse")
        if opened:
            UnitReader(model).read()
        x = np.random.default_rng(0).standard_normal((12, 6)).astype("float32")
        model.fit(x, x[:, :2], epochs=2, batch_size=4, verbose=0)
        return [to_numpy(variable) for variable in model.variables]

    for one, other in zip(fitted(opened=False), fitted(opened=True), strict=True):
        np.testing.assert_array_equal(one, other)
