"""Inference over seeds: intervals that cover at small numbers of replicas. SciPy does the work."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from keras_initkit._checks import check_finite, check_integer, describe


class Interval(NamedTuple):
    """A point estimate with the ends of its confidence interval.

    Attributes:
        estimate: the estimate.
        low: lower end; NaN if there are too few values for an interval.
        high: upper end; NaN likewise.
    """

    estimate: float
    low: float
    high: float


def success_rate(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return the share of successes with Wilson's interval, which stays inside [0, 1] and has a width at 0 and 1 too.

    Args:
        successes: number of successes, between 0 and `trials`.
        trials: number of trials, at least 1.
        confidence: probability that the interval covers. Defaults to 0.95.

    Raises:
        ValueError: if the counts are impossible, or `confidence` is not between 0 and 1.

    Reference:
        - [Wilson, 1927, Probable inference, the law of succession, and statistical
          inference](https://doi.org/10.1080/01621459.1927.10502953)
    """
    check_integer("trials", trials, 1)
    check_integer("successes", successes, 0)
    if successes > trials:
        raise ValueError(f"Expected at most `trials` successes. Received: successes={successes}, trials={trials}.")
    _check_confidence(confidence)
    low, high = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Interval(successes / trials, float(low), float(high))


def mean_interval(values: Sequence[float] | NDArray[np.floating], confidence: float = 0.95) -> Interval:
    """Return the mean with Student's t interval: mean ± t · s/√n, with s the standard deviation of n values.

    For normal values it covers exactly, at n = 3 too, where a percentile bootstrap does not. For skewed values it
    covers less (exponential ones: 88 % at n = 5, 93 % at n = 32). One value has no interval; equal values have one of
    width 0, which says that nothing varied, not that nothing could.

    Args:
        values: finite numbers of shape `(n,)`, n ≥ 1. A run that diverged is not to be left out: give it a finite
            number, as `convergence_metrics` does.
        confidence: probability that the interval covers. Defaults to 0.95.

    Raises:
        ValueError: if there is no value, one is NaN or infinite, or `confidence` is not between 0 and 1.
    """
    _check_confidence(confidence)
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"Expected `values` to be a sequence of at least one number. Received: {describe(array)}.")
    check_finite("values", array, "Leaving such runs out would flatter the mean; count them, or cap their value.")
    mean = float(array.mean())
    if len(array) == 1:
        return Interval(mean, math.nan, math.nan)
    half = float(stats.t.ppf((1 + confidence) / 2, len(array) - 1) * stats.sem(array))
    return Interval(mean, mean - half, mean + half)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"Expected `confidence` to be between 0 and 1. Received: confidence={describe(confidence)}.")
