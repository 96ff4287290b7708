"""Verdicts at epoch 0, confirmed by training: a small net in NumPy, written for this test, counts who stays equal."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest

from keras_initkit.inspection.verdicts import judge_model
from keras_initkit.symmetry.activations import is_odd
from keras_initkit.symmetry.network import Copy, Mix, Network, Space, Values, identity
from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.reading import LayerUnits, Reading, UnitReader

L = keras.layers
WIDTH = 16
SIZES = (2, WIDTH, WIDTH, 3)


# ------------------------------------------------------------------------------------- a net of its own, in NumPy


def rings():
    """400 points on three rings, the class is the ring."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 400)
    angle = rng.uniform(0, 2 * np.pi, 400)
    x = (1 + label)[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]) + 0.1 * rng.standard_normal((400, 2))
    return x, np.eye(3)[label]


def train(weights, activation, *, steps, dropout=0.0):
    """Adam with rate 0.01, batches of 64, softmax cross entropy, all in float64. Returns the weights after training."""
    x, y = rings()
    rng = np.random.default_rng(1)
    weights = [np.array(w, dtype=np.float64) for w in weights]
    mean, square = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for step in range(1, steps + 1):
        batch = rng.choice(400, 64, replace=False)
        inputs, masks = [x[batch]], []
        for layer in range(2):
            z = inputs[-1] @ weights[2 * layer] + weights[2 * layer + 1]
            h = np.tanh(z) if activation == "tanh" else np.maximum(z, 0)
            slope = 1 - h**2 if activation == "tanh" else (z > 0).astype(float)
            mask = (rng.random(h.shape) >= dropout) / (1 - dropout)
            inputs.append(h * mask)
            masks.append(slope * mask)
        logits = inputs[-1] @ weights[4] + weights[5]
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        delta = (p / p.sum(axis=1, keepdims=True) - y[batch]) / 64
        gradients = [None] * 6
        for layer in (2, 1, 0):
            gradients[2 * layer], gradients[2 * layer + 1] = inputs[layer].T @ delta, delta.sum(axis=0)
            if layer:
                delta = (delta @ weights[2 * layer].T) * masks[layer - 1]
        for k, g in enumerate(gradients):
            mean[k] += 0.1 * (g - mean[k])
            square[k] += 0.001 * (g**2 - square[k])
            scale = np.sqrt(square[k] / (1 - 0.999**step)) + 1e-7
            weights[k] -= 0.01 * (mean[k] / (1 - 0.9**step)) / scale
    return weights


def distinct_joint(weights, layer):
    """Number of units of hidden layer 0 or 1 that differ incoming or outgoing, by comparing all pairs."""
    vectors = np.concatenate([weights[2 * layer], weights[2 * layer + 1][None], weights[2 * layer + 2].T]).T
    seen = []
    for vector in vectors:
        if not any(np.abs(vector - other).max() <= 1e-6 * max(np.abs(vectors).max(), 1) for other in seen):
            seen.append(vector)
    return len(seen)


# --------------------------------------------------------------------------------------- the initialisations in play


def glorot():
    rng = np.random.default_rng(3)
    weights = []
    for inputs, outputs in itertools.pairwise(SIZES):
        weights += [rng.normal(0, np.sqrt(2 / (inputs + outputs)), (inputs, outputs)), np.zeros(outputs)]
    return weights


def with_kernels(values, bias=0.0):
    """Glorot with some kernels replaced by a constant."""
    weights = glorot()
    for layer, value in values.items():
        weights[2 * layer] = np.full_like(weights[2 * layer], value)
    rng = np.random.default_rng(4)
    return [w if w.ndim == 2 else w + bias * rng.standard_normal(w.shape) for w in weights]


def tiled():
    weights = glorot()
    weights[0] = np.repeat(weights[0][:, :1], WIDTH, axis=1)
    weights[2] = np.repeat(weights[2][:1], WIDTH, axis=0)
    return weights


def one_pair():
    weights = glorot()
    weights[2][:, 5] = weights[2][:, 9]
    weights[4][5] = weights[4][9]
    return weights


