"""Convolutions and transposed convolutions: a unit is a filter, the positions of the window are taps."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.units.functions import layer_activation
from keras_initkit.units.operations.activations import activate
from keras_initkit.units.operations.arguments import require_channels_last
from keras_initkit.units.operations.dense import add_bias, group_connections, layer_units, spread_groups, tag_low_rank
from keras_initkit.units.operations.depthwise import filter_each_channel
from keras_initkit.units.operations.registry import handles
from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call

_layers = keras.layers


@handles(_layers.Conv1D, _layers.Conv2D, _layers.Conv3D, units=True)
def convolution(call: Call, plan: Plan) -> None:
    """Kernels are `(*window, channels of a group, filters)`."""
    layer = call.operation
    require_channels_last(layer)
    source, groups = plan.space_of(call.tensors[0]), layer.groups
    if groups == plan.spaces[source].size > 1:
        filter_each_channel(call, plan, layer.filters // groups)
        return
    units = layer_units(layer, layer.filters, plan)
    plan.mix(
        source,
        units,
        layer,
        "kernel",
        lambda kernel: spread_groups(_taps_last(kernel), groups) if groups > 1 else _taps_last(kernel),
        present=group_connections(plan.spaces[source].size, layer.filters, groups) if groups > 1 else None,
    )
    add_bias(layer, units, plan)
    if groups == 1:
        tag_low_rank(layer, source, units, plan)
    activate(plan, units, call.outputs[0], layer_activation(layer))


@handles(_layers.Conv1DTranspose, _layers.Conv2DTranspose, _layers.Conv3DTranspose, units=True)
def transposed_convolution(call: Call, plan: Plan) -> None:
    """Kernels are `(*window, filters, channels)`."""
    layer = call.operation
    require_channels_last(layer)
    source, units = plan.space_of(call.tensors[0]), layer_units(layer, layer.filters, plan)
    plan.mix(source, units, layer, "kernel", lambda kernel: _taps_last(np.moveaxis(kernel, -2, -1)))
    add_bias(layer, units, plan)
    activate(plan, units, call.outputs[0], layer_activation(layer))


def _taps_last(kernel: NDArray[Any]) -> NDArray[Any]:
    """Return a kernel `(*window, channels, filters)` as weights `(channels, filters, taps)`."""
    return np.moveaxis(kernel.reshape(-1, *kernel.shape[-2:]), 0, -1)
