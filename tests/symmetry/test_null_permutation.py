"""The permutation null: false alarms at the stated level whatever the weights, and alarms where units are alike."""

import doctest
import math

import numpy as np
import pytest
from scipy import stats

from keras_initkit.symmetry import cosine_matrix, null_permutation, permutation_null, unit_similarity
from keras_initkit.symmetry.null import max_abs_quantile

LAYERS, SHUFFLES = 400, 19


def heavy_tailed(rng, inputs, units):
    return rng.standard_t(1.5, (inputs, units))


def positive(rng, inputs, units):
    return rng.uniform(0, 1, (inputs, units))


def unequal_inputs(rng, inputs, units):
    return rng.standard_normal((inputs, units)) * np.logspace(0, 2, inputs)[:, None]


def sparse_signs(rng, inputs, units):
    return rng.choice([-1.0, 0.0, 0.0, 1.0], (inputs, units))


DRAWS = [heavy_tailed, positive, unequal_inputs, sparse_signs]


def copied(weights, noise=0.0):
    """The same layer with one unit overwritten by another."""
    weights = weights.copy()
    weights[:, 3] = weights[:, 8] * (1 + noise)
    return weights


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize(("units", "inputs"), [(4, 9), (16, 6), (12, 30)], ids=str)
def test_false_alarms_at_the_stated_level(draw, units, inputs):
    rng = np.random.default_rng([1, units, inputs])
    found = [permutation_null(draw(rng, inputs, units), shuffles=SHUFFLES, seed=layer) for layer in range(LAYERS)]
    for name in ("rms_p", "max_abs_p"):
        p = np.array([getattr(one, name) for one in found])
        for level in (0.05, 0.25, 0.5):
            hits = int((p <= level + 1e-9).sum())
            assert hits <= stats.binom(LAYERS, level).isf(1e-5), (name, level)
            if draw is not sparse_signs:  # where values tie the test is cautious
                assert hits >= stats.binom(LAYERS, level).ppf(1e-5), (name, level)


@pytest.mark.parametrize("draw", [heavy_tailed, positive, unequal_inputs])
def test_scores_are_centred_where_those_of_gaussian_weights_are_not(draw):
    rng = np.random.default_rng(2)
    layers = [draw(rng, 12, 24) for _ in range(100)]
    scores = [permutation_null(layer, shuffles=40, seed=i).rms_z for i, layer in enumerate(layers)]
    # A mean of 100, each with the error of the mean and of the deviation of 40 shuffles
    assert abs(np.mean(scores)) < 5 * math.sqrt((1 + 1 / 40) / 100) * 1.1
    assert 0.7 < np.std(scores) < 1.5
    found = [unit_similarity(layer) for layer in layers]
    if draw is heavy_tailed:  # symmetric about 0, so the mean of c² is that of chance, but a few weights rule
        limit = max_abs_quantile(24, 12, 0.001)
        assert np.mean([one.max_abs > limit for one in found]) > 0.1  # a hundred times the level
    else:
        assert np.mean([one.null_z > 3.09 for one in found]) > 0.9


@pytest.mark.parametrize("draw", DRAWS)
def test_one_copied_unit_is_the_closest_pair(draw):
    weights = copied(draw(np.random.default_rng(3), 60, 40))
    found = permutation_null(weights)
    assert found.max_abs == pytest.approx(1)
    if draw is heavy_tailed:  # one huge weight makes any two units parallel that share it
        assert found.max_abs_p <= 0.5
    else:
        assert found.max_abs_p == 0.01
        assert found.max_abs_z > 5


def test_condensed_units_stand_out_among_positive_weights():
    rng = np.random.default_rng(4)
    lines = rng.uniform(0, 1, (50, 2))
    weights = lines[:, rng.integers(0, 2, 30)] + 0.3 * rng.uniform(0, 1, (50, 30))
    found = permutation_null(weights)
    assert found.rms_p == 0.01
    assert found.rms_z > 5


