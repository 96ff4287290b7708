"""The symmetric plateau of Saad and Solla (1995): both units become one, and part after a time linear in ln(1/std)."""

import keras
import numpy as np
import pytest

from keras_initkit import SymmetryMonitor
from keras_initkit.symmetry import unit_similarity
from tests.physics.soft_committee import HIDDEN, INPUTS, generalisation_error, learn, plateau_error

STDS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
SMALL = STDS[1:]
EVERY = 2
TIME = 420
PER_DECADE = 68  # units of time, measured for this rate and size


@pytest.fixture(scope="module")
def weights():
    return learn(STDS, seeds=8, time=TIME, every=EVERY)


@pytest.fixture(scope="module")
def cosines(weights):
    """Mean cosine of the units as the kit measures it, `(times, stds, seeds)`."""
    nets = weights.reshape(-1, HIDDEN, INPUTS)
    return np.reshape([unit_similarity(net, axis=0).mean for net in nets], weights.shape[:3])


def escape_time(curve):
    """Time at which the cosine falls below 0.5 for good."""
    last = np.flatnonzero(curve >= 0.5)[-1]
    above, below = curve[last], curve[last + 1]
    return EVERY * (last + (above - 0.5) / (above - below))


def escape_times(cosines):
    return np.array([[escape_time(curve) for curve in per_std.T] for per_std in cosines[:, 1:].transpose(1, 0, 2)])


def on_plateau(array, std):
    """The part of an array of all times in which units that started with this std are on the plateau."""
    return array[30 // EVERY : 130 // EVERY, STDS.index(std)]


def test_both_units_are_one_on_the_plateau_whatever_they_were_before(cosines):
    assert np.abs(cosines[0]).max() < 0.3
    assert on_plateau(cosines, 1e-3).min() > 0.9995
    assert on_plateau(cosines, 1e-4).min() > 0.99999
    # Units that start as large as the teacher's never get that close.
    assert cosines[:, 0].mean(axis=1).max() < 0.7
    # In the end every unit has a teacher unit of its own.
    assert np.abs(cosines[-1, 1:3]).max() < 0.02


def test_the_plateau_lies_where_theory_puts_it(weights):
    assert plateau_error(HIDDEN) == pytest.approx(0.01161, abs=1e-5)
    nets = on_plateau(weights, 1e-3).reshape(-1, HIDDEN, INPUTS)
    error = np.mean([generalisation_error(net) for net in nets])
    # A finite rate adds to the error at small rates.
    assert 1.1 < error / plateau_error(HIDDEN) < 1.4
    assert np.mean(nets[:, :, :HIDDEN]) == pytest.approx(1 / np.sqrt(HIDDEN * (2 * HIDDEN - 1)), rel=0.03)
    assert np.mean(np.sum(nets**2, axis=2)) == pytest.approx(1 / (2 * HIDDEN - 1), rel=0.05)
    # The plateau is left for the teacher itself.
    assert max(generalisation_error(net) for net in weights[-1, 1]) < 1e-4


def test_the_escape_time_is_linear_in_the_logarithm_of_the_initial_std(cosines):
    times = escape_times(cosines)
    per_decade = np.diff(times.mean(axis=1))
    assert per_decade == pytest.approx([PER_DECADE] * 3, rel=0.1)
    assert per_decade.max() / per_decade.min() < 1.1
    # Each student alone: same start, same examples, only the scale differs.
    assert np.diff(times, axis=0) == pytest.approx(PER_DECADE, rel=0.2)
    line = np.polyfit(np.log10(SMALL), times.mean(axis=1), 1)
    assert times.mean(axis=1) == pytest.approx(np.polyval(line, np.log10(SMALL)), abs=3)


def erf(z):
    return keras.ops.erf(z / np.sqrt(2))


@pytest.fixture(scope="module")
def committee():
    hidden = keras.layers.Dense(HIDDEN, erf, use_bias=False, name="hidden")
    total = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", trainable=False, name="sum")
    return keras.Sequential([keras.Input((INPUTS,)), hidden, total])


def watch(model, weights, times):
    monitor = SymmetryMonitor()
    for time in times:
        model.layers[0].set_weights([weights[time // EVERY].T])
        monitor.measure(model, time)
    return monitor


@pytest.mark.parametrize("std", [1e-3, 1e-4])
def test_the_verdict_is_plateau_on_the_plateau_and_healthy_after_the_drop(committee, weights, cosines, std):
    case, seed = STDS.index(std), 0
    drop = escape_time(cosines[:, case, seed])
    monitor = watch(committee, weights[:, case, seed], range(0, TIME, 10))
    rows = monitor.rows
    assert [row["locked"] + row["dead"] for row in rows] == [0] * len(rows)
    assert [event.what for event in monitor.events] == ["condensed", "escaped"]
    condensed, escaped = (event.epoch for event in monitor.events)
    assert rows[0]["verdict"] == "healthy"
    assert {row["verdict"] for row in rows if condensed <= row["epoch"] < escaped} == {"plateau"}
    assert {row["verdict"] for row in rows if row["epoch"] > drop} == {"healthy"}
    assert condensed <= 10
    # Units count as nearly equal up to a gap of 0.01; it takes two decades to 1, and a little more where it saturates.
    assert drop - 2.5 * PER_DECADE < escaped <= drop + 10


def test_a_larger_start_leaves_the_plateau_earlier_also_for_the_verdict(committee, weights):
    escapes = [watch(committee, weights[:, STDS.index(std), 1], range(120, TIME, 6)).events[-1] for std in (1e-3, 1e-4)]
    assert [event.what for event in escapes] == ["escaped"] * 2
    assert escapes[1].epoch - escapes[0].epoch == pytest.approx(PER_DECADE, rel=0.2)


def test_units_that_start_as_large_as_the_teachers_have_no_plateau(committee, weights):
    for seed in range(4):
        monitor = watch(committee, weights[:, 0, seed], range(0, TIME, 20))
        assert {row["verdict"] for row in monitor.rows} == {"healthy"}
        assert monitor.events == []
