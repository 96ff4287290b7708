"""Symmetry can return: units that differed become equal, or vanish, in training; the monitor says when, and once."""

import warnings

import keras
import numpy as np
import pytest

from keras_initkit import SymmetryMonitor

L = keras.layers


class Clip(keras.constraints.Constraint):
    """Keeps every weight within ±limit, as the critics of early Wasserstein GANs do."""

    def __init__(self, limit):
        self.limit = limit

    def __call__(self, w):
        return keras.ops.clip(w, -self.limit, self.limit)


class Weights(keras.callbacks.Callback):
    """Keeps the weights before training and after every epoch."""

    def on_train_begin(self, logs=None):
        self.seen = [self.model.get_weights()]

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(self.model.get_weights())


def fit(model, x, y, **options):
    """Train under the monitor; return it, the weights of all epochs, and the warnings."""
    monitor, weights = SymmetryMonitor(), Weights()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, y, verbose=0, callbacks=[monitor, weights], **options)
    return monitor, weights.seen, [str(w.message) for w in caught if w.category is UserWarning]


def told(monitor):
    return [(event.epoch, event.what, event.before, event.after) for event in monitor.events]


# -------------------------------------------------------------------------------------- clipped weights become equal


def critic(limit):
    """Train eight tanh units on a task that wants large weights, which are clipped at a limit, if any."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 4)).astype("float32")
    y = 3 * np.sign(x @ np.array([1, -1, 0.5, 2]))[:, None]
    options = {"use_bias": False, "kernel_constraint": Clip(limit) if limit else None}
    hidden = L.Dense(8, "tanh", name="critic", **options)
    model = keras.Sequential([keras.Input((4,)), hidden, L.Dense(1, **options)])
    model.set_weights([0.025 * rng.uniform(-1, 1, weight.shape) for weight in model.get_weights()])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    keras.utils.set_random_seed(0)
    return fit(model, x, y, batch_size=20, epochs=6)


def distinct(kernel, outgoing):
    """Number of units with different weights, up to the sign that tanh does not see."""
    vectors = np.concatenate([kernel, outgoing.T])
    return len(np.unique(vectors * np.where(vectors[0] < 0, -1, 1), axis=1).T)


def test_clipping_drives_all_units_into_one_corner_where_they_stay():
    monitor, seen, messages = critic(0.05)
    counts = [distinct(*weights) for weights in seen]
    when = counts.index(1)
    assert counts[0] == 8
    assert when >= 2
    assert np.abs(np.concatenate([w.ravel() for w in seen[when]])) == pytest.approx(0.05)
    assert told(monitor) == [(when, "collapsed", 0, 8)]
    assert [row["verdict"] for row in monitor.rows] == ["healthy"] * when + ["locked"] * (7 - when)
    assert monitor.summary().startswith(f"critic: healthy at epoch 0, collapsed at epoch {when} (0 -> 8 units)")
    [message] = messages
    assert f"measured after epoch {when}" in message
    assert "critic: its units collapsed: 1 of 8 are distinct now (8 of 8 units are locked)" in message


def test_without_clipping_the_units_gather_on_one_line_and_differ():
    monitor, seen, messages = critic(None)
    last = monitor.rows[-1]
    assert last["rms"] > 0.99
    assert distinct(*seen[-1]) == 8
    assert (last["verdict"], told(monitor), messages) == ("healthy", [], [])


# ---------------------------------------------------------------- gradient noise makes units vanish (Chen et al., 2023)


def noisy(sigma, rate=0.7):
    """Train six tanh units on two inputs, 1 and -1, whose labels are wrong by ±sigma; one example a step."""
    rng = np.random.default_rng(1)
    x = rng.choice([-1.0, 1.0], (250, 1)).astype("float32")
    y = (np.tanh(x) + sigma * rng.choice([-1, 1], x.shape)).astype("float32")
    options = {"use_bias": False}
    model = keras.Sequential([keras.Input((1,)), L.Dense(6, "tanh", name="hidden", **options), L.Dense(1, **options)])
    model.set_weights([rng.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    # Half the squared error has the gradient that the rate is meant for.
    model.compile(keras.optimizers.SGD(rate / 2), "mse", steps_per_execution=50)
    keras.utils.set_random_seed(0)
    return fit(model, x, y, batch_size=1, epochs=4)


def log_norms(weights):
    vectors = np.concatenate([weights[0], weights[1].T]).astype("float64")
    return np.log10(np.maximum(np.linalg.norm(vectors, axis=0), 1e-99))


def test_label_noise_at_a_large_rate_leaves_one_unit_and_the_others_die_once():
    monitor, seen, messages = noisy(0.8)
    assert log_norms(seen[0]).min() > -2
    zero = [int(np.sum(~np.concatenate([w, v.T]).any(axis=0))) for w, v in seen]
    when = next(epoch for epoch, count in enumerate(zero) if count)
    # They vanish geometrically, by many decades in one epoch, and one that fits the task remains.
    assert zero[when:] == [5] * (5 - when)
    assert np.sort(log_norms(seen[-1]))[-1] > -0.5
    assert told(monitor) == [(when, "collapsed", 0, 5), (when, "died", 0, 5)]
    assert [row["dead"] for row in monitor.rows] == zero
    [message] = messages
    assert f"measured after epoch {when}" in message
    assert "5 of 6 units died: they learned before" in message


@pytest.mark.parametrize(("sigma", "rate"), [(0.0, 0.7), (0.8, 0.02)])
def test_without_noise_or_at_a_small_rate_no_unit_vanishes(sigma, rate):
    monitor, seen, messages = noisy(sigma, rate)
    assert log_norms(seen[-1]).min() > -2
    assert (told(monitor), messages) == ([], [])


# ------------------------------------------------------------------------------------------- too strong weight decay


def decayed(strength):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 6)).astype("float32")
    options = {"kernel_regularizer": keras.regularizers.L2(strength)}
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), L.Dense(8, "relu", name="hidden", **options), L.Dense(1, **options)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return fit(model, x, np.tanh(x[:, :1]), batch_size=8, epochs=4)


def test_relu_units_that_decay_to_zero_are_dead_at_that_epoch():
    monitor, seen, messages = decayed(4.5)
    zero = [int(np.sum(~weights[0].any(axis=0) & ~weights[2].any(axis=1))) for weights in seen]
    assert zero[0] == 0
    assert zero[1] > 0
    assert [row["dead"] for row in monitor.rows] == zero
    assert told(monitor)[0] == (1, "died", 0, zero[1])
    assert len(messages) == 1
    monitor, _, messages = decayed(1e-3)
    assert (told(monitor), messages) == ([], [])
    assert monitor.verdicts == {"hidden": "healthy"}
