"""Dense layers, and products with a matrix of weights inside layers of the user."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.units.features import NotUnderstood, UnitsAt
from keras_initkit.units.functions import layer_activation
from keras_initkit.units.operations.activations import activate
from keras_initkit.units.operations.registry import handles, handles_operations
from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call


@handles(keras.layers.Dense, units=True)
def dense(call: Call, plan: Plan) -> None:
    """`y = f(x W + b)`: unit i has column i of W, of shape `(inputs, units)`."""
    layer = call.operation
    source, units = plan.space_of(call.tensors[0]), layer_units(layer, layer.units, plan)
    plan.mix(source, units, layer, "kernel", as_taps)
    add_bias(layer, units, plan)
    tag_low_rank(layer, source, units, plan)
    activate(plan, units, call.outputs[0], layer_activation(layer))


def layer_units(layer: Any, size: int, plan: Plan, **about: Any) -> int:
    """Add the space of a layer's units before their activation."""
    space = plan.add_space(size, signed=True)
    plan.units.append(UnitsAt(layer, (space,), **about))
    return space


def add_bias(layer: Any, space: int, plan: Plan) -> None:
    """Add the bias of a layer to its units, if it has one."""
    if layer.use_bias:
        plan.values(space, layer, "bias", lambda bias: bias[None])


def tag_low_rank(layer: Any, source: int, units: int, plan: Plan) -> None:
    """Tell features apart by their rows and columns of a low-rank update: it is these that are trained."""
    if getattr(layer, "lora_enabled", False):
        plan.values(units, layer, "lora_kernel_b", lambda b: b.reshape(-1, b.shape[-1]), role="tag")

        def inputs_last(a: NDArray[Any]) -> NDArray[Any]:  # from (*window, inputs, rank)
            return np.moveaxis(a, -2, -1).reshape(-1, a.shape[-2])

        plan.values(source, layer, "lora_kernel_a", inputs_last, role="tag")


def as_taps(matrix: NDArray[Any]) -> NDArray[Any]:
    """Return a matrix `(inputs, units)` as weights with one tap."""
    return matrix[:, :, None]


@dataclass(frozen=True, eq=False)
class Operand:
    """A variable that an operation was called with, to be read like an attribute of a layer."""

    variable: Any

    @property
    def trainable_variables(self) -> list[Any]:
        """The variable, if it is trained."""
        return [self.variable] if self.variable.trainable else []


@handles_operations("Matmul", "Dot")
def matmul(call: Call, plan: Plan) -> None:
    """`x @ W` with a variable W of shape `(inputs, units)`."""
    x, matrix = (*call.args, *call.kwargs.values())[:2]
    if not isinstance(x, keras.KerasTensor) or not isinstance(matrix, keras.Variable) or len(matrix.shape) != 2:
        raise NotUnderstood
    source = plan.space_of(x)
    units = plan.result(call.outputs[0], signed=True)
    plan.mix(source, units, Operand(matrix), "variable", as_taps)
    owner = plan.owners.get(id(matrix))
    if owner is not None:
        names = [name for name, value in vars(owner).items() if value is matrix]
        plan.units.append(UnitsAt(owner, (units,), attribute=names[0] if names else matrix.name))


def spread_groups(kernel: NDArray[Any], groups: int) -> NDArray[Any]:
    """Return weights `(sources, targets, taps)` of groups given as `(sources of a group, targets, taps)`.

    Zero outside the group.
    """
    sources, targets, taps = kernel.shape
    spread = np.zeros((groups, sources, targets, taps), kernel.dtype)
    per_group = targets // groups
    for g in range(groups):
        mine = slice(g * per_group, (g + 1) * per_group)
        spread[g, :, mine] = kernel[:, mine]
    return spread.reshape(groups * sources, targets, taps)


def group_connections(sources: int, targets: int, groups: int) -> NDArray[np.bool_]:
    """Return which of the connections `(sources, targets)` a grouped layer has."""
    return (np.arange(sources) * groups // sources)[:, None] == (np.arange(targets) * groups // targets)[None]
