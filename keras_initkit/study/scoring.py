"""From curves to numbers: the target of a study and the convergence metrics of its replicas."""

import difflib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from keras_initkit.convergence import Target, convergence_metrics
from keras_initkit.study.record import Replica

# The share of the possible improvement that counts as having learned, if no target is given.
_SHARE = 0.9
_LEAST = 0.05  # an improvement below this share of the loss before training is no learning
FROM_STUDY = (
    f"{_SHARE:.0%} of the way from the lowest median loss before training to the best mean final loss of this study"
)


def scored(replica: Replica, target: Target | None, budget: int) -> Replica:
    """Return the replica with the numbers of its training loss, and those about the target of the target's metric."""
    if replica.status == "failed":
        return replica
    metrics = convergence_metrics(replica.curves["loss"], budget=budget)
    if target is not None:
        check_metric(target, list(replica.curves))
        about_target = convergence_metrics(
            replica.curves[target.metric], budget=budget, target=target.value, direction=target.direction
        )
        metrics |= {name: value for name, value in about_target.items() if "target" in name}
    return replace(replica, metrics=metrics)


def check_metric(target: Target, names: Sequence[str]) -> None:
    """Raise if a study does not measure the target's metric.

    Raises:
        ValueError: with the metrics there are, and the nearest.
    """
    if target.metric in names:
        return
    advice = ""
    near = difflib.get_close_matches(target.metric, names, n=1)
    if target.metric.startswith("val_") and not any(name.startswith("val_") for name in names):
        advice = " Give `validation_data`."
    elif near:
        advice = f" Did you mean {near[0]!r}?"
    raise ValueError(
        f"Expected the metric in `target` to be one that the model measures: {', '.join(map(repr, names))}. "
        f"Received: target={str(target)!r}.{advice}"
    )


def target_of_study(replicas: Sequence[Replica]) -> Target:
    """Return the loss that is 90 % of the way from the start to the best initializer's end.

    θ = L₀ - 0.9 · max(L₀ - L*, 0.05 |L₀|), with L₀ the lowest, over the initializers, of the median loss before
    training, so that no initializer starts at the target, and L* the lowest mean final loss. Where no initializer
    learns, the second term keeps the target out of reach. Replicas that diverge have no say.
    """
    done = [r for r in replicas if r.status == "finished" and np.isfinite(r.curves["loss"]).all()]
    calm = [r for r in done if not convergence_metrics(r.curves["loss"], budget=len(r.curves["loss"]))["diverged"]]
    if not calm:
        return Target("loss", "min", 0.0)
    by_name = {
        name: [r.curves["loss"] for r in calm if r.initializer == name] for name in {r.initializer for r in calm}
    }
    start = min(float(np.median([curve[0] for curve in curves])) for curves in by_name.values())
    best = min(float(np.mean([curve[-1] for curve in curves])) for curves in by_name.values())
    return Target("loss", "min", start - _SHARE * max(start - best, _LEAST * abs(start)))