def mirror_pair():
    weights = one_pair()
    weights[2][:, 5] *= -1
    weights[4][5] *= -1
    return weights


def widened(share):
    """Every unit of the second layer twice, its outgoing weights shared out."""
    weights = glorot()
    weights[2] = np.tile(weights[2][:, :8], 2)
    weights[4] = np.concatenate([weights[4][:8] * share, weights[4][:8] * (1 - share)])
    return weights


def positive():
    rng = np.random.default_rng(5)
    return [rng.random(w.shape) if w.ndim == 2 else w for w in glorot()]


EVERY = {0: 0.5, 1: 0.5, 2: 0.5}
ZERO = dict.fromkeys(range(3), 0.0)
FULL = (WIDTH, WIDTH)
# name: weights, verdicts of both layers (tanh, relu if other), joint units at the start and after training
TRUTH = {
    "glorot": (glorot(), ("uninformative", "healthy"), None, FULL, FULL),
    "all constant": (with_kernels(EVERY), ("locked", "locked"), None, (1, 1), (1, 1)),
    "all zeros": (with_kernels(ZERO), ("dead", "dead"), None, (1, 1), (1, 1)),
    "first constant": (with_kernels({0: 0.5}), ("transient", "healthy"), None, FULL, FULL),
    "first zeros": (with_kernels({0: 0.0}), ("transient", "healthy"), ("dead", "dead"), FULL, FULL),
    "second constant": (with_kernels({1: 0.5}), ("uninformative", "transient"), None, FULL, FULL),
    "output constant": (with_kernels({2: 0.5}), ("uninformative", "healthy"), None, FULL, FULL),
    "output zeros": (with_kernels({2: 0.0}), ("uninformative", "healthy"), None, FULL, FULL),
    "second and output constant": (
        with_kernels({1: 0.5, 2: 0.5}), ("uninformative", "locked"), None, (WIDTH, 1), (WIDTH, 1),
    ),
    "first and second constant": (
        with_kernels({0: 0.5, 1: 0.5}), ("locked", "transient"), None, (1, WIDTH), (1, WIDTH),
    ),
    "second and output zeros": (
        with_kernels({1: 0.0, 2: 0.0}), ("dead", "dead"), None, (WIDTH, 1), (WIDTH, 1),
    ),
    "tiled": (tiled(), ("locked", "healthy"), None, (1, WIDTH), (1, WIDTH)),
    # Sixteen biases on a line: two of them are always close.
    "constant, random biases": (with_kernels(EVERY, bias=0.1), ("uninformative", "plateau"), None, FULL, FULL),
    "positive": (positive(), ("uninformative", "healthy"), None, FULL, FULL),
    "one pair": (one_pair(), ("uninformative", "locked"), None, (WIDTH, 15), (WIDTH, 15)),
    "widened in halves": (widened(0.5), ("uninformative", "locked"), None, (WIDTH, 8), (WIDTH, 8)),
    "widened unequally": (widened(1 / 3), ("uninformative", "transient"), None, FULL, FULL),
}  # fmt: skip


@pytest.fixture(scope="module")
def models():
    """One model per activation; every initialisation is put into it."""

    def build(activation, dropout):
        noise = [L.Dropout(dropout)] if dropout else []
        hidden = [step for _ in range(2) for step in (L.Dense(WIDTH, activation), *noise)]
        return keras.Sequential([keras.Input((2,)), *hidden, L.Dense(3)])

    return {(a, d): build(a, d) for a in ("tanh", "relu") for d in (0.0, 0.3)}


def states(model, weights):
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        variable.assign(value)
    return judge_model(UnitReader(model), {}, False)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("name", TRUTH)
