"""XOR from small weights: a long wait that ends, no fault; and from equal weights: a wait that never ends."""

import keras
import numpy as np
import pytest

import keras_initkit as ik

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
LABELS = np.array([[0], [1], [1], [0]], dtype=float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def start(units, std, seed):
    rng = np.random.default_rng(seed)
    return [std * rng.standard_normal((2, units)), np.zeros(units), std * rng.standard_normal((units, 1)), np.zeros(1)]


def descend(weights, rate, steps):
    """Gradient descent on the mean cross entropy; yields the weights and the loss after every step."""
    w, b, v, c = (np.array(weight) for weight in weights)
    for _ in range(steps):
        hidden = sigmoid(INPUTS @ w + b)
        output = sigmoid(hidden @ v + c)
        loss = -np.mean(LABELS * np.log(output) + (1 - LABELS) * np.log(1 - output))
        yield [w.copy(), b.copy(), v.copy(), c.copy()], loss
        delta = (output - LABELS) / len(LABELS)
        back = (delta @ v.T) * hidden * (1 - hidden)
        v -= rate * hidden.T @ delta
        c -= rate * delta.sum(axis=0)
        w -= rate * INPUTS.T @ back
        b -= rate * back.sum(axis=0)


def net(units):
    layers = [keras.layers.Dense(units, "sigmoid", name="hidden"), keras.layers.Dense(1, "sigmoid")]
    return keras.Sequential([keras.Input((2,)), *layers])


def steps_until(run, loss):
    return next((step for step, (_, now) in enumerate(run) if now < loss), None)


@pytest.mark.parametrize(("units", "seed"), [(2, 3), (5, 0)])
def test_small_weights_wait_longer_and_learn_in_the_end_without_an_error(units, seed):
    waits = []
    model = net(units)
    for std in (1.0, 0.3, 0.1):
        run = list(descend(start(units, std, seed), 2.0, 4000))
        waits.append(steps_until(run, 0.6))
        monitor = ik.SymmetryMonitor(on_locked="raise")
        for step in range(0, 4000, 500):
            model.set_weights(run[step][0])
            monitor.measure(model, step)
            assert ik.inspect(model).ok
        assert {row["verdict"] for row in monitor.rows} <= {"plateau", "healthy", "uninformative"}
        assert {(row["locked"], row["dead"], row["distinct"]) for row in monitor.rows} == {(0, 0, units)}
        assert run[-1][1] < 0.05
    assert waits[0] * 3 < waits[1]
    assert waits[1] * 3 < waits[2]


@pytest.mark.parametrize("units", [2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_tiny_weights_are_no_error_although_nothing_is_learnt_for_long(units, seed):
    weights = start(units, 0.01, seed)
    *_, (_, loss) = descend(weights, 2.0, 1000)
    assert loss == pytest.approx(np.log(2), abs=1e-3)
    model = net(units)
    model.set_weights(weights)
    inspection = ik.inspect(model)
    assert inspection.ok
    assert [row["verdict"] for row in inspection.rows] in (["plateau"], ["uninformative"])


@pytest.mark.parametrize("units", [2, 5])
def test_equal_weights_are_an_error_and_never_solve_it(units):
    weights = [np.full_like(weight, 0.5) for weight in start(units, 1.0, 0)]
    *_, (end, loss) = descend(weights, 2.0, 4000)
    assert np.ptp(end[0], axis=1) == pytest.approx(0, abs=1e-9)
    # One unit, whatever its weights, draws one line; XOR needs two.
    assert loss > 0.4
    model = net(units)
    model.set_weights(weights)
    inspection = ik.inspect(model)
    assert [row["verdict"] for row in inspection.rows] == ["locked"]
    assert not inspection.ok
