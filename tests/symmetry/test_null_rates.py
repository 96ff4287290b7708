"""False alarms of random layers over shapes and distributions of weights, at the levels that are stated."""

import numpy as np
import pytest
from scipy import stats

from keras_initkit.symmetry.null import max_abs_quantile, mean_square_z

LAYERS = 4000
SHAPES = [(4, 9), (8, 3), (8, 16), (16, 5), (16, 27), (16, 64), (32, 9), (32, 64), (64, 27), (24, 100)]
CUT = stats.norm.cdf(-2)  # Keras cuts the normal distribution at two standard deviations


def gaussian(rng, shape):
    return rng.standard_normal(shape)


def uniform(rng, shape):
    return rng.uniform(-1, 1, shape)


def truncated_normal(rng, shape):
    return stats.norm.ppf(rng.uniform(CUT, 1 - CUT, shape))


# Times the level that false alarms of the closest pair may happen. The corners of a cube are the directions in which
# uniform weights are longest, so that with few inputs their units meet there; the README states the factors.
CLOSEST = {gaussian: 1.0, truncated_normal: 1.3, uniform: 2.2}


def cosines(draw, units, inputs):
    """Cosines of all pairs of each layer, `(layers, pairs)`."""
    rng = np.random.default_rng([17, units, inputs])
    vectors = draw(rng, (LAYERS, units, inputs)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    upper = np.triu_indices(units, 1)
    return (vectors @ vectors.transpose(0, 2, 1))[:, upper[0], upper[1]]


def assert_rate(hits, level, *, low, high):
    """Fail if so many hits have a chance below 1e-5 at every rate between `low` and `high` times the level."""
    fewest = stats.binom(len(hits), low * level).ppf(1e-5)
    most = stats.binom(len(hits), high * level).isf(1e-5)
    assert fewest <= hits.sum() <= most, f"{hits.mean() / level:.2f} times the level {level}"


@pytest.mark.parametrize("draw", CLOSEST)
@pytest.mark.parametrize(("units", "inputs"), SHAPES, ids=str)
def test_score_and_closest_pair(draw, units, inputs):
    found = cosines(draw, units, inputs)
    z = np.array([mean_square_z(m, units, inputs) for m in (found**2).mean(axis=1, dtype=np.float64)])
    for level, slack in ((0.05, 0.1), (0.01, 0.35), (0.001, 0.5)):
        assert_rate(z > stats.norm.isf(level), level, low=1 - slack, high=1 + slack)
    closest = np.abs(found).max(axis=1)
    for level in (0.05, 0.01, 0.001):
        hits = closest > max_abs_quantile(units, inputs, level)
        assert_rate(hits, level, low=0.75, high=CLOSEST[draw])


def test_a_wrong_level_is_noticed():
    z = np.random.default_rng(0).standard_normal(LAYERS)
    with pytest.raises(AssertionError, match="times the level"):
        assert_rate(z > stats.norm.isf(0.08), 0.05, low=0.9, high=1.1)
