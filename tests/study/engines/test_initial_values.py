"""Oracle: the model of every seed, really built; equality of bytes."""

import functools
import random
import re

import keras
import numpy as np
import pytest
from keras import layers

from keras_initkit import initializers as kit
from keras_initkit.study.engines.build_record import BuildRecord
from keras_initkit.study.engines.build_replay import BuildReplay, NotReplayable
from keras_initkit.study.engines.initial_values import DifferentComputation, InitialValues
from keras_initkit.study.seeding import replica_randomness

SEEDS = [3, 0, 7, 11]


def compiled(model):
    model.compile("sgd", "mse")
    return model


def mlp(initializer="he_normal", *, seed_of_first=None, **dense):
    first = layers.Dense(5, "tanh", kernel_initializer=initializer if seed_of_first is None else seed_of_first, **dense)
    return compiled(keras.Sequential([keras.Input((4,)), first, layers.Dense(5, kernel_initializer=initializer)]))


def functional(initializer="he_normal"):
    inputs = keras.Input((4,))
    x = layers.Dense(6, "relu", kernel_initializer=initializer, bias_initializer="normal")(inputs)
    x = layers.Dropout(0.3)(x)
    y = layers.Dense(6, kernel_initializer=initializer)(x)
    outputs = layers.Dense(2)(layers.GaussianNoise(0.1)(layers.add([x, y])))
    return compiled(keras.Model(inputs, outputs))


class Subclassed(keras.Model):
    def __init__(self, initializer):
        super().__init__()
        self.inner = layers.Dense(4, kernel_initializer=initializer)
        self.drop = layers.Dropout(0.5)
        self.outer = layers.Dense(2, kernel_initializer=initializer)

    def build(self, shape):
        self.scale = self.add_weight(shape=(4,), initializer="uniform", name="scale")
        self.inner.build(shape)
        self.outer.build((None, 4))

    def call(self, x, training=False):
        return self.outer(self.drop(self.inner(x) * self.scale, training=training))

    def get_config(self):
        return {}


def subclassed(initializer="he_normal"):
    model = compiled(Subclassed(initializer))
    model.build((None, 4))
    return model


class BuiltByCall(Subclassed):
    def build(self, shape):
        self.scale = self.add_weight(shape=(4,), initializer="uniform", name="scale")


def built_by_call(initializer="he_normal"):
    model = compiled(BuiltByCall(initializer))
    model(np.zeros((1, 4), "float32"))
    return model


def convolution(initializer="he_normal"):
    conv = layers.Conv2D(3, 3, kernel_initializer=initializer, use_bias=False)
    norm = layers.BatchNormalization(gamma_initializer="uniform")
    return compiled(
        keras.Sequential(
            [keras.Input((5, 5, 2)), conv, norm, layers.Dropout(0.2), layers.Flatten(), layers.Dense(2, "softmax")]
        )
    )


def lstm(initializer="glorot_uniform"):
    return compiled(
        keras.Sequential([keras.Input((4, 3)), layers.LSTM(4, kernel_initializer=initializer, dropout=0.1)])
    )


def bidirectional(initializer="glorot_uniform"):
    gru = layers.GRU(3, kernel_initializer=initializer)
    return compiled(keras.Sequential([keras.Input((4, 3)), layers.Bidirectional(gru), layers.Dense(2)]))


def attention(initializer="glorot_uniform"):
    inputs = keras.Input((4, 6))
    attended = layers.MultiHeadAttention(2, 3, kernel_initializer=initializer, dropout=0.1)(inputs, inputs)
    return compiled(keras.Model(inputs, layers.EinsumDense("abc,cd->abd", (None, 5))(attended)))


def embedding(initializer="uniform"):
    inputs = keras.Input((4,), dtype="int32")
    x = layers.Embedding(9, 3, embeddings_initializer=initializer)(inputs)
    return compiled(keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(x))))


MODELS = [
    mlp,
    functional,
    subclassed,
    built_by_call,
    convolution,
    lstm,
    bidirectional,
    attention,
    embedding,
]
# What `compare` hands to `build_model`: a name of Keras as it is, everything else as a new instance.
MAKERS = {
    "name": lambda: "he_normal",
    "orthogonal": lambda: "orthogonal",
    "constant": lambda: keras.initializers.Constant(0.5),
    "fresh": lambda: kit.fresh_per_call("he_normal"),
    "scaled_orthogonal": lambda: kit.fresh_per_call(kit.ScaledOrthogonal()),
    "zero": lambda: kit.fresh_per_call("ZerO"),
    "tiled": lambda: kit.fresh_per_call(kit.Tiled(2, "glorot_normal")),
    "nested": lambda: kit.fresh_per_call(kit.Tiled(2, kit.Perturbed("lecun_normal"))),
    "unseeded_instance": lambda: kit.Perturbed(keras.initializers.Orthogonal(gain=2.0)),
    "seeded_instance": lambda: keras.initializers.HeNormal(seed=5),
    "generator": lambda: keras.initializers.RandomNormal(seed=keras.random.SeedGenerator(8)),
}