def test_the_numbers_of_the_layer_itself():
    weights = np.random.default_rng(5).standard_normal((10, 14))
    weights[:, 2] = weights[:, 3] = 0
    found, similarity = permutation_null(weights, shuffles=2), unit_similarity(weights)
    assert found.rms == pytest.approx(similarity.rms, abs=1e-13)
    assert found.max_abs == similarity.max_abs == 1
    assert found.shuffles == 2


def test_against_a_loop_over_shuffles():
    weights = np.random.default_rng(6).standard_normal((5, 8))
    rng, by_chance = np.random.default_rng(11), []
    upper = np.triu_indices(8, 1)
    for _ in range(30):
        pairs = cosine_matrix(rng.permuted(weights.T, axis=0), axis=0)[upper]
        by_chance.append((math.sqrt(np.mean(pairs**2)), np.abs(pairs).max()))
    pairs = cosine_matrix(weights)[upper]
    observed = (math.sqrt(np.mean(pairs**2)), np.abs(pairs).max())
    found = permutation_null(weights, shuffles=30, seed=11)
    columns = zip(observed, zip(*by_chance, strict=True), ("rms", "max_abs"), strict=True)
    for value, chance, name in columns:
        assert getattr(found, name) == pytest.approx(value)
        assert getattr(found, f"{name}_p") == pytest.approx((1 + sum(c >= value for c in chance)) / 31)
        z = (value - np.mean(chance)) / np.std(chance, ddof=1)
        assert getattr(found, f"{name}_z") == pytest.approx(z, abs=1e-9)


def test_each_input_keeps_its_own_values(monkeypatch):
    weights = np.arange(24.0).reshape(4, 6) ** 2 + 1
    seen = []
    real = null_permutation.directions
    monkeypatch.setattr(null_permutation, "directions", lambda v, rows: (seen.append(rows.copy()), real(v, rows))[1])
    permutation_null(weights, shuffles=5)
    assert len(seen) == 6
    for rows in seen:
        np.testing.assert_array_equal(np.sort(rows.T, axis=1), weights)
    assert len({rows.tobytes() for rows in seen}) == 6


def test_equal_seeds_give_equal_results():
    weights = np.random.default_rng(7).standard_normal((6, 9)).astype(np.float32)
    before = weights.copy()
    assert permutation_null(weights, seed=1) == permutation_null(weights, seed=1)
    assert permutation_null(weights, seed=1) != permutation_null(weights, seed=2)
    assert permutation_null(weights.T, axis=0, seed=1) == permutation_null(weights, seed=1)
    assert np.array_equal(weights, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 0.3])
@pytest.mark.parametrize("units", [2, 7, 300])
def test_shuffling_equal_units_changes_nothing(dtype, value, units):
    weights = np.full((5, units), value, dtype) * np.arange(1, 6, dtype=dtype)[:, None]
    found = permutation_null(weights, shuffles=9)
    assert (found.rms_z, found.rms_p, found.max_abs_z, found.max_abs_p) == (0, 1, 0, 1)
    assert found.rms == pytest.approx(1)
    assert found.max_abs == 1


@pytest.mark.parametrize("units", [0, 1])
def test_fewer_than_two_units(units):
    found = permutation_null(np.ones((3, units)))
    values = (found.rms, found.rms_z, found.rms_p, found.max_abs, found.max_abs_z, found.max_abs_p)
    assert all(map(math.isnan, values))


@pytest.mark.parametrize(("shuffles", "seed", "name"), [(1, 0, "shuffles"), (2.5, 0, "shuffles"), (9, -1, "seed")])
def test_bad_numbers(shuffles, seed, name):
    with pytest.raises(ValueError, match=rf"Expected `{name}` to be an integer of at least \d. Received: {name}="):
        permutation_null(np.ones((2, 2)), shuffles=shuffles, seed=seed)


def test_values_that_are_not_finite():
    with pytest.raises(ValueError, match=r"Expected `vectors` to hold finite numbers\. Received: 1 NaN"):
        permutation_null([[1.0, math.nan], [0.0, 1.0]])


def test_examples():
    found = doctest.testmod(null_permutation)
    assert found.failed == 0
    assert found.attempted == 5
