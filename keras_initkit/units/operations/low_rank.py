"""Weights of a layer, with the low-rank update that LoRA trains beside them if it is switched on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.units.features import NotUnderstood
from keras_initkit.units.operations.dense import as_taps
from keras_initkit.units.plan import Plan, Shape


def mix_with_update(
    plan: Plan, source: int, target: int, layer: Any, name: str, matrix: Shape, *, groups: int = 1
) -> None:
    """Add the weights W of a layer, or W + A B where LoRA is switched on: two more links, through the rank.

    Args:
        plan: the plan.
        source: the space that is read.
        target: the space that is written.
        layer: the layer.
        name: the attribute of the weights, `"kernel"` or `"embeddings"`.
        matrix: brings W to `(inputs, units)`.
        groups: how many times A and B hold the same units side by side (heads).

    Raises:
        NotUnderstood: if one B works on several groups.
    """
    if not getattr(layer, "lora_enabled", False):
        plan.mix(source, target, layer, name, lambda weights: as_taps(matrix(weights)))
        return
    if groups > 1:
        raise NotUnderstood
    rank = plan.add_space(layer.lora_rank)
    plan.mix(source, target, layer, f"_{name}", lambda weights: as_taps(matrix(weights)))
    plan.mix(source, rank, layer, f"lora_{name}_a", lambda a: as_taps(_flat_inputs(a)))
    plan.mix(rank, target, layer, f"lora_{name}_b", as_taps)


def _flat_inputs(a: NDArray[Any]) -> NDArray[Any]:
    return a.reshape(int(np.prod(a.shape[:-1])), -1)
