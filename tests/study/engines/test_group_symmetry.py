import keras
import numpy as np
import pytest

from keras_initkit.callbacks.symmetry_record import SymmetryRecord
from keras_initkit.study.engines import group_symmetry
from keras_initkit.study.engines.group_symmetry import GroupSymmetry
from tests.study.engines.stacked_training import EPOCHS, arrays, assign, initializers, stacked, train

NAMES = list(initializers())
EXACT = ("epoch", "layer", "units", "inputs", "distinct", "locked", "dead", "verdict")
CLOSE = {"mean": 1e-6, "rms": 1e-6, "mean_abs": 1e-6, "max_abs": 1e-6, "participation": 1e-5, "null_z": 1e-4}


def layer(kind, *args, **kwargs):
    return getattr(keras.layers, kind)(*args, **kwargs)


def compiled(model, optimizer="sgd"):
    rates = {"sgd": keras.optimizers.SGD(0.1), "momentum": keras.optimizers.SGD(0.05, momentum=0.9)}
    model.compile(rates.get(optimizer) or keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return model


def perceptron(activation, optimizer, width=10, depth=3):
    def build(init):
        hidden = [layer("Dense", width, activation, kernel_initializer=init, name=f"h{n}") for n in range(depth)]
        return compiled(
            keras.Sequential([keras.Input((6,)), *hidden, layer("Dense", 3, "softmax", kernel_initializer=init)]),
            optimizer,
        )

    return build


def convolutional(init):
    layers = [
        layer("Conv2D", 6, 3, activation="relu", kernel_initializer=init),
        layer("BatchNormalization"),
        layer("Conv2D", 8, 3, kernel_initializer=init),
        layer("BatchNormalization"),
        layer("ReLU"),
        layer("MaxPooling2D"),
        layer("Flatten"),
        layer("Dropout", 0.2, seed=1),
        layer("Dense", 3, "softmax", kernel_initializer=init),
    ]
    return compiled(keras.Sequential([keras.Input((8, 8, 1)), *layers]), "adam")


def recurrent(init):
    layers = [
        layer("LSTM", 6, kernel_initializer=init, recurrent_initializer=init, return_sequences=True),
        layer("GRU", 5, kernel_initializer=init),
        layer("Dense", 3, "softmax", kernel_initializer=init),
    ]
    return compiled(keras.Sequential([keras.Input((4, 3)), *layers]), "momentum")


def attention(init):
    x = keras.Input((5, 8))
    y = layer("MultiHeadAttention", 4, 4, kernel_initializer=init, name="attention")(x, x)
    y = layer("LayerNormalization")(layer("Add")([x, y]))
    y = layer("Dense", 8, "gelu", kernel_initializer=init)(y)
    y = layer("GlobalAveragePooling1D")(y)
    return compiled(keras.Model(x, layer("Dense", 3, "softmax", kernel_initializer=init)(y)), "adam")


def residual(init):
    x = keras.Input((6,))
    h = layer("Dense", 8, "relu", kernel_initializer=init)(x)
    y = layer("Dense", 8, "tanh", kernel_initializer=init, use_bias=False)(h)
    h = layer("Add")([h, y])
    y = layer("Concatenate")([h, layer("Dense", 4, "relu", kernel_initializer=init)(h)])
    return compiled(keras.Model(x, layer("Dense", 3, "softmax", kernel_initializer=init)(y)), "sgd")


def frozen(init):
    model = perceptron("relu", "sgd")(init)
    model.layers[0].trainable = False
    return compiled(model)


def without_biases(init):
    hidden = [layer("Dense", 8, "relu", kernel_initializer=init, use_bias=False) for _ in range(2)]
    return compiled(keras.Sequential([keras.Input((6,)), *hidden, layer("Dense", 3, "softmax", use_bias=False)]))


class Own(keras.Model):
    """A model that can be opened, with a slope of its own that it trains."""

    def __init__(self, init):
        super().__init__(name="own")
        self.one = layer("Dense", 8, kernel_initializer=init)
        self.two = layer("Dense", 8, "relu", kernel_initializer=init)
        self.out = layer("Dense", 3, "softmax", kernel_initializer=init)
        self.slope = layer("PReLU")

    def call(self, x):
        return self.out(self.two(self.slope(self.one(x))))


class Closed(Own):
    """A model whose way from inputs to outputs is not known."""

    def call(self, x):
        if isinstance(x, keras.KerasTensor) and keras.backend.is_keras_tensor(x):
            raise NotImplementedError("needs numbers")
        return super().call(x)


def subclassed(init):
    model = Own(init)
    model(np.zeros((1, 6), np.float32))
    return compiled(model, "adam")


def unopened(init):
    model = Closed(init)
    model(np.zeros((1, 6), np.float32))
    return compiled(model)


def low_rank(init):
    model = perceptron("relu", "adam")(init)
    model.layers[1].enable_lora(2)
    return compiled(model, "adam")


CASES = {
    "relu": (perceptron("relu", "sgd"), (6,)),
    "tanh": (perceptron("tanh", "adam"), (6,)),
    "convolutional": (convolutional, (8, 8, 1)),
    "recurrent": (recurrent, (4, 3)),
    "attention": (attention, (5, 8)),
    "residual": (residual, (6,)),
    "frozen": (frozen, (6,)),
    "without_biases": (without_biases, (6,)),
    "subclassed": (subclassed, (6,)),
    "unopened": (unopened, (6,)),
    "low_rank": (low_rank, (6,)),
}


@pytest.fixture(scope="module", params=CASES)
def trained(request):
    build, shape = CASES[request.param]
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(12, *shape)).astype(np.float32), rng.integers(0, 3, 12)
    return request.param, *train(build, batch)


