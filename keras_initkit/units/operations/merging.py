"""Layers and operations that put several tensors together, feature by feature or side by side."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.network import Response
from keras_initkit.units.features import NotUnderstood
from keras_initkit.units.functions import value_and_slope, zero_or_unknown
from keras_initkit.units.operations.dense import Operand
from keras_initkit.units.operations.registry import handles, handles_operations
from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call

_layers = keras.layers


@handles(_layers.Add)
def add(call: Call, plan: Plan) -> None:
    """Add up what all tensors bring to a feature."""
    _join(call, plan, call.tensors, None)


@handles(_layers.Multiply)
def multiply(call: Call, plan: Plan) -> None:
    """Multiply what all tensors bring to a feature, e.g. with a gate."""
    _join(call, plan, call.tensors, None, product=True)


@handles(_layers.Subtract, _layers.Average)
def combine(call: Call, plan: Plan) -> None:
    """Another function of the features in the same place."""
    _join(call, plan, call.tensors, zero_or_unknown)


@handles(_layers.Maximum, _layers.Minimum)
def choose(call: Call, plan: Plan) -> None:
    """Take one of the features in the same place; the largest of opposites is not the opposite of the largest."""
    _join(call, plan, call.tensors, zero_or_unknown, odd=False)


@handles(_layers.Concatenate)
def concatenate(call: Call, plan: Plan) -> None:
    """Side by side along the features, or one behind the other along another axis."""
    _concatenate(call, plan, call.operation.axis)


@handles_operations("Concatenate")
def concatenate_operation(call: Call, plan: Plan) -> None:
    """`keras.ops.concatenate`."""
    _concatenate(call, plan, call.operation.axis)


@handles_operations("Add", "Multiply", "Subtract", "Divide", "TrueDivide", "Maximum", "Minimum")
def binary_operation(call: Call, plan: Plan) -> None:
    """`x + y` and the like: with another tensor, a variable or a number."""
    kind = type(call.operation).__name__
    product = kind in ("Multiply", "Divide", "TrueDivide")
    operands = (*call.args, *call.kwargs.values())[:2]
    if len(call.tensors) == 2:
        plain = None if kind in ("Add", "Multiply") else zero_or_unknown
        _join(call, plan, call.tensors, plain, product=product, odd=kind not in ("Maximum", "Minimum"))
        return
    [tensor] = call.tensors
    [other] = [part for part in operands if part is not tensor]
    source = plan.space_of(tensor)
    if isinstance(other, keras.Variable):
        _with_variable(call, plan, source, other, product=product, known=kind in ("Add", "Multiply"))
        return
    if np.size(other) != 1:
        raise NotUnderstood
    first = operands[0] is tensor
    behind = plan.result(call.outputs[0])
    odd = product and first

    def response(constants: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        def function(x: Any) -> Any:
            return call.operation.call(x, other) if first else call.operation.call(other, x)

        return value_and_slope(function, constants)

    plan.copy(source, behind, odd=odd, response=response)


def _with_variable(call: Call, plan: Plan, source: int, variable: Any, *, product: bool, known: bool) -> None:
    size = plan.spaces[source].size
    shape = tuple(variable.shape)
    if not known or (shape and shape[-1] not in (1, size)):
        raise NotUnderstood
    same_everywhere = int(np.prod(shape)) in (1, shape[-1] if shape else 1)

    def rows(array: NDArray[Any]) -> NDArray[Any]:
        flat = array.reshape(-1, array.shape[-1] if array.ndim else 1)
        return np.broadcast_to(flat, (len(flat), size))

    if not same_everywhere:  # one for every position, e.g. an embedding of positions
        if product:
            raise NotUnderstood
        behind = plan.result(call.outputs[0], given=True)
        plan.copy(source, behind)
        plan.values(behind, Operand(variable), "variable", rows, role="tag")
    elif product:
        plan.scale(source, plan.result(call.outputs[0], product=True), Operand(variable), "variable", rows)
    else:
        behind = plan.result(call.outputs[0], signed=plan.spaces[source].signed)
        plan.copy(source, behind)
        plan.values(behind, Operand(variable), "variable", rows)


def _join(
    call: Call,
    plan: Plan,
    tensors: list[Any],
    response: Response | None,
    *,
    product: bool = False,
    odd: bool = True,
) -> None:
    axes = max(plan.axes_of(tensor) for tensor in tensors)
    sources = [plan.space_of(tensor, axes) for tensor in tensors]
    behind = plan.result(call.outputs[0], axes, product=product)
    size = plan.spaces[behind].size
    for source in sources:
        index = np.zeros(size, dtype=np.intp) if plan.spaces[source].size == 1 else None
        plan.copy(source, behind, index, response=response, odd=odd)


def _concatenate(call: Call, plan: Plan, axis: int) -> None:
    sources = [plan.space_of(tensor) for tensor in call.tensors]
    behind = plan.result(call.outputs[0])
    size = plan.spaces[behind].size
    if axis not in (-1, len(call.outputs[0].shape) - 1):
        for source in sources:
            plan.copy(source, behind, response=zero_or_unknown)
        return
    start = 0
    for source in sources:
        index = np.full(size, -1, dtype=np.intp)
        stop = start + plan.spaces[source].size
        index[start:stop] = np.arange(stop - start)
        plan.copy(source, behind, index)
        start = stop
