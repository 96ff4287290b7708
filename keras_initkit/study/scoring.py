"""From curves to numbers: the target of a study and the convergence metrics of its replicas."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from keras_initkit._checks import check_choice
from keras_initkit.convergence import Target, convergence_metrics
from keras_initkit.study.record import Replica

# The share of the possible improvement that counts as having learned, if no target is given.
_SHARE = 0.9
FROM_STUDY = f"{_SHARE:.0%} of the way from the median loss before training to the best mean final loss of this study"


def scored(replica: Replica, target: Target | None, budget: int) -> Replica:
    """Return the replica with the numbers of its curve; without a target, those of the loss that need none."""
    if replica.status == "failed":
        return replica
    metric = "loss" if target is None else target.metric
    check_choice("the metric of `target`", metric, replica.curves)
    metrics = convergence_metrics(
        replica.curves[metric],
        budget=budget,
        target=None if target is None else target.value,
        direction="min" if target is None else target.direction,
    )
    return replace(replica, metrics=metrics)


def target_of_study(replicas: Sequence[Replica]) -> Target:
    """Return the loss that is 90 % of the way from the start to the best initializer's end.

    θ = L₀ - 0.9 (L₀ - L*), with L₀ the median loss before training over all replicas and L* the lowest, over the
    initializers, of the mean final loss.
    """
    done = [r for r in replicas if r.status == "finished" and np.isfinite(r.curves["loss"]).all()]
    if not done:
        return Target("loss", "min", 0.0)
    start = float(np.median([r.curves["loss"][0] for r in done]))
    names = dict.fromkeys(r.initializer for r in done)
    best = min(float(np.mean([r.curves["loss"][-1] for r in done if r.initializer == name])) for name in names)
    return Target("loss", "min", start - _SHARE * (start - best))
