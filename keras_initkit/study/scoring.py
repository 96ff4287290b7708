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
    """Return the replica with the numbers of its training loss, and those about the target of the target's metric."""
    if replica.status == "failed":
        return replica
    metrics = convergence_metrics(replica.curves["loss"], budget=budget)
    if target is not None:
        check_choice("the metric of `target`", target.metric, replica.curves)
        about_target = convergence_metrics(
            replica.curves[target.metric], budget=budget, target=target.value, direction=target.direction
        )
        metrics |= {name: value for name, value in about_target.items() if "target" in name}
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
