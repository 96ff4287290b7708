"""Layers and operations that move features about, or work along the other axes."""

from typing import Any

import keras
import numpy as np

from keras_initkit.units.features import NotUnderstood, feature_count
from keras_initkit.units.functions import zero_or_unknown
from keras_initkit.units.operations.arguments import require_channels_last
from keras_initkit.units.operations.registry import handles, handles_operations
from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call

_layers = keras.layers


@handles(
    _layers.Identity,
    _layers.ActivityRegularization,
    _layers.AveragePooling1D,
    _layers.AveragePooling2D,
    _layers.AveragePooling3D,
    _layers.GlobalAveragePooling1D,
    _layers.GlobalAveragePooling2D,
    _layers.GlobalAveragePooling3D,
    _layers.UpSampling1D,
    _layers.UpSampling2D,
    _layers.UpSampling3D,
    _layers.Cropping1D,
    _layers.Cropping2D,
    _layers.Cropping3D,
    _layers.RepeatVector,
    _layers.Masking,
    _layers.Resizing,
    _layers.CenterCrop,
)
def same_features(call: Call, plan: Plan) -> None:
    """Keep the features of the last axis, in their order."""
    require_channels_last(call.operation)
    plan.set_space(call.outputs[0], plan.space_of(call.tensors[0]))


@handles(_layers.ZeroPadding1D, _layers.ZeroPadding2D, _layers.ZeroPadding3D)
def padding(call: Call, plan: Plan) -> None:
    """Keep the features, but no constants: at the border they are 0."""
    require_channels_last(call.operation)
    plan.copy(plan.space_of(call.tensors[0]), plan.result(call.outputs[0]), response=zero_or_unknown)


@handles(
    _layers.MaxPooling1D,
    _layers.MaxPooling2D,
    _layers.MaxPooling3D,
    _layers.GlobalMaxPooling1D,
    _layers.GlobalMaxPooling2D,
    _layers.GlobalMaxPooling3D,
)
def max_pooling(call: Call, plan: Plan) -> None:
    """Keep the features, but not their signs: the largest of opposites is not the opposite of the largest."""
    require_channels_last(call.operation)
    plan.copy(plan.space_of(call.tensors[0]), plan.result(call.outputs[0]), odd=False)


@handles(_layers.Flatten, _layers.Reshape)
def reshape_layer(call: Call, plan: Plan) -> None:
    """Positions and features in one axis, features in several axes, or the other way round."""
    require_channels_last(call.operation)
    _reshape(call, plan)


@handles_operations("Reshape")
def reshape_operation(call: Call, plan: Plan) -> None:
    """`keras.ops.reshape`."""
    _reshape(call, plan)


@handles(_layers.Permute)
def permute_layer(call: Call, plan: Plan) -> None:
    """Understood if the features stay last."""
    _permute(call, plan, [0, *call.operation.dims])


@handles_operations("Transpose")
def transpose_operation(call: Call, plan: Plan) -> None:
    """`keras.ops.transpose`."""
    _permute(call, plan, call.operation.axes)


@handles_operations("ExpandDims", "Squeeze", "Repeat", "Pad", "Flip", "Roll", "Tile")
def along_another_axis(call: Call, plan: Plan) -> None:
    """Understood if the last axis is as long as before, and the operation names another axis."""
    before, after = call.tensors[0].shape, call.outputs[0].shape
    axis = getattr(call.operation, "axis", 1)
    axes = axis if isinstance(axis, (list, tuple)) else [axis]
    rank = max(len(before), len(after))  # the axis is one of the longer shape, where there is a difference
    if before[-1] != after[-1] or any(a is None or a % rank == rank - 1 for a in axes):
        raise NotUnderstood
    source = plan.space_of(call.tensors[0])
    if type(call.operation).__name__ == "Pad":  # with any constant
        behind = plan.result(call.outputs[0])
        plan.copy(source, behind, odd=False, response=lambda at: (np.full_like(at, np.nan), np.ones_like(at)))
    else:
        plan.set_space(call.outputs[0], source)


@handles_operations("GetItem")
def get_item(call: Call, plan: Plan) -> None:
    """`x[:, 0]`, `x[..., :n]`."""
    tensor, key = call.tensors[0], (*call.args, *call.kwargs.values())[1]
    parts = list(key) if isinstance(key, tuple) else [key]
    rank = len(tensor.shape)
    if any(part is None or not isinstance(part, (int, slice, type(Ellipsis))) for part in parts):
        raise NotUnderstood
    if Ellipsis in parts:
        where = parts.index(Ellipsis)
        parts[where : where + 1] = [slice(None)] * (rank - len(parts) + 1)
    source = plan.space_of(tensor)
    last = parts[rank - 1] if len(parts) == rank else slice(None)
    if isinstance(last, int):
        raise NotUnderstood
    if last == slice(None):
        plan.set_space(call.outputs[0], source)
    else:
        plan.copy(source, plan.result(call.outputs[0]), np.arange(plan.spaces[source].size)[last])


@handles_operations("Split", "ArraySplit")
def split(call: Call, plan: Plan) -> None:
    """Parts along the features, or along another axis."""
    source = plan.space_of(call.tensors[0])
    rank = len(call.tensors[0].shape)
    if call.operation.axis % rank != rank - 1:
        for output in call.outputs:
            plan.set_space(output, source)
        return
    start = 0
    for output in call.outputs:
        part = plan.result(output)
        stop = start + plan.spaces[part].size
        plan.copy(source, part, np.arange(start, stop))
        start = stop


def _permute(call: Call, plan: Plan, order: Any) -> None:
    if order is None or list(order)[-1] != len(call.tensors[0].shape) - 1:
        raise NotUnderstood
    plan.set_space(call.outputs[0], plan.space_of(call.tensors[0]))


def _reshape(call: Call, plan: Plan) -> None:
    tensor, output = call.tensors[0], call.outputs[0]
    axes = plan.axes_of(tensor)
    source = plan.space_of(tensor, axes)
    size, last = plan.spaces[source].size, feature_count(output)
    if last % size == 0:
        # The last axis varies fastest, so a longer one is a row of positions, each with all features.
        times = last // size
        if times == 1:
            plan.set_space(output, source)
        else:
            index, place = np.tile(np.arange(size), times), np.repeat(np.arange(times), size)
            plan.copy(source, plan.result(output), index, place=place)
        return
    shape = tuple(output.shape)
    for count in range(2, len(shape)):
        if all(shape[-count:]) and int(np.prod(shape[-count:])) == size:
            before = tuple(tensor.shape)
            if axes == 1 and before[1:-1] != shape[1:-count]:
                break
            if axes == 1 and before[1:-1] == () == shape[1:-count]:
                break  # a vector laid out as positions and channels
            plan.set_space(output, source, count)
            return
    if size % last:
        raise NotUnderstood
    times = size // last
    index, place = np.tile(np.arange(last), times), np.repeat(np.arange(times), last)
    plan.copy(source, plan.result(output), index, place=place, folded=True)
