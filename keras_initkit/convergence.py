"""Numbers of one learning curve: when it reaches a target, how fast it starts, how long its plateau is.

A curve is the sequence L(0), L(1), …, L(E): L(0) before training, L(e) after epoch e. The budget B is the number of
epochs that every replica of a study gets. A curve that ends before the budget keeps its last value.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import check_choice, check_integer, check_number, describe

# A loss a hundred times above where it started does not come back within a budget worth waiting for.
_DIVERGED_FACTOR = 100.0
_PLATEAU_SHARE = 0.05
_SLOPE_POINTS = 4
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


@dataclass(frozen=True)
class Target:
    """A value of a metric that counts as having learned.

    Attributes:
        metric: Keras name of the metric, e.g. `"loss"` or `"val_accuracy"`.
        direction: `"min"` if the metric has to fall to the value, `"max"` if it has to rise to it.
        value: the value.
    """

    metric: str
    direction: str
    value: float

    def __str__(self) -> str:
        return f"{self.metric} {'<=' if self.direction == 'min' else '>='} {self.value:.6g}"


def parse_target(target: "float | str | Target") -> Target:
    """Return the `Target` that a number or a text such as `"val_accuracy >= 0.95"` stands for.

    Args:
        target: a number θ, which means `loss <= θ`; or a metric's name, `<=` or `>=`, and a number.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(target, Target):
        return target
    if isinstance(target, (int, float, np.integer, np.floating)) and not isinstance(target, bool):
        if math.isfinite(target):
            return Target("loss", "min", float(target))
    elif isinstance(target, str):
        match = re.fullmatch(rf"\s*([A-Za-z_][\w./ -]*?)\s*(<=|>=)\s*({_NUMBER})\s*", target)
        if match and math.isfinite(float(match[3])):
            return Target(match[1], "min" if match[2] == "<=" else "max", float(match[3]))
    raise ValueError(
        "Expected `target` to be a number (the loss to reach) or a text such as 'val_accuracy >= 0.95'. "
        f"Received: target={describe(target)}."
    )


