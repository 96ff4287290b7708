"""The net of the truth table, 2-16-16-3 on three rings, its initialisations, and how its units are counted by hand."""

import itertools

import keras
import numpy as np

WIDTH = 16
SIZES = (2, WIDTH, WIDTH, 3)
LAYERS = ("first", "second")


def rings():
    """400 points on three rings; the class is the ring."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 400)
    angle = rng.uniform(0, 2 * np.pi, 400)
    x = (1 + label)[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]) + 0.1 * rng.standard_normal((400, 2))
    return x.astype("float32"), label


def build(activation, noise=None):
    """Return the net, compiled; `noise` makes the layer that follows each hidden layer."""
    steps = []
    for name in LAYERS:
        steps += [keras.layers.Dense(WIDTH, activation, name=name), *([noise()] if noise else [])]
    model = keras.Sequential([keras.Input((2,)), *steps, keras.layers.Dense(3, "softmax")])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return model


def train(restarting, weights):
    """Train for 100 steps from these weights and return the weights after."""
    model = restarting.start(weights)
    x, y = rings()
    keras.utils.set_random_seed(0)
    # One epoch of ten times the data: an epoch costs more than its steps.
    model.fit(np.tile(x, (10, 1)), np.tile(y, 10), batch_size=40, verbose=0)
    return model.get_weights()


# ------------------------------------------------------------------------------------------------------ initialisations


def random_weights():
    rng = np.random.default_rng(3)
    weights = []
    for inputs, outputs in itertools.pairwise(SIZES):
        weights += [rng.normal(0, np.sqrt(2 / (inputs + outputs)), (inputs, outputs)), np.zeros(outputs)]
    return weights


def constant(values, bias_std=0.0):
    """Random weights with some kernels replaced by a constant, and random biases where asked."""
    weights, rng = random_weights(), np.random.default_rng(4)
    for layer, value in values.items():
        weights[2 * layer] = np.full_like(weights[2 * layer], value)
    return [w if w.ndim == 2 else bias_std * rng.standard_normal(w.shape) for w in weights]


def tiled():
    """One random column throughout the first kernel, one random row throughout the second."""
    weights = random_weights()
    weights[0] = np.repeat(weights[0][:, :1], WIDTH, axis=1)
    weights[2] = np.repeat(weights[2][:1], WIDTH, axis=0)
    return weights


def positive():
    rng = np.random.default_rng(5)
    return [rng.random(w.shape) if w.ndim == 2 else w for w in random_weights()]


def one_pair(sign=1):
    """Two units of the second layer equal, incoming and outgoing, up to the sign."""
    weights = random_weights()
    weights[2][:, 5], weights[4][5] = sign * weights[2][:, 9], sign * weights[4][9]
    return weights


def widened(share):
    """Each of eight units of the second layer twice, its outgoing weights shared out, as Net2Wider does."""
    weights = random_weights()
    weights[2] = np.tile(weights[2][:, :8], 2)
    weights[4] = np.concatenate([weights[4][:8] * share, weights[4][:8] * (1 - share)])
    return weights


# ------------------------------------------------------------------------------------------------------------- counting


def incoming(weights, layer):
    return np.concatenate([weights[2 * layer], weights[2 * layer + 1][None]]).T


def joint(weights, layer):
    return np.concatenate([incoming(weights, layer), weights[2 * layer + 2]], axis=1)


def with_company(vectors, mirror=False, tolerance=1e-3):
    """Number of vectors that agree with another one up to rounding and what it grows to, by looking at all pairs."""
    size = np.abs(vectors).max() or 1.0

    def same(a, b):
        return min(np.abs(a - b).max(), np.abs(a + b).max() if mirror else np.inf) <= tolerance * size

    return sum(any(same(a, b) for j, b in enumerate(vectors) if j != i) for i, a in enumerate(vectors))