def test_the_verdict_before_training_is_what_training_does(models, name, activation):
    weights, verdicts, relu_verdicts, start, end = TRUTH[name]
    before = states(models[activation, 0.0], weights)
    assert tuple(state.verdict for state in before) == ((activation == "relu" and relu_verdicts) or verdicts)
    assert tuple(distinct_joint(weights, layer) for layer in range(2)) == start
    trained = train(weights, activation, steps=300)
    dead = {layer for layer in range(2) if before[layer].verdict == "dead"}
    assert tuple(distinct_joint(trained, layer) for layer in range(2)) == end
    for layer, state in enumerate(before):
        same = {1: WIDTH, 8: WIDTH, 15: 2, WIDTH: 0}[start[layer]]
        assert state.locked == same
        assert state.dead == (WIDTH if layer in dead else 0)
        if layer in dead:
            np.testing.assert_array_equal(trained[2 * layer], weights[2 * layer])
    # What is locked is locked at the end as well, what separates is distinct.
    after = states(models[activation, 0.0], trained)
    assert [state.locked for state in after] == [state.locked for state in before]


def test_a_transient_layer_separates_in_the_first_step():
    for values in ({0: 0.5}, {1: 0.5}):
        [layer] = values
        start, after = with_kernels(values), train(with_kernels(values), "tanh", steps=1)
        assert np.ptp(start[2 * layer], axis=1).max() == 0
        assert len(np.unique(after[2 * layer], axis=1).T) >= 8  # Adam's first step is the sign of the gradient


def test_dropout_releases_what_is_locked_without_it(models):
    weights = with_kernels(EVERY)
    assert [state.verdict for state in states(models["tanh", 0.3], weights)] == ["transient"] * 2
    trained = train(weights, "tanh", steps=300, dropout=0.3)
    assert [distinct_joint(trained, layer) for layer in range(2)] == [WIDTH] * 2
    assert [state.locked for state in states(models["tanh", 0.3], trained)] == [0, 0]
    # Zeros stay dead: a mask multiplies what is zero.
    assert [state.verdict for state in states(models["relu", 0.3], with_kernels(ZERO))] == ["dead"] * 2
    assert not train(with_kernels(ZERO), "relu", steps=20, dropout=0.3)[0].any()


def test_a_mirror_pair_is_locked_under_odd_activations_only(models):
    weights = mirror_pair()
    assert [state.locked for state in states(models["tanh", 0.0], weights)] == [0, 2]
    assert [state.locked for state in states(models["relu", 0.0], weights)] == [0, 0]
    trained = train(weights, "tanh", steps=300)
    np.testing.assert_allclose(trained[2][:, 5], -trained[2][:, 9], rtol=1e-9)
    np.testing.assert_allclose(trained[4][5], -trained[4][9], rtol=1e-9)


def test_a_mirror_pair_under_maximum_pooling_is_not_locked():
    rng = np.random.default_rng(0)
    kernel, rows = rng.standard_normal((3, 1, 4)), rng.standard_normal((4 * 4, 2))
    kernel[..., 1] = -kernel[..., 0]
    rows[1::4] = -rows[0::4]
    for pooling, locked in ((L.AveragePooling1D(2), 2), (L.MaxPooling1D(2), 0)):
        conv, dense = L.Conv1D(4, 3, padding="same", activation="tanh", use_bias=False), L.Dense(2, use_bias=False)
        model = keras.Sequential([keras.Input((8, 1)), conv, pooling, L.Flatten(), dense])
        [state] = states(model, [kernel, rows])
        assert state.locked == locked


@pytest.mark.parametrize(
    ("layers", "verdict"),
    [
        ([L.Dense(4, "tanh"), L.BatchNormalization()], "locked"),
        ([L.Dense(4), L.BatchNormalization(), L.Activation("tanh")], "locked"),
        ([L.Dense(4, "tanh"), L.LayerNormalization()], "locked"),
        ([L.Dense(4, "tanh"), L.BatchNormalization(beta_initializer="normal")], "uninformative"),
        ([L.Dense(4, "tanh", bias_initializer="normal")], "uninformative"),
        ([L.Dense(4, bias_initializer="normal"), L.BatchNormalization(), L.Activation("tanh")], "locked"),
        ([L.Dense(4, "tanh"), L.GaussianNoise(0.1)], "transient"),
        ([L.Dense(4, "tanh"), L.Dropout(0.0)], "locked"),
    ],
)
def test_constants_with_something_behind_them_by_training(layers, verdict):
    keras.utils.set_random_seed(0)
    hidden, output = layers[0], L.Dense(1, kernel_initializer="ones")
    hidden.kernel_initializer = keras.initializers.Constant(0.3)
    model = keras.Sequential([keras.Input((2,)), *layers, output])
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    [before] = states(model, [v.value for v in model.trainable_variables])
    x = np.random.default_rng(0).standard_normal((16, 2)).astype("float32")
    for _ in range(5):
        model.train_on_batch(x, x[:, :1] ** 2)
    kernel = to_numpy(hidden.kernel)
    spread = np.abs(kernel - kernel[:, :1]).max()
    assert before.verdict == verdict
    assert spread < 1e-5 if verdict == "locked" else spread > 1e-5