def same_outputs(one, other):
    rng = np.random.default_rng(0)
    inputs = (getattr(one, "inputs", None) or [keras.KerasTensor((None, 4))])[0]
    shape, dtype = inputs.shape, inputs.dtype
    x = rng.integers(0, 9, (2, *shape[1:])) if "int" in dtype else rng.normal(size=(2, *shape[1:])).astype("float32")
    outputs = [keras.ops.convert_to_numpy(model(x, training=False)) for model in (one, other)]
    return np.allclose(*outputs, rtol=1e-4, atol=1e-6)


def really_built(build, seed):
    with replica_randomness(seed):
        return arrays(build())


def arrays(model):
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in model.variables]


def bits(values):
    return [(v.dtype, v.shape, v.tobytes()) for v in values]


def checked(build, seeds=SEEDS):
    """Return the initial values after comparing all seeds with really built models."""
    expected = {seed: bits(really_built(build, seed)) for seed in seeds}
    values = InitialValues(build, seeds[0], same_outputs)
    assert bits(arrays(values.model)) == expected[seeds[0]]
    for seed in [*seeds, *seeds]:
        assert bits(values.of(seed)) == expected[seed], f"seed {seed}"
    assert bits(arrays(values.model)) == expected[seeds[0]]
    return values


@pytest.mark.parametrize("build", MODELS)
def test_values_are_those_of_the_built_model_and_models_are_spared(build):
    calls = []
    values = checked(lambda: calls.append(1) or build())
    assert (values.replayed, values.reason) == (True, "")
    assert len(calls) == len(SEEDS) + 2  # those of the oracle and two more


def test_nothing_is_replayed_before_a_second_model_was_compared():
    values = InitialValues(mlp, 3, same_outputs)
    assert not values.replayed
    assert "second seed" in values.reason


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("build", [mlp, attention])
def test_initializers_as_a_study_makes_them(build, name):
    values = checked(lambda: build(MAKERS[name]()), SEEDS[:3])
    assert (values.replayed, values.reason) == (True, "")


def test_random_states_of_dropout_are_those_of_the_seed():
    values = checked(functional)
    states = [[v for v in values.of(seed) if v.shape == (2,) and v.dtype.kind in "iu"] for seed in SEEDS]
    assert len(states[0]) == 2
    assert len({int(state[0][0]) for state in states}) == len(SEEDS)


def test_replay_leaves_no_trace():
    class Wrong(Exception):
        pass

    def failing():
        mlp()
        raise Wrong

    def world():
        return random.getstate(), repr(np.random.get_state()), keras.random.SeedGenerator.__init__  # noqa: NPY002

    before = world()
    variable_init = keras.Variable.__init__
    with pytest.raises(Wrong):
        InitialValues(failing, 0, same_outputs)
    values = checked(functional)
    values.of(100)
    assert world() == before
    assert keras.Variable.__init__ is variable_init
    assert "__init__" not in vars(keras.Variable)
    assert keras.src.random.seed_generator.python_random is random


# Not replayed, but exact.


class Copying(layers.Dense):
    """Has a Python constant that depends on the seed."""

    def build(self, shape):
        super().build(shape)
        self.factor = float(keras.ops.convert_to_numpy(self.kernel.value)[0, 0])

    def call(self, x, training=False):
        return super().call(x) * (self.factor if training or not self.trainable else 1.0)


class Hidden(layers.Dense):
    """Hides its constant in a function, where only the outputs show it."""

    def build(self, shape):
        super().build(shape)
        factor = float(keras.ops.convert_to_numpy(self.kernel.value)[0, 0])
        self.scaled = lambda x: x * factor

    def call(self, x):
        return self.scaled(super().call(x))


def stack(*hidden):
    return compiled(keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(2)]))


@pytest.mark.parametrize(
    ("build", "what"),
    [
        (lambda: stack(Copying(3)), "'factor' of the layer 'copying"),
        (lambda: stack(Copying(3, trainable=False)), "'factor' of the layer 'copying"),
        (lambda: stack(Hidden(3)), "outputs with equal variables"),
        (lambda: stack(layers.Dropout(random.uniform(0.1, 0.9))), "configuration of the layer 'dropout"),
        (lambda: stack(layers.Dense(random.randint(3, 10**6) % 1000 + 1)), "configuration of the layer 'dense"),
        (lambda: stack(*[layers.Dense(3) for _ in range(random.randint(1, 10**9) % 50 + 1)]), "number of layers"),
    ],
    ids=["training constant", "attribute", "closure", "rate", "width", "depth"],
)
def test_a_model_that_differs_in_more_than_values_is_refused(build, what):
    values = InitialValues(build, 3, same_outputs)
    for seed in (0, 7):
        with pytest.raises(DifferentComputation, match=f"Expected .* Received: .*{what}"):
            values.of(seed)
    assert not values.replayed
    assert values.reason
    assert bits(values.of(3)) == bits(really_built(build, 3)) == bits(arrays(values.model))


