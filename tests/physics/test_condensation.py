"""Condensation (Zhou et al., 2022): from tiny weights the units of a layer gather on few lines within 100 steps."""

from dataclasses import dataclass

import keras
import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

import keras_initkit as ik
from keras_initkit.symmetry import cosine_matrix, unit_similarity
from keras_initkit.symmetry.null import expected_participation
from tests.physics.restarting import Restarting

L = keras.layers
UNITS = 50
STEPS = 100
SEEDS = range(3)


def x_tanh(z):
    return z * keras.ops.tanh(z)


# activation and rate of Adam
CASES = {"tanh": ("tanh", 1e-3), "sigmoid": ("sigmoid", 8e-4), "x tanh": (x_tanh, 1e-3)}


def task(seed):
    """80 points in five dimensions, and a sum of quick waves."""
    x = np.random.default_rng(seed).uniform(-4, 2, (80, 5)).astype("float32")
    return x, 3.5 * np.sin(5 * x + 1).sum(axis=1, keepdims=True)


def vectors(model):
    """The weights into each unit with its bias, `(inputs + 1, units)`."""
    kernel, bias = model.layers[0].get_weights()
    return np.concatenate([kernel, bias[None]])


def sizes_of_lines(incoming):
    """Numbers of units on each line, largest first: groups that hang together by |cosine| above 0.95."""
    _, line = connected_components(np.abs(cosine_matrix(incoming)) > 0.95, directed=False)
    return np.sort(np.bincount(line))[::-1]


@dataclass(frozen=True)
class Run:
    """One training: the weights into the units before and after, all weights after, and what the monitor saw."""

    start: np.ndarray
    end: np.ndarray
    weights: list
    monitor: ik.SymmetryMonitor

    @property
    def lines(self):
        return len(sizes_of_lines(self.end))


@pytest.fixture(scope="module")
def models():
    built = {}
    for name, (activation, rate) in CASES.items():
        built[name] = keras.Sequential([keras.Input((5,)), L.Dense(UNITS, activation, name="hidden"), L.Dense(1)])
        built[name].compile(keras.optimizers.Adam(rate), "mse")
    return built


@pytest.fixture(scope="module")
def runs(models):
    restarting = {name: Restarting(model) for name, model in models.items()}
    return {(name, seed): train(restarting[name], seed) for name in models for seed in SEEDS}


def train(restarting, seed):
    rng = np.random.default_rng(100 + seed)
    shapes = [weight.shape for weight in restarting.model.get_weights()]
    model = restarting.start([rng.normal(0, 0.005, shape) for shape in shapes])
    start, monitor = vectors(model), ik.SymmetryMonitor()
    # One epoch of as many batches as steps, each of them all the points.
    x, y = (np.tile(array, (STEPS, 1)) for array in task(seed))
    model.fit(x, y, batch_size=80, shuffle=False, verbose=0, callbacks=[monitor])
    return Run(start, vectors(model), model.get_weights(), monitor)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CASES)
def test_units_are_spread_as_chance_has_it_before_training(runs, name, seed):
    start = unit_similarity(runs[name, seed].start)
    assert len(sizes_of_lines(runs[name, seed].start)) >= 45
    assert start.participation == pytest.approx(expected_participation(UNITS, 6), rel=0.05)
    assert abs(start.null_z) < 3.1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_the_units_gather_on_one_line(runs, name, seed):
    run = runs[name, seed]
    assert sizes_of_lines(run.end)[0] >= UNITS - 2
    end = unit_similarity(run.end)
    assert 1 <= end.participation < 1.2
    assert end.rms > 0.9
    assert end.mean_abs > 0.9
    assert end.null_z > 15


@pytest.mark.parametrize("seed", SEEDS)
def test_the_mean_cosine_of_an_odd_activation_does_not_see_it(runs, seed):
    start, end = unit_similarity(runs["tanh", seed].start), unit_similarity(runs["tanh", seed].end)
    by_chance = np.sqrt(2 / (UNITS * (UNITS - 1) * 6))  # standard deviation of the mean in a random layer
    assert abs(end.mean) < 3 * by_chance
    assert abs(start.mean) < 3 * by_chance
    assert end.rms > 2 * start.rms
    # Half of the units point each way.
    side = np.sign(runs["tanh", seed].end.T @ runs["tanh", seed].end[:, 0])
    assert abs(side.sum()) < UNITS / 2


@pytest.mark.parametrize("seed", SEEDS)
def test_an_activation_that_is_flat_at_zero_gathers_on_more_lines(runs, seed):
    # Each root of multiplicity two doubles what a tiny unit can align with.
    two, one = runs["x tanh", seed], runs["tanh", seed]
    assert two.lines > one.lines
    assert unit_similarity(two.end).participation > 1.5 * unit_similarity(one.end).participation
    assert unit_similarity(two.end).null_z > 5


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CASES)
def test_the_monitor_shows_it_and_nobody_calls_it_a_fault(models, runs, name, seed):
    run = runs[name, seed]
    before, after = run.monitor.rows
    assert after["null_z"] > before["null_z"] + 5
    assert after["participation"] < before["participation"] - 1.5
    assert (after["locked"], after["dead"], after["distinct"]) == (0, 0, UNITS)
    model = models[name]
    model.set_weights(run.weights)
    inspection = ik.inspect(model)
    assert inspection.ok
    assert [finding for finding in inspection.findings if finding.severity == "error"] == []