# -------------------------------------------------------------------------------------------------- negative controls


def functional(*layers, shape):
    return keras.Sequential([keras.Input(shape), *layers])


def frozen(layer):
    layer.trainable = False
    return layer


CONTROLS = {
    "zero output": lambda: functional(
        L.Dense(8, "relu"), L.Dense(8, "tanh"), L.Dense(4, kernel_initializer="zeros"), shape=(6,)
    ),
    "one input": lambda: functional(L.Dense(64, "tanh"), L.Dense(1), shape=(1,)),
    "two inputs": lambda: functional(L.Dense(64, "relu"), L.Dense(1), shape=(2,)),
    "narrow convolution": lambda: functional(
        L.Conv2D(256, 3, activation="relu"), L.GlobalAveragePooling2D(), L.Dense(4), shape=(8, 8, 3)
    ),
    "frozen random": lambda: functional(frozen(L.Dense(8, "relu")), L.Dense(4), shape=(6,)),
    "frozen constant": lambda: functional(
        frozen(L.Conv2D(4, 3, kernel_initializer="ones")),
        L.Flatten(),
        L.Dense(4, kernel_initializer="ones"),
        shape=(4, 4, 1),
    ),
    "frozen zeros": lambda: functional(
        frozen(L.Dense(8, "relu", kernel_initializer="zeros")), L.Dense(4), shape=(6,)
    ),
    "orthogonal": lambda: functional(
        L.Dense(8, "tanh", kernel_initializer="orthogonal"), L.Dense(4, kernel_initializer="orthogonal"), shape=(8,)
    ),
    "identity": lambda: functional(
        *(L.Dense(8, "relu", kernel_initializer="identity") for _ in range(3)), L.Dense(4), shape=(8,)
    ),
    "tiny": lambda: functional(
        *(L.Dense(8, "tanh", kernel_initializer=keras.initializers.RandomNormal(stddev=1e-6)) for _ in range(2)),
        L.Dense(4, kernel_initializer=keras.initializers.RandomNormal(stddev=1e-6)),
        shape=(6,),
    ),
    "tiny under normalisation": lambda: functional(
        L.Dense(8, kernel_initializer=keras.initializers.RandomNormal(stddev=1e-8)), L.BatchNormalization(), L.ReLU(),
        L.Dense(4), shape=(6,),
    ),
    "last scale zero": lambda: residual(),
    "one unit": lambda: functional(
        L.Dense(1, "tanh", kernel_initializer="ones"), L.Dense(4, kernel_initializer="ones"), shape=(6,)
    ),
    "low rank adapters": lambda: adapters(),
}  # fmt: skip


def adapters():
    model = functional(L.Dense(8, "relu"), L.Dense(4), shape=(6,))
    model.layers[0].enable_lora(2)
    return model


@pytest.mark.parametrize("name", CONTROLS)
def test_harmless_initialisations_are_neither_locked_nor_dead(name):
    keras.utils.set_random_seed(1)
    found = judge_model(UnitReader(CONTROLS[name]()), {}, False)
    assert found
    for state in found:
        assert (state.locked, state.dead) == (0, 0)
        assert state.verdict in ("redundant", "healthy", "uninformative")
        assert (state.verdict == "redundant") == (name in ("frozen constant", "frozen zeros"))


