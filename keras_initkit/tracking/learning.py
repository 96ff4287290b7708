"""The curves of one `fit`, and what `keras_initkit.convergence` says about them."""

import math
from collections.abc import Mapping

from keras_initkit._checks import check_choice
from keras_initkit.convergence import Target, convergence_metrics
from keras_initkit.tracking.keys import convergence_name

_ABOUT_TARGET = ("epochs_to_target", "epochs_to_target_capped", "reached_target")
_FROM_EPOCH_0 = ("aulc", "initial_slope", "plateau_epochs")


class LearningCurves:
    """Collects the numbers of every epoch under their names in Keras' `logs`.

    Args:
        target: what counts as learned, None if nothing was asked for.
    """

    def __init__(self, target: Target | None):
        self._target = target
        self._points: dict[str, dict[int, float]] = {}

    def add(self, epoch: int, values: Mapping[str, float]) -> None:
        """Keep the values after `epoch` epochs."""
        for name, value in values.items():
            self._points.setdefault(name, {})[epoch] = value

    def check_target(self) -> None:
        """Raise if the metric of the target is none that the model computes; validation may come in a later epoch.

        Raises:
            ValueError: with the metrics there are.
        """
        if self._target is not None:
            known = {f"{prefix}{name.removeprefix('val_')}" for name in self._points for prefix in ("", "val_")}
            check_choice("target", self._target.metric, sorted(known))

    def convergence(self, first: int, budget: int) -> dict[str, float]:
        """Return the convergence metrics of the training loss, and the time to target of the target's metric.

        Args:
            first: number of the epoch that training began after, 0 unless `fit` was given an `initial_epoch`.
            budget: number of epochs that `fit` was asked for, counted from there.

        Returns:
            The metrics that are defined. Without a value before training those that refer to it are left out.
        """
        found: dict[str, float] = {}
        start, losses = self._curve("loss", first, budget)
        if len(losses) > 1:
            facts = convergence_metrics(losses, budget=budget - start)
            left_out = _ABOUT_TARGET if start == 0 else _ABOUT_TARGET + _FROM_EPOCH_0
            found |= {convergence_name(key): value for key, value in facts.items() if key not in left_out}
        if self._target is not None:
            found |= self._time_to_target(self._target, first, budget)
        return found

    def _time_to_target(self, target: Target, first: int, budget: int) -> dict[str, float]:
        start, curve = self._curve(target.metric, first, budget)
        if not curve:
            return {}
        # Before the metric is known the target counts as not reached; the filler is as bad as the worst known value.
        finite = [value for value in curve if math.isfinite(value)]
        filler = max([target.value + 1, *finite]) if target.direction == "min" else min([target.value - 1, *finite])
        curve = [filler] * start + curve
        facts = convergence_metrics(curve, budget=budget, target=target.value, direction=target.direction)
        return {key: facts[key] for key in _ABOUT_TARGET if key in facts}

    def _curve(self, name: str, first: int, budget: int) -> tuple[int, list[float]]:
        """Return how many epochs after `first` a metric is first known, and its values from there on.

        Epochs without a value, as with `validation_freq` above 1, repeat the one before: nothing was seen to change.
        """
        points = {epoch - first: value for epoch, value in self._points.get(name, {}).items()}
        if not points:
            return 0, []
        start, end = min(points), min(max(points), budget)
        values: list[float] = []
        for epoch in range(start, end + 1):
            values.append(points.get(epoch, values[-1] if values else points[start]))
        return start, values
