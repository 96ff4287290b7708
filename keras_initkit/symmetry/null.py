"""What chance gives: cosines between random unit vectors of a given dimension.

For n vectors drawn independently with directions uniform on the sphere of R^d, the cosine c of a pair has the density
of a symmetric Beta variable, c² ~ Beta(1/2, (d - 1)/2), and the cosines of different pairs are uncorrelated. Gaussian
weights have such directions exactly; other zero-mean weights of equal variance have them approximately.
"""

import math

import numpy as np
from scipy import special, stats

# A pair of random vectors closer than this cosine can hardly be told from twins in float32 pictures and tables.
_NEARLY_PARALLEL = 0.999


def expected_mean_square(inputs: int) -> float:
    """Return E[c²] = 1/d for vectors with d inputs."""
    return 1.0 / inputs


def expected_absolute(inputs: int) -> float:
    """Return E|c| = Γ(d/2) / (√π Γ((d + 1)/2)), about √(2/(πd)) for many inputs d."""
    return math.exp(special.gammaln(inputs / 2) - special.gammaln((inputs + 1) / 2)) / math.sqrt(math.pi)


def expected_participation(units: int, inputs: int) -> float:
    """Return the participation ratio nd/(n + d - 1) that n random vectors with d inputs have on average."""
    return units * inputs / (units + inputs - 1)


def mean_square_z(mean_square: float, units: int, inputs: int) -> float:
    """Return how many standard deviations the mean of c² over all pairs lies above chance.

    z = (m - 1/d) / √(2/(n(n - 1)) · Var c²) with Var c² = 2(d - 1)/(d²(d + 2)), where m is the mean of c² over the
    n(n - 1)/2 pairs. It grows for a common direction, for opposite units and for clusters alike.

    Args:
        mean_square: mean of the squared cosine over all pairs, in [0, 1].
        units: number n of vectors.
        inputs: number d of inputs.

    Returns:
        The z-score; NaN if there are fewer than two units or fewer than two inputs, where nothing varies.
    """
    if units < 2 or inputs < 2:
        return math.nan
    variance = 2 * (inputs - 1) / (inputs**2 * (inputs + 2))
    return (mean_square - 1 / inputs) / math.sqrt(2 / (units * (units - 1)) * variance)


def max_abs_quantile(units: int, inputs: int, false_alarm: float) -> float:
    """Return the cosine that the closest pair of random units exceeds with probability `false_alarm`.

    The pairs are treated as independent, which is exact for two units and a close upper bound otherwise.

    Args:
        units: number n of vectors, at least 2.
        inputs: number d of inputs.
        false_alarm: probability in (0, 1).

    Returns:
        The quantile of max|c|, in [0, 1]; 1.0 with one input, where every pair is parallel.
    """
    if inputs < 2:
        return 1.0
    pairs = units * (units - 1) / 2
    per_pair = -math.expm1(math.log1p(-false_alarm) / pairs)
    return float(np.sqrt(stats.beta(0.5, (inputs - 1) / 2).isf(per_pair)))


def is_informative(units: int, inputs: int) -> bool:
    """Return whether similarity can say anything about this shape.

    With one or two inputs, or so many units that some random pair is practically parallel anyway, a cosine near 1 is
    what chance gives (the median of the closest pair exceeds 0.999).
    """
    return units >= 2 and inputs >= 3 and max_abs_quantile(units, inputs, 0.5) < _NEARLY_PARALLEL
