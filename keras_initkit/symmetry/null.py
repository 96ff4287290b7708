"""What chance gives: cosines between random unit vectors of a given dimension.

For n vectors drawn independently with directions uniform on the sphere of R^d, the cosine c of a pair has the density
of a symmetric Beta variable, c² ~ Beta(1/2, (d - 1)/2), and the cosines of any two pairs are independent (but not
those of three pairs that form a triangle). Gaussian weights have such directions exactly; other zero-mean weights of
equal variance have them approximately.
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
    """Return nd/(n + d - 1), the participation ratio of n random vectors with d inputs whose mean c² is 1/d."""
    return units * inputs / (units + inputs - 1)


def mean_square_z(mean_square: float, units: int, inputs: int) -> float:
    """Return how far the mean of c² over all pairs lies above chance, as a standard normal score.

    With m the mean of c² over the N = n(n - 1)/2 pairs and k = (d - 1)(d + 2)/2, chance gives m the mean 1/d, the
    variance 2(d - 1)/(d²(d + 2)N) and the skewness g = (s + 2(n - 2)/√k)/√N, where s is the skewness of c². Let x be m
    in standard deviations above its mean. The cube root of Wilson and Hilferty takes the skewness out:

        z = (6/g) ((1 + gx/2)^(1/3) - 1) + g/6

    so z > 3.09 happens by chance about once in a thousand times for n ≥ 4 and d ≥ 3, where x > 3.09 would happen up to
    twenty times as often. z tends to x for large n and d. It grows for a common direction, for opposite units and for
    clusters alike.

    Args:
        mean_square: mean of the squared cosine over all pairs, in [0, 1].
        units: number n of vectors.
        inputs: number d of inputs.

    Returns:
        The score; NaN if there are fewer than two units or fewer than two inputs, where nothing varies.

    Reference:
        - [Wilson and Hilferty, 1931, The distribution of chi-square](https://doi.org/10.1073/pnas.17.12.684)
    """
    if units < 2 or inputs < 2:
        return math.nan
    pairs = units * (units - 1) / 2
    variance = 2 * (inputs - 1) / (inputs**2 * (inputs + 2))
    x = (mean_square - 1 / inputs) / math.sqrt(variance / pairs)
    skewness = mean_square_skewness(units, inputs)
    if skewness == 0:
        return x
    return float(6 / skewness * (np.cbrt(1 + skewness * x / 2) - 1) + skewness / 6)


def mean_square_skewness(units: int, inputs: int) -> float:
    """Return the skewness that chance gives the mean of c² over all pairs, for at least two units and two inputs."""
    of_pair = 4 * (inputs - 2) / (inputs + 4) * math.sqrt((inputs + 2) / (2 * (inputs - 1)))
    # Three pairs that form a triangle: their joint third moment is that of the trace of a cubed covariance.
    of_triangles = 2 * (units - 2) / math.sqrt((inputs - 1) * (inputs + 2) / 2)
    return (of_pair + of_triangles) / math.sqrt(units * (units - 1) / 2)


def max_abs_quantile(units: int, inputs: int, false_alarm: float) -> float:
    """Return the cosine that the closest pair of random units exceeds with probability `false_alarm`.

    The pairs are treated as independent, which is exact for two units. Otherwise the probability is never above
    -log(1 - `false_alarm`), the sum over the pairs, and in practice a little below `false_alarm`.

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
