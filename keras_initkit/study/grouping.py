"""How the replicas of a study are cut into groups: what is trained, shipped, kept and resumed as one piece."""

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

from keras_initkit.study.engines.group import Member, Training

# What a failure or a kill costs: all replicas of a group are trained again.
_MOST = 128
# Multiplications and additions of a group: minutes on two cores, which is what a study that is killed may lose.
_WORK = 5e12
_LEAST = 4
_UNKNOWN_WORKERS = 8
_UNKNOWN_SAMPLES = 10_000  # in an epoch of a dataset that does not tell its length


def groups_of(members: Sequence[Member], model: Any, training: Training, workers: int = 1) -> list[list[Member]]:
    """Return the members in groups, in their order.

    The groups follow from the study alone, not from what is left to do or what is free at the moment, so that a study
    that was interrupted is resumed with the same groups, and gives the same numbers.

    Args:
        members: the replicas of the study.
        model: one of its models.
        training: what the replicas share.
        workers: how many groups are trained at the same time, at least so many are made.
    """
    if not members:
        return []
    size = min(_MOST, max(_LEAST, int(_WORK / max(work_per_replica(model, training), 1))))
    size = max(1, min(size, math.ceil(len(members) / workers)))
    # Groups of equal size need not be compiled for another one.
    count = math.ceil(len(members) / size)
    size = math.ceil(len(members) / max(count, 1))
    return [list(members[start : start + size]) for start in range(0, len(members), size)]


def workers_of(executor: Executor | None) -> int:
    """Return how many groups an executor trains at the same time, as far as it tells."""
    if executor is None:
        return 1
    told = [getattr(executor, name, None) for name in ("workers", "_max_workers")]
    return next((number for number in told if isinstance(number, int)), _UNKNOWN_WORKERS)


def work_per_replica(model: Any, training: Training) -> float:
    """Return about how many operations the training of one replica takes: 6 for each weight, place and sample."""
    samples = training.data.samples or _UNKNOWN_SAMPLES
    each = sum(_uses(layer) * math.prod(weight.shape) for layer in _leaves(model) for weight in layer.trainable_weights)
    return 6.0 * each * samples * training.epochs


def _leaves(model: Any) -> list[Any]:
    return [layer for layer in model._flatten_layers(include_self=False) if not getattr(layer, "_layers", None)]


def _uses(layer: Any) -> int:
    """Return at how many places of one sample a layer uses its weights."""
    try:
        shape = layer.output.shape
    except (AttributeError, ValueError):
        return 1
    return math.prod(size for size in shape[1:-1] if size is not None)
