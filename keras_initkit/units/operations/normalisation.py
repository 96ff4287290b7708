"""Normalisations: scale and shift of a feature belong to the unit before it."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.network import Copy
from keras_initkit.units.features import NotUnderstood
from keras_initkit.units.functions import zero_or_unknown
from keras_initkit.units.operations.registry import handles
from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call

_layers = keras.layers


@handles(_layers.BatchNormalization)
def batch_normalisation(call: Call, plan: Plan) -> None:
    """With statistics of the batch a constant becomes 0; a frozen one works with its own moving statistics."""
    layer = call.operation
    source = _features(call, plan)
    size = plan.spaces[source].size
    middle = plan.add_space(size)
    if layer.trainable:
        plan.copy(source, middle, response=_centred)
        plan.centred.add((source, middle))
    else:
        plan.copy(source, middle, response=zero_or_unknown)
        for name in ("moving_mean", "moving_variance"):
            plan.values(middle, layer, name, lambda statistic: statistic[None], role="tag")
    _scale_and_shift(call, plan, middle)


@handles(_layers.LayerNormalization, getattr(_layers, "RMSNormalization", None))
def layer_normalisation(call: Call, plan: Plan) -> None:
    """Mean and deviation are those of all features, which keeps equal features equal."""
    centred = isinstance(call.operation, _layers.LayerNormalization) and not call.operation.rms_scaling
    _normalise_groups(call, plan, 1, centred=centred)


@handles(_layers.GroupNormalization)
def group_normalisation(call: Call, plan: Plan) -> None:
    """Mean and deviation are those of a group of neighbouring features, and of all positions."""
    groups = call.operation.groups
    _normalise_groups(call, plan, plan.spaces[_features(call, plan)].size if groups == -1 else groups, centred=True)


@handles(_layers.UnitNormalization)
def unit_normalisation(call: Call, plan: Plan) -> None:
    """Divides by the length over some axes."""
    source = _features(call, plan)
    plan.copy(source, plan.result(call.outputs[0]), response=zero_or_unknown)


def _normalise_groups(call: Call, plan: Plan, groups: int, *, centred: bool) -> None:
    source = _features(call, plan)
    size = plan.spaces[source].size
    middle = plan.add_space(size)
    plan.copy(source, middle, response=zero_or_unknown)
    if centred:
        # Through the mean all features of a group reach each other: one that is zero alone does not stay so, and the
        # opposite of one feature is not the opposite behind.
        group = np.arange(size) * groups // size
        means = plan.add_space(groups)
        to_mean, from_mean = Copy(source, means, group, folded=True), Copy(means, middle, group)
        plan.add_link(lambda _: to_mean)
        plan.add_link(lambda _: from_mean)
    _scale_and_shift(call, plan, middle)


def _features(call: Call, plan: Plan) -> int:
    """Return the features of the input, if it is them that have scales."""
    axis: Any = call.operation.axis
    last = len(call.tensors[0].shape) - 1
    if list(axis if isinstance(axis, (list, tuple)) else [axis]) not in ([-1], [last]):
        raise NotUnderstood
    return plan.space_of(call.tensors[0])


def _scale_and_shift(call: Call, plan: Plan, middle: int) -> None:
    layer = call.operation
    for name in ("gamma", "scale"):
        if isinstance(getattr(layer, name, None), keras.Variable):
            scaled = plan.add_space(plan.spaces[middle].size, product=True)
            plan.scale(middle, scaled, layer, name, lambda scale: scale[None])
            middle = scaled
    behind = plan.result(call.outputs[0])
    plan.copy(middle, behind)
    if isinstance(getattr(layer, "beta", None), keras.Variable):
        plan.values(behind, layer, "beta", lambda shift: shift[None])


def _centred(constants: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.zeros_like(constants), np.ones_like(constants)