def test_a_regression_without_hidden_layer_has_nothing_to_judge():
    assert UnitReader(functional(L.Dense(4, kernel_initializer="zeros"), L.Softmax(), shape=(6,))).paths == []


# ------------------------------------------------------------------------------------------------ judging plain arrays


def layer_units(kernel, outgoing=None, **kwargs):
    kernel = np.asarray(kernel, dtype=np.float32)
    units = kernel.shape[1]
    values = {
        "layer": "layer",
        "kind": "unit",
        "spaces": ((1,),),
        "comparable": True,
        "bias": np.zeros((1, units), np.float32),
        "scales": np.zeros((0, units), np.float32),
        "activation": "gelu",
        "noise": False,
        "frozen": False,
    }
    if outgoing is not None:
        outgoing = np.asarray(outgoing, dtype=np.float32)
    return LayerUnits(kernel=kernel, outgoing=outgoing, **(values | kwargs))


class PlainReader:
    """One layer between inputs and outputs, as a network written down by hand."""

    optimizer = None

    def __init__(self, units, response):
        self.units = units
        self.response = response

    def read(self):
        units = self.units
        inputs, size = units.kernel.shape
        known = units.outgoing is not None
        spaces = [
            Space(inputs, apart=True, given=True),
            Space(size, signed=is_odd(units.activation)),
            Space(size, apart=units.noise or not known, observed=not known),
        ]
        links = [
            Mix(0, 1, units.kernel[:, :, None], trainable=not units.frozen),
            Values(1, units.bias, "shift"),
            Copy(1, 2, identity(size), odd=is_odd(units.activation), response=self.response),
        ]
        if len(units.scales):
            links.append(Values(2, units.scales, "tag"))
        if known:
            spaces.append(Space(len(units.outgoing), apart=True, observed=True))
            links.append(Mix(2, 3, units.outgoing.T[:, :, None]))
        return Reading(Network(spaces, links), [units])


def judge(units, previous=None, trained=False, response=None):
    [state] = judge_model(PlainReader(units, response), {} if previous is None else {units.layer: previous}, trained)
    return state


def random_units(inputs, units, seed, outputs=5):
    rng = np.random.default_rng(seed)
    return layer_units(rng.standard_normal((inputs, units)), rng.standard_normal((outputs, units)))


@pytest.mark.parametrize(
    ("inputs", "units"), [(1, 4), (2, 32), (3, 24), (3, 64), (8, 8), (27, 128), (64, 64), (500, 10)]
)
def test_random_layers_raise_no_alarm(inputs, units):
    # The stated rate is at most 1e-4 per layer; the seeds are fixed.
    layers = [random_units(inputs, units, seed) for seed in range(60)]
    alone = [dataclasses.replace(layer, outgoing=None) for layer in layers]
    assert {judge(layer).verdict for layer in layers + alone} <= {"healthy", "uninformative"}


def test_units_that_are_nearly_equal_are_a_plateau_until_they_are_not():
    rng = np.random.default_rng(0)
    noise_in, noise_out = rng.standard_normal((20, 8)), rng.standard_normal((5, 8))
    for size, verdict in ((1e-9, "locked"), (1e-4, "plateau"), (1e-2, "plateau"), (0.3, "healthy"), (1.0, "healthy")):
        units = layer_units(1 + size * noise_in, 1 + size * noise_out)
        assert judge(units).verdict == verdict
        assert judge(dataclasses.replace(units, frozen=True)).verdict in ("redundant", "healthy")
    # Biases alone lie on a line, where two of eight are close.
    spread = np.linspace(-1, 1, 8, dtype=np.float32)[None]
    for bias, verdict in ((spread, "healthy"), (0.1 * spread, "healthy"), (spread.round(1), "healthy")):
        assert judge(layer_units(np.ones((20, 8)), np.ones((5, 8)), bias=bias)).verdict == verdict
    spread[0, 1] = spread[0, 0] + 0.01
    assert judge(layer_units(np.ones((20, 8)), np.ones((5, 8)), bias=spread)).verdict == "plateau"


