"""What happens in one step of a recurrent layer, for each kind of cell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.activations import is_odd
from keras_initkit.units.features import NotUnderstood, UnitsAt
from keras_initkit.units.functions import layer_activation
from keras_initkit.units.operations.activations import response_of
from keras_initkit.units.operations.elementwise import never_zero
from keras_initkit.units.plan import Plan, Shape

_layers = keras.layers


@dataclass(frozen=True)
class _Layout:
    """How many blocks of columns the weights of a cell have, and which of them is the candidate for the new state."""

    blocks: int
    candidate: int

    @property
    def gates(self) -> list[int]:
        return [block for block in range(self.blocks) if block != self.candidate]


_LAYOUTS = {"SimpleRNNCell": _Layout(1, 0), "GRUCell": _Layout(3, 2), "LSTMCell": _Layout(4, 2)}


def cells_of(layer: Any) -> list[Any]:
    """Return the cells of a recurrent layer, from the bottom up.

    Raises:
        NotUnderstood: if one of them is not a cell of Keras.
    """
    cell = getattr(layer, "cell", None)
    cells = list(cell.cells) if isinstance(cell, _layers.StackedRNNCells) else [cell]
    for one in cells:
        _layout(one)
    return cells


def add_cell(cell: Any, owner: Any, source: int, states: Sequence[int], plan: Plan) -> list[int]:
    """Add one cell and return the spaces of its states; the first one is its output.

    The candidate for the new state and the gates are two spaces, since a unit and its mirror image, the candidate
    with all signs changed, have the same gates. A gate is never zero, so of its value nothing else is known.

    Args:
        cell: the cell.
        owner: the layer whose units they are.
        source: the space of the inputs.
        states: the spaces of the states it begins with; none if it begins with zeros.
        plan: the plan.
    """
    layout = _layout(cell)
    inputs = source
    if getattr(cell, "dropout", 0):
        inputs = _masked(source, plan)
        plan.copy(source, inputs)
    size = getattr(cell, "units", None) or cell.filters
    candidate = plan.add_space(size, signed=True)
    output = plan.add_space(size, product=layout.blocks > 1 and not states)
    before = _masked(output, plan) if getattr(cell, "recurrent_dropout", 0) else output
    gates = plan.add_space(size) if layout.blocks > 1 else None
    plan.units.append(UnitsAt(owner, (candidate,) if gates is None else (candidate, gates)))
    old = before
    if layout == _LAYOUTS["GRUCell"] and not cell.reset_after:
        old = plan.add_space(size, product=True)  # the state times the reset gate is what the candidate reads

    for space, blocks, read in ((candidate, [layout.candidate], old), (gates, layout.gates, before)):
        if space is not None:
            columns, part = _block_columns(layout, blocks), str(blocks)
            plan.mix(inputs, space, cell, "kernel", columns, part=part)
            plan.mix(read, space, cell, "recurrent_kernel", columns, recurrent=True, part=part)
    if cell.use_bias:
        _add_bias(cell, layout, candidate, gates, plan)

    ends = [output]
    if gates is None:
        _activate(cell, candidate, output, plan)
        for state in states:
            plan.copy(state, output)
    elif layout == _LAYOUTS["GRUCell"]:
        _gated(cell, candidate, gates, output, states, plan)
    else:
        ends.append(plan.add_space(size, product=not states))
        _gated(cell, candidate, gates, ends[1], states[1:], plan)
        _gated(cell, ends[1], gates, output, states[:1], plan)
    if before != output:
        plan.copy(output, before)
    if gates is not None and old != before:
        plan.copy(before, old)
        _gate(gates, old, plan)
    return ends


def _layout(cell: Any) -> _Layout:
    for kind in type(cell).__mro__:
        if kind.__module__.startswith("keras."):
            name = "LSTMCell" if kind.__name__ == "ConvLSTMCell" else kind.__name__
            if name in _LAYOUTS and getattr(type(cell), "call", None) is getattr(kind, "call", None):
                return _LAYOUTS[name]
    raise NotUnderstood


def _masked(space: int, plan: Plan) -> int:
    """Return a space for these features behind the dropout of a cell."""
    behind = plan.add_space(plan.spaces[space].size, apart=True)
    plan.noisy.add(behind)
    return behind


def _gated(cell: Any, source: int, gates: int, target: int, states: Sequence[int], plan: Plan) -> None:
    """Add activation times gate, and what the state was in the beginning."""
    product = target
    if states:
        product = plan.add_space(plan.spaces[target].size, product=True)
    _activate(cell, source, product, plan)
    _gate(gates, product, plan)
    if states:
        plan.copy(product, target)
        for state in states:
            plan.copy(state, target)


def _activate(cell: Any, source: int, target: int, plan: Plan) -> None:
    name, function = layer_activation(cell)
    if function is None:
        plan.copy(source, target)
        return
    # With gates a unit has the symmetry of its activation only in part, so the name is not told.
    told = name if _layout(cell).blocks == 1 else None
    plan.copy(source, target, odd=is_odd(name), response=response_of(function), activation=(told, function))


def _gate(gates: int, target: int, plan: Plan) -> None:
    plan.copy(gates, target, odd=False, response=never_zero)


def _add_bias(cell: Any, layout: _Layout, candidate: int, gates: int | None, plan: Plan) -> None:
    """Add biases `(blocks · units,)`, or `(2, blocks · units)` with those of the recurrent weights below."""
    blocks = layout.blocks

    def of_candidate(row: int) -> Shape:
        return lambda bias: bias.reshape(-1, blocks, bias.shape[-1] // blocks)[row, [layout.candidate]]

    for row in range(len(cell.bias.shape)):
        plan.values(candidate, cell, "bias", of_candidate(row))
    if gates is not None:
        plan.values(gates, cell, "bias", lambda bias: _gate_rows(bias, layout), role="tag", part="gates")


def _gate_rows(bias: NDArray[Any], layout: _Layout) -> NDArray[Any]:
    rows = bias.reshape(-1, layout.blocks, bias.shape[-1] // layout.blocks)[:, layout.gates]
    return rows.reshape(-1, rows.shape[-1])


def _block_columns(layout: _Layout, blocks: list[int]) -> Shape:
    """Return what takes some blocks of weights `(*window, inputs, blocks · units)` as `(inputs, units, taps)`."""

    def columns(kernel: NDArray[Any]) -> NDArray[Any]:
        taps, inputs = int(np.prod(kernel.shape[:-2])), kernel.shape[-2]
        parts = kernel.reshape(taps, inputs, layout.blocks, -1)[:, :, blocks]
        return parts.transpose(1, 3, 0, 2).reshape(inputs, parts.shape[-1], -1)

    return columns