def test_compile_arguments_that_differ_are_named():
    def build():
        model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
        model.compile(keras.optimizers.SGD(random.uniform(0.1, 0.9)), "mse")
        return model

    with pytest.raises(DifferentComputation, match="`learning_rate` of the optimizer"):
        InitialValues(build, 3, same_outputs).of(0)


@pytest.mark.parametrize("draw", [lambda: random.choice([0, 1]), lambda: random.getrandbits(1)])
def test_a_structure_drawn_at_random_is_seen_though_two_models_agree(draw):
    # One draw of a bit advances `random` just as one more seed of Keras would.
    def build():
        return stack(*[layers.Dense(4) for _ in range(1 + draw())])

    depth = {}
    for seed in range(20):
        depth.setdefault(len(really_built(build, seed)), []).append(seed)
    alike, others = sorted(depth.values(), key=len)[::-1]
    values = InitialValues(build, alike[0], same_outputs)
    values.of(alike[1])
    assert not values.replayed
    assert "Python's `random`" in values.reason
    with pytest.raises(DifferentComputation, match="number of layers"):
        values.of(others[0])
    assert bits(values.of(alike[2])) == bits(really_built(build, alike[2]))


class Counting(keras.initializers.Initializer):
    calls = 0

    def __call__(self, shape, dtype=None):
        Counting.calls += 1
        return keras.ops.full(shape, float(Counting.calls), dtype)


class Streams(keras.initializers.RandomNormal):
    """Keeps its seed in a place of its own, and another initializer in a list."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.streams = [self.seed, {"noise": keras.initializers.RandomNormal()}]

    def __call__(self, shape, dtype=None):
        noise = self.streams[1]["noise"](shape, dtype=dtype)
        return noise + keras.random.normal(shape, dtype=dtype, seed=self.streams[0])


class Doubled(keras.initializers.RandomNormal):
    def __call__(self, shape, dtype=None):
        return 2.0 * super().__call__(shape, dtype=dtype)


class Lossy(keras.initializers.RandomNormal):
    """Its config forgets an argument."""

    def __init__(self, gain=1.0, **arguments):
        super().__init__(**arguments)
        self.gain = gain

    def __call__(self, shape, dtype=None):
        return self.gain * super().__call__(shape, dtype=dtype)


class Derived(keras.initializers.RandomNormal):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.seed = self.seed // 2


class Signed(keras.initializers.RandomNormal):
    """Its sign is a bit of its seed, which two seeds may have in common."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.sign = 1.0 if self.seed % 2 else -1.0

    def __call__(self, shape, dtype=None):
        return self.sign * super().__call__(shape, dtype=dtype)


def numpy_initializer(shape, dtype=None):
    return np.random.normal(size=shape).astype(dtype)  # noqa: NPY002


def global_keras_initializer(shape, dtype=None):
    return keras.random.normal(shape, dtype=dtype)


def closure():
    inner = keras.initializers.HeNormal()

    def doubled(shape, dtype=None):
        return 2.0 * inner(shape, dtype=dtype)

    return doubled


def scaled_call(inner, shape, dtype=None):
    return 2.0 * inner(shape, dtype=dtype)


def drawing_initializer(shape, dtype=None):
    return keras.initializers.HeNormal()(shape, dtype=dtype)


def ones(shape, dtype=None):
    return keras.ops.ones(shape, dtype)


def assigned():
    model = mlp()
    model.layers[0].set_weights([np.full((4, 5), 0.25), np.ones(5)])
    return model


def scaled_after_building():
    model = mlp()
    model.layers[0].kernel.assign(model.layers[0].kernel * 2.0)
    return model


class OwnVariable(layers.Layer):
    def __init__(self, value):
        super().__init__()
        self.shift = keras.Variable(value, shape=(3,), name="shift")

    def call(self, x):
        return x + self.shift


class OwnGenerator(layers.Layer):
    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator()

    def build(self, shape):
        self.kernel = self.add_weight(shape=(4, 3), initializer=self.normal, name="kernel")

    def normal(self, shape, dtype=None):
        return keras.random.normal(shape, dtype=dtype, seed=self.generator)

    def call(self, x):
        return keras.ops.matmul(x, self.kernel)