@pytest.mark.parametrize(("inputs", "verdict"), [(3, "healthy"), (50, "plateau")])
def test_a_close_pair_counts_only_where_chance_does_not_give_one(inputs, verdict):
    # In 3 dimensions the closest of the 276 pairs of 24 random lines is within √(2 ln 2 / 276) = 0.07 half the time.
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((inputs, 24))
    kernel[:, 1] = kernel[:, 0] * (1 + 5e-3 * rng.choice([-1, 1], inputs))
    assert judge(layer_units(kernel)).verdict == verdict


def test_one_block_of_weights_does_not_hide_the_differences_of_another():
    rng = np.random.default_rng(0)
    small, large = 1e-9 * rng.standard_normal((20, 8)), np.full((5, 8), 1e3)
    assert judge(layer_units(small, large)).verdict == "healthy"
    assert judge(layer_units(np.ones((20, 8)), 1e-9 * rng.standard_normal((5, 8)))).verdict == "transient"
    assert judge(layer_units(small, large, scales=np.ones((1, 8), np.float32))).verdict == "healthy"


def test_without_known_consumers_units_are_locked_once_they_moved_and_stayed_equal():
    kernel = np.random.default_rng(0).standard_normal((6, 4))
    kernel[:, 1] = kernel[:, 0]
    kernel[:, 3] = kernel[:, 2]
    first = judge(layer_units(kernel))
    assert (first.verdict, first.locked) == ("transient", 0)
    assert judge(layer_units(kernel), previous=first).locked == 0  # nothing moved yet
    moved = kernel + 0.1
    moved[:, 3] += 0.1
    second = judge(layer_units(moved), previous=first)
    assert (second.verdict, second.locked) == ("locked", 2)  # 0 and 1; 2 and 3 have separated
    joined = moved.copy()
    joined[:, 3] = joined[:, 2]
    assert judge(layer_units(joined + 0.1), previous=second).locked == 2  # 2 and 3 met only now
    broken = judge(layer_units(np.full((6, 4), np.nan)), previous=first)
    assert judge(layer_units(moved), previous=broken).locked == 0
    assert judge(layer_units(moved, noise=True), previous=first).locked == 0


def pairs_and_zeros():
    """Units 0 and 1 are equal, 2 is zero, 3 and 4 are neither."""
    units = random_units(6, 5, 0)
    units.kernel[:, 1] = units.kernel[:, 0]
    units.kernel[:, 2] = 0
    return units


def test_units_that_training_left_behind_are_dead_if_they_are_equal_or_zero():
    units = pairs_and_zeros()
    first = judge(units)
    assert (first.verdict, first.dead, first.observed) == ("transient", 0, False)
    still = judge(units, previous=first, trained=True)
    assert (still.verdict, still.dead, still.observed) == ("dead", 3, True)
    assert judge(units, previous=first).dead == 0  # nothing of the model moved
    assert judge(units, trained=True).dead == 0  # nothing to compare with
    assert judge(dataclasses.replace(units, frozen=True), previous=first, trained=True).dead == 0
    unknown = dataclasses.replace(units, outgoing=None)
    assert judge(unknown, previous=judge(unknown), trained=True).dead == 3
    broken = judge(dataclasses.replace(units, kernel=units.kernel * np.nan))
    assert judge(units, previous=broken, trained=True).dead == 0


@pytest.mark.parametrize("part", ["kernel", "bias"])
def test_units_that_moved_by_the_smallest_step_are_not_left_behind(part):
    units = pairs_and_zeros()
    moved = np.nextafter(getattr(units, part), np.float32(9))
    assert judge(dataclasses.replace(units, **{part: moved}), previous=judge(units), trained=True).dead == 0


def test_units_that_became_equal_or_zero_only_now_are_not_left_behind():
    units = pairs_and_zeros()
    scales = np.array([[1.0, 2, 1, 1, 1]], np.float32)
    apart = judge(dataclasses.replace(units, scales=scales))
    assert judge(dataclasses.replace(units, scales=np.ones_like(scales)), previous=apart, trained=True).dead == 1