def convergence_metrics(
    curve: Sequence[float] | NDArray[np.floating],
    *,
    budget: int,
    target: float | None = None,
    direction: str = "min",
) -> dict[str, float]:
    """Describe one learning curve by numbers that stay comparable when some runs fail.

    With L(e) the curve, θ the target and B the budget (signs turned round for `direction="max"`):

    * `diverged`: 1 if some L(e) is NaN or infinite, or, for a falling curve with L(0) > 0, exceeds 100 L(0); else 0.
    * `reached_target`: 1 if L(e) ≤ θ for some e ≤ B before the curve diverged, if it did; else 0.
    * `epochs_to_target`: T = min{e : L(e) ≤ θ}; absent if the target was not reached. What happens later does not
      change it, so a smaller budget gives the same T or none.
    * `epochs_to_target_capped`: min(T, B), with B if it was not reached. Its mean over seeds is the restricted mean
      time to the target, an honest number also if some runs never get there.
    * `aulc`: area under the learning curve, (1/B) ∫ L(e)/L(0) de by the trapezoidal rule, for falling curves with
      L(0) > 0: 1 means nothing was learned, 0 that all was learned at once. After divergence L/L(0) counts as 100.
    * `initial_slope`: slope of the least-squares line through log L(0), …, log L(3) (fewer if the curve is shorter),
      per epoch, for positive falling curves: negative when learning starts at once.
    * `plateau_epochs`: min{e : L(0) - L(e) ≥ 0.05 (L(0) - min L)}, the epochs until learning starts; B if the curve
      never improves.
    * `best`: the best finite value. `final`: the last value, absent if it is not finite.

    Keys whose number cannot be had from the curve are absent, so no value is ever NaN or infinite.

    Example:

    >>> metrics = convergence_metrics([2.0, 1.0, 0.5, 0.4], budget=3, target=0.5)
    >>> metrics["epochs_to_target"], metrics["plateau_epochs"], metrics["aulc"]
    (2.0, 1.0, 0.45)

    Args:
        curve: sequence of shape `(E + 1,)` with the value before training first.
        budget: number B of epochs, at least 1 and at least E.
        target: value θ to reach. Defaults to `None`: the three numbers about the target are absent.
        direction: `"min"` for losses, `"max"` for metrics that should rise. Defaults to `"min"`.

    Returns:
        A dict of finite floats.

    Raises:
        ValueError: for an empty curve, one with more than `budget` epochs, or a target that is not a finite number.

    Reference:
        - [Mattson et al., 2020, MLPerf training benchmark](https://arxiv.org/abs/1910.01500) (time to target)
        - [Royston and Parmar, 2013, Restricted mean survival time](https://doi.org/10.1186/1471-2288-13-152)
    """
    values = np.asarray(curve, dtype=np.float64)
    check_integer("budget", budget, 1)
    check_choice("direction", direction, ("min", "max"))
    if values.ndim != 1 or not 1 <= len(values) <= budget + 1:
        raise ValueError(
            f"Expected `curve` to hold the value before training and at most {budget} epochs (the budget). "
            f"Received: curve={describe(values)}."
        )
    if target is not None:
        check_number("target", target)
    with np.errstate(over="ignore", invalid="ignore"):  # values near the largest float
        metrics = _describe_curve(values, budget, target, direction)
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _describe_curve(values: NDArray[np.float64], budget: int, target: float | None, direction: str) -> dict[str, float]:
    falling = values if direction == "min" else -values
    failed = _divergence_epoch(falling, positive=direction == "min")
    metrics = {"diverged": float(failed is not None)}
    if target is not None:
        metrics |= _time_to_target(falling, target if direction == "min" else -target, budget, failed)
    if direction == "min" and math.isfinite(values[0]) and values[0] > 0:
        metrics["aulc"] = _area(values / values[0], budget, failed)
        metrics |= _initial_slope(values)
    metrics["plateau_epochs"] = _plateau(falling[:failed], budget)
    finite = falling[np.isfinite(falling)]
    if len(finite):
        sign = 1.0 if direction == "min" else -1.0
        metrics["best"] = sign * float(finite.min())
        if math.isfinite(falling[-1]):
            metrics["final"] = sign * float(falling[-1])
    return metrics


def _divergence_epoch(values: NDArray[np.float64], *, positive: bool) -> int | None:
    bad = ~np.isfinite(values)
    if positive and values[0] > 0:
        bad |= values > _DIVERGED_FACTOR * values[0]
    return int(np.argmax(bad)) if bad.any() else None


def _time_to_target(values: NDArray[np.float64], target: float, budget: int, failed: int | None) -> dict[str, float]:
    reached = np.flatnonzero(values[:failed] <= target)
    if not len(reached):
        return {"reached_target": 0.0, "epochs_to_target_capped": float(budget)}
    first = float(reached[0])
    return {"reached_target": 1.0, "epochs_to_target": first, "epochs_to_target_capped": first}


def _area(relative: NDArray[np.float64], budget: int, failed: int | None) -> float:
    held = np.append(relative, np.full(budget + 1 - len(relative), relative[-1]))
    if failed is not None:
        held[failed:] = _DIVERGED_FACTOR
    return float(np.trapezoid(np.minimum(held, _DIVERGED_FACTOR)) / budget)


def _initial_slope(values: NDArray[np.float64]) -> dict[str, float]:
    start = values[:_SLOPE_POINTS]
    if len(start) < 2 or not (np.isfinite(start).all() and (start > 0).all()):
        return {}
    return {"initial_slope": float(np.polyfit(np.arange(len(start)), np.log(start), 1)[0])}


def _plateau(values: NDArray[np.float64], budget: int) -> float:
    if len(values) < 2:
        return float(budget)
    gain = values[0] - values.min()
    if gain <= 0:
        return float(budget)
    return float(np.argmax(values[0] - values >= _PLATEAU_SHARE * gain))