def initializer_used_twice():
    initializer = kit.fresh_per_call("he_normal")
    model = mlp(initializer)
    initializer((2, 2))
    return model


def called_in_training():
    model = functional()
    model(np.ones((2, 4), "float32"), training=True)
    return model


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: mlp(numpy_initializer), "numpy.random"),
        (lambda: mlp(global_keras_initializer), "global generator of `keras.random`"),
        (lambda: mlp(closure()), "A seed was drawn for .*doubled"),
        (lambda: mlp(keras.initializers.HeNormal().__call__), "A seed was drawn for"),
        (lambda: mlp(Derived()), "does not have the value|gives other values"),
        (lambda: mlp(Signed()), "`sign` of .*Signed.* depends on its seed"),
        (lambda: mlp(kit.fresh_per_call(Signed())), "`sign` of .*Signed.* depends on its seed"),
        (lambda: mlp(Lossy(gain=3.0)), "`gain` of .*Lossy.* depends on its seed or is not in its config"),
        (assigned, "does not have the value"),
        (scaled_after_building, "does not have the value"),
        (lambda: stack(layers.Dense(3), OwnVariable(np.zeros(3, "float32"))), "No initializer gave"),
        (lambda: stack(OwnGenerator()), "does not have the value"),
        (initializer_used_twice, "Something else than an initializer draws"),
        (called_in_training, "does not have the value"),
        (lambda: mlp(drawing_initializer), "does not have the value"),
        (lambda: mlp(keras.initializers.RandomUniform(0, random.random())), "Python's `random`"),
    ],
    ids=[
        "numpy",
        "global generator",
        "closure",
        "method",
        "derived seed",
        "bit of the seed",
        "bit of a dropped seed",
        "lossy config",
        "set_weights",
        "assign",
        "array variable",
        "generator of a layer",
        "further draw",
        "advanced state",
        "seed drawn in a call",
        "drawn argument",
    ],
)
def test_what_cannot_be_replayed_is_built(build, reason):
    values = checked(build, SEEDS[:3])
    assert not values.replayed
    assert re.search(reason, values.reason), values.reason


@pytest.mark.parametrize(
    "build",
    [
        lambda: mlp(Streams()),
        lambda: mlp(kit.fresh_per_call(Doubled())),
        lambda: mlp(seed_of_first=keras.initializers.HeNormal(seed=7)),
        lambda: mlp(ones),
        lambda: stack(layers.Dense(3), OwnVariable("uniform")),
        lambda: mlp(dtype="float16"),
        lambda: mlp(dtype="bfloat16"),
        lambda: compiled(keras.models.clone_model(mlp())),
    ],
    ids=["own places of seeds", "own class", "int seed", "function", "own variable", "float16", "bfloat16", "clone"],
)
def test_unusual_builds_are_replayed(build):
    values = checked(build)
    assert (values.replayed, values.reason) == (True, "")


def test_a_seed_drawn_twice_is_not_told_apart():
    model = mlp()
    record = BuildRecord(model, [5, 6, 5], [(variable, "zeros") for variable in model.variables])
    with pytest.raises(NotReplayable, match="same seed twice"):
        BuildReplay(record, arrays(model))


def test_partial_of_an_initializer_is_not_replayed():
    values = InitialValues(lambda: mlp(functools.partial(scaled_call, keras.initializers.HeNormal())), 3, same_outputs)
    assert "A seed was drawn for" in values.reason


def test_initializer_whose_values_depend_on_earlier_calls():
    Counting.calls = 0
    values = InitialValues(lambda: mlp(Counting()), 3, same_outputs)
    assert "does not have the value" in values.reason
    assert values.of(0)[0][0, 0] > 2
    assert not values.replayed


def test_generator_made_outside_of_the_build_is_not_replayed():
    shared = keras.initializers.HeNormal(seed=keras.random.SeedGenerator(1))
    values = InitialValues(lambda: mlp(shared), 3, same_outputs)
    assert "not made in `build_model`" in values.reason
    assert bits(values.of(0)) != bits(values.of(0))


def test_layer_that_all_models_share_keeps_the_values_of_the_first():
    shared = {}

    def build():
        if not shared:
            shared["layer"] = layers.Dense(4)
        return stack(shared["layer"])

    values = InitialValues(build, 3, same_outputs)
    first = bits(values.of(3))
    assert bits(values.of(0))[:2] == first[:2]
    assert "another number of seeds" in values.reason
    assert bits(arrays(values.model)) == first


def test_values_cannot_be_overwritten():
    values = InitialValues(mlp, 3, same_outputs)
    for array in [*values.of(3), *values.of(0)]:
        with pytest.raises(ValueError, match="read-only"):
            array += 1