def test_units_that_waited_for_the_weights_behind_them_are_not_left_behind():
    units = pairs_and_zeros()
    closed = judge(dataclasses.replace(units, outgoing=np.zeros_like(units.outgoing)))
    assert judge(units, previous=closed, trained=True).dead == 0
    assert judge(closed.units, previous=closed, trained=True).dead == 3  # and go on waiting


def test_units_that_noise_may_have_hidden_are_left_behind_only_all_together():
    units = dataclasses.replace(pairs_and_zeros(), noise=True)
    first = judge(units)
    assert judge(units, previous=first, trained=True).dead == 3
    moved = units.kernel.copy()
    moved[:, 4] += 1
    assert judge(dataclasses.replace(units, kernel=moved), previous=first, trained=True).dead == 0


def constant(value=0.1):
    return {"kernel_initializer": keras.initializers.Constant(value)}


def residual(**last):
    inputs = keras.Input((5, 5, 2))
    x = L.Conv2D(4, 3, padding="same")(inputs)
    branch = L.Conv2D(4, 3, padding="same", name="watched", **last)(x)
    branch = L.BatchNormalization(gamma_initializer="zeros")(branch)
    return keras.Model(inputs, L.Dense(1)(L.GlobalAveragePooling2D()(L.Add()([x, branch]))))


def watched(**kwargs):
    return L.Dense(4, name="watched", **kwargs)


def scaled_by_zero():
    return L.BatchNormalization(gamma_initializer="zeros")


ZEROS = {"kernel_initializer": "zeros"}
LEFT_BEHIND = {
    "random under a zero scale": lambda: functional(watched(), scaled_by_zero(), L.ReLU(), L.Dense(1), shape=(6,)),
    "zeros under a zero scale": lambda: functional(
        watched(**ZEROS), scaled_by_zero(), L.Activation("tanh"), L.Dense(3), L.Dense(1), shape=(6,)
    ),
    "zeros under dropout and a zero scale": lambda: functional(
        watched(**ZEROS), L.Dropout(0.5), scaled_by_zero(), L.Activation("tanh"), L.Dense(1), shape=(6,)
    ),
    "zeros at the end of a residual branch": lambda: residual(**ZEROS),
    "constants that a normalisation over them takes off": lambda: functional(
        watched(**constant()), L.LayerNormalization(), L.ReLU(), L.Dense(4, **constant()), L.PReLU(), L.Dense(1),
        shape=(6,),
    ),
    "constants that get nothing but zero": lambda: functional(
        L.Dense(4, **constant()), L.LayerNormalization(), L.ReLU(), watched(**constant()), L.PReLU(), L.Dense(1),
        shape=(6,),
    ),
    "constants in groups": lambda: functional(
        watched(activation="tanh", **constant()), L.GroupNormalization(2), L.Dense(1, **constant()), shape=(6,)
    ),
}  # fmt: skip
NOT_LEFT_BEHIND = {
    "constants at the end of a residual branch": lambda: residual(**constant()),
    "constants under a zero scale": lambda: functional(
        watched(**constant()), scaled_by_zero(), L.Activation("tanh"), L.Dense(1), shape=(6,)
    ),
    "random that do not fire": lambda: functional(
        watched(activation="relu", bias_initializer=keras.initializers.Constant(-99.0)), L.Dense(1), shape=(6,)
    ),
    "constants under dropout": lambda: functional(
        watched(activation="tanh", **constant()), L.Dropout(0.5), L.Dense(1), shape=(6,)
    ),
    "constants in groups before random weights": lambda: functional(
        watched(activation="tanh", **constant()), L.GroupNormalization(2), L.Dense(1), shape=(6,)
    ),
    "zeros before zeros": lambda: functional(
        watched(activation="sigmoid", **ZEROS), L.Dense(2, **ZEROS), shape=(6,)
    ),
}  # fmt: skip


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("name", [*LEFT_BEHIND, *NOT_LEFT_BEHIND])
def test_what_is_dead_before_training_or_left_behind_by_it_never_moves(name, steps):
    keras.utils.set_random_seed(0)
    model = (LEFT_BEHIND.get(name) or NOT_LEFT_BEHIND[name])()
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    x = np.random.default_rng(0).standard_normal((16, *model.input_shape[1:])).astype("float32")
    y = x.reshape(16, -1)[:, : model.output_shape[-1]] ** 2
    reader = UnitReader(model, ["watched"])
    [before] = judge_model(reader, {}, False)
    for _ in range(steps):
        model.train_on_batch(x, y)
    [state] = judge_model(reader, {"watched": before}, True)
    for _ in range(4):
        model.train_on_batch(x, y)
    seen_before = name in LEFT_BEHIND and ("zeros" in name or "zero scale" in name)
    assert before.dead == (4 if seen_before else 0)
    if name in LEFT_BEHIND:
        assert (state.verdict, state.dead) == ("locked" if state.locked else "dead", 4)
        np.testing.assert_array_equal(reader.read().layers[0].kernel, before.units.kernel)
    else:
        assert (state.dead, state.observed) == (0, False)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["kernel", "bias", "scales"])
