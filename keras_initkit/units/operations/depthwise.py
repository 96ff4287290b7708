"""Depthwise and separable convolutions: every channel has filters of its own."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.units.features import UnitsAt
from keras_initkit.units.functions import layer_activation
from keras_initkit.units.operations.activations import activate
from keras_initkit.units.operations.arguments import require_channels_last
from keras_initkit.units.operations.dense import add_bias, as_taps, layer_units
from keras_initkit.units.operations.registry import handles
from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call

_layers = keras.layers


@handles(_layers.DepthwiseConv1D, _layers.DepthwiseConv2D, units=True)
def depthwise_convolution(call: Call, plan: Plan) -> None:
    """Filter j of channel c, of `(*window, channels, multiplier)`, gives feature c · multiplier + j.

    With one filter per channel it belongs to the unit that the channel is; with more they are units.
    """
    require_channels_last(call.operation)
    filter_each_channel(call, plan, call.operation.depth_multiplier)


def filter_each_channel(call: Call, plan: Plan, multiplier: int) -> None:
    """Add a layer with `multiplier` filters for each channel, as a convolution with one group per channel is too."""
    layer = call.operation
    filtered, taps = _filter_channels(layer, "kernel", plan.space_of(call.tensors[0]), multiplier, plan)
    units = plan.add_space(plan.spaces[filtered].size)
    plan.copy(filtered, units)
    add_bias(layer, units, plan)
    if multiplier > 1:
        plan.units.append(UnitsAt(layer, (units, taps), comparable=False))
    activate(plan, units, call.outputs[0], layer_activation(layer))


@handles(_layers.SeparableConv1D, _layers.SeparableConv2D, units=True)
def separable_convolution(call: Call, plan: Plan) -> None:
    """Filter every channel, then mix them with a kernel `(1, ..., channels · multiplier, filters)`."""
    layer = call.operation
    require_channels_last(layer)
    source = plan.space_of(call.tensors[0])
    filtered, _ = _filter_channels(layer, "depthwise_kernel", source, layer.depth_multiplier, plan)
    units = layer_units(layer, layer.filters, plan)
    plan.mix(filtered, units, layer, "pointwise_kernel", lambda kernel: as_taps(kernel.reshape(kernel.shape[-2:])))
    add_bias(layer, units, plan)
    activate(plan, units, call.outputs[0], layer_activation(layer))


def _filter_channels(layer: Any, name: str, source: int, multiplier: int, plan: Plan) -> tuple[int, int]:
    """Add filters and return the spaces of the filtered channels, and of the filters.

    What a filter does is written as a factor, which is zero if all its taps are.
    """
    channels = plan.spaces[source].size
    always = plan.add_space(1, given=True)
    taps = plan.add_space(channels * multiplier)
    filtered = plan.add_space(channels * multiplier, product=True)

    def as_inputs_of_one(kernel: NDArray[Any]) -> NDArray[Any]:
        return kernel.reshape(-1, channels * multiplier).T[None]

    plan.mix(always, taps, layer, name, as_inputs_of_one)
    plan.readers.discard(always)
    plan.copy(source, filtered, np.repeat(np.arange(channels), multiplier))
    plan.copy(taps, filtered, odd=False)
    return filtered, taps