def measured(model, epochs, replicas):
    group = GroupSymmetry(model, replicas)
    for epoch, (variables, slots) in enumerate(epochs):
        group.measure(epoch, variables, slots, np.ones(replicas, dtype=bool))
    return group


def assert_same_rows(found, expected):
    assert len(found) == len(expected)
    for row, other in zip(found, expected, strict=True):
        assert list(row) == list(other)
        assert {key: repr(row[key]) for key in EXACT} == {key: repr(other[key]) for key in EXACT}
        for key, tolerance in CLOSE.items():
            assert row[key] == pytest.approx(other[key], rel=tolerance, abs=tolerance, nan_ok=True), (key, other)
        assert row.get("gap") == other.get("gap")


def test_rows_and_pictures_are_those_of_one_record_per_replica(trained):
    _, model, records, epochs = trained
    group = measured(model, epochs, len(NAMES))
    assert group.layers == records[0].reader.paths
    for replica, record in enumerate(records):
        assert_same_rows(group.rows(replica), record.rows)
        kept = record.pictures
        both = [name for name in kept.layers(0) if name in kept.layers(EPOCHS)]
        pictures = group.pictures(replica)
        assert list(pictures) == both
        for name in both:
            for found, epoch in zip(pictures[name], (0, EPOCHS), strict=True):
                np.testing.assert_array_equal(found, kept.cosines(name, epoch))


def test_healthy_replicas_are_measured_together(trained):
    case, model, _, epochs = trained
    chosen = [NAMES.index(name) for name in ("healthy", "other")]
    group = GroupSymmetry(model, 2)
    for epoch, parts in enumerate(epochs):
        variables, slots = ([stack[chosen] for stack in part] for part in parts)
        group.measure(epoch, variables, slots, np.ones(2, dtype=bool))
    # Where weights are computed from several variables, they are read from the model itself.
    assert group.one_by_one == (8 if case == "low_rank" else 0)