def test_weights_that_are_not_finite_are_exploding(part, value):
    units = dataclasses.replace(random_units(6, 4, 0), scales=np.ones((2, 4), np.float32))
    array = getattr(units, part).copy()
    array[..., 1] = value
    state = judge(dataclasses.replace(units, **{part: array}))
    assert state.verdict == "exploding"
    assert state.similarity is None
    row = state.row(3)
    assert (row["epoch"], row["units"], row["inputs"]) == (3, 4, 6)
    assert all(np.isnan(row[key]) for key in ("rms", "distinct", "locked", "dead", "null_z"))


def test_outgoing_weights_that_are_not_finite_lock_nothing():
    state = judge(layer_units(np.ones((6, 4)), np.full((2, 4), np.nan)))
    assert (state.verdict, state.locked) == ("transient", 0)


def test_the_row_holds_what_was_measured():
    units = random_units(6, 4, 0)
    state = judge(units)
    row = state.row(2)
    assert row["layer"] == "layer"
    assert row["rms"] == state.similarity.rms
    assert row["null_z"] == state.similarity.null_z
    assert (row["distinct"], row["locked"], row["dead"], row["verdict"]) == (4, 0, 0, "healthy")


def flat(value, slope):
    """A function that is the same everywhere it is asked."""
    return lambda at: (np.full_like(at, value), np.full_like(at, slope))


def test_a_unit_is_dead_without_slope_or_without_value_and_readers():
    kernel, outgoing = np.random.default_rng(0).standard_normal((2, 6, 4))
    kernel[:, :2] = 0
    outgoing[:, 1:3] = 0

    def dead(value, slope):
        return judge(layer_units(kernel, outgoing), response=flat(value, slope)).dead

    assert dead(0.0, 0.0) == 2  # relu: units 0 and 1 have no incoming weights
    assert dead(0.0, 1.0) == 1  # tanh: unit 1 has no outgoing weights either
    assert dead(0.5, 0.25) == 0  # sigmoid: its constant output trains the weights behind it
    assert dead(np.nan, np.nan) == 0


def test_a_layer_with_some_dead_and_some_locked_units_is_locked_and_counts_both():
    kernel, outgoing = np.random.default_rng(0).standard_normal((2, 6, 4))
    kernel[:, 0] = 0
    kernel[:, 2], outgoing[:, 2] = kernel[:, 3], outgoing[:, 3]
    state = judge(layer_units(kernel, outgoing), response=flat(0.0, 0.0))
    assert (state.verdict, state.locked, state.dead) == ("locked", 2, 1)


def test_opposite_units_are_said_to_be_so():
    kernel, outgoing = np.random.default_rng(0).standard_normal((2, 6, 4))
    kernel[:, 1], outgoing[:, 1] = kernel[:, 0], outgoing[:, 0]
    units = layer_units(kernel, outgoing, activation="tanh")
    assert (judge(units).locked, judge(units).opposite) == (2, False)
    units.kernel[:, 1] *= -1
    units.outgoing[:, 1] *= -1
    assert (judge(units).locked, judge(units).opposite) == (2, True)
    assert judge(dataclasses.replace(units, activation="gelu")).locked == 0
