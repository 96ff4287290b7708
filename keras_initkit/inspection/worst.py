"""One number for a model with many layers: the statistic of the layer that is worst off."""

import functools
import math
from collections.abc import Callable
from typing import Any

from keras_initkit._checks import check_choice
from keras_initkit.symmetry.null import expected_absolute, expected_mean_square, expected_participation, is_informative

# The null distribution of a shape is asked for at every measurement, and takes longer than the measurement itself.
_is_informative = functools.cache(is_informative)

STATISTICS = ("mean", "rms", "mean_abs", "max_abs", "participation", "distinct", "locked", "dead")

# How much worse than chance, or than a healthy layer, a value is; comparable between layers of different shape.
_BADNESS: dict[str, Callable[[dict[str, Any]], float]] = {
    "mean": lambda row: abs(row["mean"]),
    "rms": lambda row: row["rms"] - math.sqrt(expected_mean_square(row["inputs"])),
    "mean_abs": lambda row: row["mean_abs"] - expected_absolute(row["inputs"]),
    "max_abs": lambda row: row["max_abs"],
    "participation": lambda row: -row["participation"] / expected_participation(row["units"], row["inputs"]),
    "distinct": lambda row: -row["distinct"] / row["units"],
    "locked": lambda row: row["locked"] / row["units"],
    "dead": lambda row: row["dead"] / row["units"],
}


def worst_value(rows: list[dict[str, Any]], statistic: str) -> float:
    """Return the value of a statistic in the layer where it is worst.

    Layers differ in width and number of inputs, so they are compared by the distance from what chance gives (cosines
    and participation) or by the share of their units (`distinct`, `locked`, `dead`); the value itself is returned.
    Layers where similarity says nothing count only if there is no other.

    Args:
        rows: the rows of one epoch, as `SymmetryMonitor.rows` has them.
        statistic: one of `STATISTICS`.

    Returns:
        The value as a float; NaN if no layer has a finite one.
    """
    check_choice("statistic", statistic, STATISTICS)
    finite = [row for row in rows if math.isfinite(row[statistic])]
    informative = [row for row in finite if _is_informative(row["units"], row["inputs"])]
    candidates = finite if statistic in ("distinct", "locked", "dead") else informative or finite
    if not candidates:
        return math.nan
    return float(max(candidates, key=_BADNESS[statistic])[statistic])