def test_replicas_without_momentum_that_are_locked_to_one_unit_are_measured_together():
    build = perceptron("tanh", "sgd")
    batch = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32), np.arange(12) % 3
    model, records, epochs = train(build, batch, ("constant", "ones", "healthy"))
    group = measured(model, epochs, 3)
    assert group.one_by_one == 0
    for replica, record in enumerate(records):
        assert_same_rows(group.rows(replica), record.rows)
    assert {row["verdict"] for row in group.rows(1) + group.rows(2)} == {"locked"}


def test_a_locked_replica_may_come_apart_stand_still_and_go_back():
    model = perceptron("relu", "sgd")("ones")
    model.optimizer.build(model.trainable_variables)
    record, group = SymmetryRecord(model, None, "epoch"), GroupSymmetry(model, 1)
    start, slots = arrays(model.variables), arrays(model.optimizer.variables)
    rng = np.random.default_rng(0)
    apart = [value + rng.normal(size=value.shape).astype(value.dtype) for value in start]
    moved = [value * np.float32(1.5) for value in start]
    biased = [*start[:-1], start[-1] + np.float32(1)]
    for epoch, values in enumerate([start, moved, moved, biased, start, biased, apart, apart, start, biased, apart]):
        assign(model.variables, values)
        record.measure(epoch)
        group.measure(epoch, stacked([values]), stacked([slots]), np.ones(1, dtype=bool))
        assert_same_rows(group.rows(0), record.rows)
    assert {row["dead"] for row in record.rows} == {0, 10}


def test_replicas_that_are_not_active_get_no_rows():
    model = perceptron("relu", "sgd")("he_normal")
    model.optimizer.build(model.trainable_variables)
    variables, slots = (stacked([arrays(part)] * 3) for part in (model.variables, model.optimizer.variables))
    group = GroupSymmetry(model, 3)
    for epoch, active in enumerate([(1, 1, 1), (1, 0, 1), (0, 0, 1)]):
        group.measure(epoch, variables, slots, np.array(active, dtype=bool))
    assert [group.rows(replica)[-1]["epoch"] for replica in range(3)] == [1, 0, 2]
    assert [len(group.pictures(replica)) for replica in range(3)] == [3, 3, 3]


def test_large_groups_are_measured_in_parts(monkeypatch):
    monkeypatch.setattr(group_symmetry, "_CHUNK", 4000)
    model = perceptron("relu", "sgd")("he_normal")
    model.optimizer.build(model.trainable_variables)
    one = arrays(model.variables)
    stack = stacked([[value * (1 + replica) for value in one] for replica in range(7)])
    group = GroupSymmetry(model, 7)
    group.measure(0, stack, stacked([arrays(model.optimizer.variables)] * 7), np.ones(7, dtype=bool))
    rows = [group.rows(replica)[0] for replica in range(7)]
    assert [row["rms"] for row in rows] == pytest.approx([rows[0]["rms"]] * 7, rel=1e-6)


def test_models_without_hidden_layers_are_not_measured():
    model = compiled(keras.Sequential([keras.Input((4,)), layer("Dense", 3, "softmax")]))
    model.optimizer.build(model.trainable_variables)
    group = GroupSymmetry(model, 2)
    group.measure(0, stacked([arrays(model.variables)] * 2), [], np.ones(2, dtype=bool))
    assert group.layers == []
    assert group.rows(1) == []
    assert group.pictures(1) == {}


def test_half_precision_is_read_as_the_monitor_reads_it():
    keras.config.set_dtype_policy("bfloat16")
    try:
        model = perceptron("relu", "sgd")("he_normal")
    finally:
        keras.config.set_dtype_policy("float32")
    model.optimizer.build(model.trainable_variables)
    record, group = SymmetryRecord(model, None, "epoch"), GroupSymmetry(model, 1)
    record.measure(0)
    slots = stacked([arrays(model.optimizer.variables)])
    group.measure(0, stacked([arrays(model.variables)]), slots, np.ones(1, dtype=bool))
    assert_same_rows(group.rows(0), record.rows)
