"""Einsum layers whose weights map the last axes of the input to the last axes of the output."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.units.features import NotUnderstood
from keras_initkit.units.functions import layer_activation
from keras_initkit.units.operations.activations import activate
from keras_initkit.units.operations.dense import layer_units
from keras_initkit.units.operations.low_rank import mix_with_update
from keras_initkit.units.operations.registry import handles
from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call
from keras_initkit.units.weights import Weights


@handles(keras.layers.EinsumDense, units=True)
def einsum_dense(call: Call, plan: Plan) -> None:
    """Compute `f(einsum(equation, x, W) + b)`: the axes W shares with x are the inputs, those with y the units."""
    layer = call.operation
    form = matrix_form(layer)
    source = plan.space_of(call.tensors[0], form.inputs)
    size = form.matrix(np.empty(tuple(layer.kernel.shape), np.bool_)).shape[1]
    groups = size // layer.kernel.shape[-1] if form.inputs < len(layer.kernel.shape) else 1

    def vectors(weights: Weights) -> NDArray[Any]:
        return form.matrix(weights.value(layer, "kernel"))

    units = layer_units(layer, size, plan, vectors=vectors if getattr(layer, "lora_enabled", False) else None)
    mix_with_update(plan, source, units, layer, "kernel", form.matrix, groups=groups)
    units = add_einsum_bias(layer, units, tuple(call.outputs[0].shape)[-form.outputs :], plan)
    activate(plan, units, call.outputs[0], layer_activation(layer), form.outputs)


@dataclass(frozen=True)
class MatrixForm:
    """An equation as a product with a matrix.

    Attributes:
        order: the axes of the kernel, those of the input first.
        inputs: how many last axes of the input are the features.
        outputs: how many last axes of the output are the units.
    """

    order: tuple[int, ...]
    inputs: int
    outputs: int

    def matrix(self, kernel: NDArray[Any]) -> NDArray[Any]:
        """Return the kernel as `(inputs, units)`."""
        kernel = kernel.transpose(self.order)
        return kernel.reshape(int(np.prod(kernel.shape[: self.inputs])), -1)


def matrix_form(layer: Any) -> MatrixForm:
    """Return how the weights of an einsum layer are a matrix.

    Raises:
        NotUnderstood: if they are not, or the features are not the last axes.
    """
    left, after = layer.equation.replace(" ", "").split("->")
    before, kernel = left.split(",")
    before, after = before.removeprefix("..."), after.removeprefix("...")
    inputs = "".join(label for label in before if label in kernel and label not in after)
    outputs = "".join(label for label in after if label in kernel and label not in before)
    known = inputs and outputs and sorted(kernel) == sorted(inputs + outputs)
    if not known or not before.endswith(inputs) or not after.endswith(outputs):
        raise NotUnderstood
    return MatrixForm(tuple(kernel.index(label) for label in inputs + outputs), len(inputs), len(outputs))


def add_einsum_bias(layer: Any, units: int, shape: tuple[int, ...], plan: Plan) -> int:
    """Add the bias of an einsum layer, and return the space behind it.

    Args:
        layer: the layer.
        units: the space of its units.
        shape: the last axes of the output that are the units.
        plan: the plan.
    """
    if layer.bias is None:
        return units
    bias_shape = tuple(layer.bias.shape)

    def rows(bias: NDArray[Any]) -> NDArray[Any]:
        leading = bias.shape[: max(0, bias.ndim - len(shape))]
        return np.broadcast_to(bias, (*leading, *shape)).reshape(-1, int(np.prod(shape)))

    if int(np.prod(bias_shape[: max(0, len(bias_shape) - len(shape))])) == 1:
        plan.values(units, layer, "bias", rows)
        return units
    # A bias for every position is something that varies, whatever the input does.
    behind = plan.add_space(plan.spaces[units].size, given=True)
    plan.copy(units, behind)
    plan.values(behind, layer, "bias", rows, role="tag")
    return behind
