"""Recurrent layers: a unit is one number of the state, with all its gates and its row in the recurrent weights."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_initkit.units.features import NotUnderstood
from keras_initkit.units.operations.arguments import arguments, require_channels_last
from keras_initkit.units.operations.recurrent_cells import add_cell, cells_of
from keras_initkit.units.operations.registry import handles
from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call

_layers = keras.layers


@handles(
    _layers.SimpleRNN,
    _layers.LSTM,
    _layers.GRU,
    _layers.ConvLSTM1D,
    _layers.ConvLSTM2D,
    _layers.ConvLSTM3D,
    units=True,
)
def recurrent(call: Call, plan: Plan) -> None:
    """One cell, whose units are those of the layer."""
    require_channels_last(call.operation)
    given = arguments(call)
    source = plan.space_of(given["sequences"])
    output, states = _run(call.operation, call.operation, source, _states(given, plan), plan)
    _give(call.outputs, [output, *states], plan)


@handles(_layers.RNN, units=True)
def cells_in_a_row(call: Call, plan: Plan) -> None:
    """Add the cell of the user's choice, or several on top of each other; the units are those of the cells."""
    given = arguments(call)
    source = plan.space_of(given["sequences"])
    output, states = _run(call.operation, None, source, _states(given, plan), plan)
    _give(call.outputs, [output, *states], plan)


@handles(_layers.Bidirectional, units=True)
def both_directions(call: Call, plan: Plan) -> None:
    """Two layers that read the sequence from either end."""
    wrapper = call.operation
    given = arguments(call)
    source, states = plan.space_of(given["sequences"]), _states(given, plan)
    half = len(states) // 2
    sides = (wrapper.forward_layer, states[:half]), (wrapper.backward_layer, states[half:])
    for layer, _ in sides:
        require_channels_last(layer)
        cells_of(layer)
    found = [_run(layer, layer, source, mine, plan) for layer, mine in sides]
    outputs = [output for output, _ in found]
    if wrapper.merge_mode is not None:
        outputs = [_merge(outputs, wrapper.merge_mode, plan)]
    _give(call.outputs, [*outputs, *found[0][1], *found[1][1]], plan)


def _states(given: dict[str, Any], plan: Plan) -> list[int]:
    """Return the spaces of the states that a layer is given to begin with."""
    states = keras.tree.flatten(given.get("initial_state"))
    return [plan.space_of(state) for state in states if isinstance(state, keras.KerasTensor)]


def _run(layer: Any, owner: Any, source: int, states: list[int], plan: Plan) -> tuple[int, list[int]]:
    """Add the cells of a layer and return the spaces of its output and of its states in the end."""
    cells = cells_of(layer)
    if states and (len(cells) > 1 or len(states) != len(keras.tree.flatten(layer.state_size))):
        raise NotUnderstood
    ends: list[int] = []
    for cell in cells:
        mine = add_cell(cell, cell if owner is None else owner, source, states, plan)
        source, ends = mine[0], [*ends, *mine]
    return source, ends


def _merge(sources: Sequence[int], mode: str, plan: Plan) -> int:
    sizes = [plan.spaces[source].size for source in sources]
    if mode != "concat":
        behind = plan.add_space(sizes[0], product=mode == "mul")
        for source in sources:
            plan.copy(source, behind)
        return behind
    behind = plan.add_space(sum(sizes))
    side = np.repeat(np.arange(len(sources)), sizes)
    for number, source in enumerate(sources):
        plan.copy(source, behind, np.where(side == number, np.arange(sum(sizes)) - sum(sizes[:number]), -1))
    return behind


def _give(tensors: list[Any], spaces: list[int], plan: Plan) -> None:
    for tensor, space in zip(tensors, spaces, strict=False):
        plan.set_space(tensor, space)
