"""The symmetry of all replicas of a group at one moment, measured together.

Most replicas are beyond doubt: nothing in them is equal, dead or not finite, and this is proved for all of them at
once. The others are measured one by one, as `SymmetryMonitor` does it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.callbacks.lock_gaps import LockGaps
from keras_initkit.callbacks.movement import watched_variables
from keras_initkit.callbacks.unit_pictures import MOST_UNITS
from keras_initkit.inspection.stacked_reading import StackedReader
from keras_initkit.inspection.stacked_verdicts import StackedVerdicts
from keras_initkit.inspection.state import LayerState
from keras_initkit.inspection.verdicts import Analysis, analysed, analysed_reading, judge_reading
from keras_initkit.symmetry.collapsed import CertainlyCollapsed
from keras_initkit.symmetry.liveness import live_features
from keras_initkit.symmetry.network import Network
from keras_initkit.symmetry.partition import Partition
from keras_initkit.symmetry.similarity import cosine_matrix, unit_similarity
from keras_initkit.units.reading import Reading

_CHUNK = 1 << 24  # bytes of weights that are measured at once


@dataclass(eq=False)
class _Doubtful:
    """What has to be remembered of a replica in which something was equal, dead or not finite.

    Attributes:
        gaps: the gaps of its layers that were locked once.
        values: the values of its variables at the measurement before; None if nothing was equal then.
        states: what was found at the measurement before, if it was measured alone.
    """

    gaps: LockGaps = field(default_factory=LockGaps)
    values: list[NDArray[Any]] | None = None
    states: dict[str, LayerState] | None = None


@dataclass(eq=False)
class _Kept:
    """The weights into the units of one layer, `(R, inputs, units)`, and where they were measured and finite."""

    kernels: NDArray[Any]
    drawable: NDArray[np.bool_]


class GroupSymmetry:
    """Measures the symmetry of the hidden units of stacked replicas.

    The rows are those that one `SymmetryMonitor` for each replica would have.

    Args:
        model: a model of the structure that all replicas have: built, compiled, its optimizer built. Its variables
            may be changed.
        replicas: number R of replicas.

    Attributes:
        layers: paths of the layers that are measured; empty if there are none, and then nothing is.
        one_by_one: how many measurements of single replicas were made one by one.
    """

    def __init__(self, model: Any, replicas: int):
        self._model, self._replicas = model, replicas
        self._reader = StackedReader(model)
        self.layers = self._reader.reader.paths
        self.one_by_one = 0
        self._verdicts = StackedVerdicts(self._reader) if self._reader.stackable else None
        units = [units.spaces[0][0] for units in self._reader.layers]
        self._collapsed = CertainlyCollapsed(self._reader.network, units)
        self._rows: list[list[dict[str, Any]]] = [[] for _ in range(replicas)]
        self._doubtful: dict[int, _Doubtful] = {}
        positions = {id(variable): position for position, variable in enumerate(model.variables)}
        self._small = [positions[id(variable)] for variable in watched_variables(model)]
        self._first: dict[str, _Kept] = {}
        self._last: dict[str, _Kept] = {}

    def measure(
        self,
        epoch: int,
        variables: Sequence[NDArray[Any]],
        optimizer_variables: Sequence[NDArray[Any]],
        active: NDArray[np.bool_],
    ) -> None:
        """Measure the replicas that are active.

        Args:
            epoch: the label of the rows.
            variables: values of `model.variables`, stacked: `(R, ...)`. They are not kept.
            optimizer_variables: values of `model.optimizer.variables`, stacked.
            active: `(R,)`, which replicas get rows.
        """
        if not self.layers:
            return
        for layer in self._last.values():
            layer.drawable[active] = False
        for chunk in _chunks(np.flatnonzero(active), variables):
            stacks = [stack[_as_slice(chunk)] for stack in variables]
            certain = self._measure_together(epoch, chunk, stacks) if self._verdicts is not None else chunk[:0]
            left = np.setdiff1d(chunk, certain)
            if self._verdicts is not None and len(left):
                left = np.setdiff1d(left, self._measure_collapsed(epoch, left, variables))
            for replica in left.tolist():
                self._measure_one(epoch, replica, variables, optimizer_variables)
        if not self._first:
            self._first = {name: _Kept(k.kernels.copy(), k.drawable.copy()) for name, k in self._last.items()}

    def rows(self, replica: int) -> list[dict[str, Any]]:
        """Return the rows of one replica, as `SymmetryMonitor.rows`."""
        return self._rows[replica]

    def pictures(self, replica: int) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return layer -> cosine matrices at the first and the latest measurement of one replica."""
        return {
            name: (cosine_matrix(self._first[name].kernels[replica]), cosine_matrix(last.kernels[replica]))
            for name, last in self._last.items()
            if last.drawable[replica] and self._first[name].drawable[replica]
        }

    def _measure_together(self, epoch: int, chunk: NDArray[np.intp], stacks: list[NDArray[Any]]) -> NDArray[np.intp]:
        """Measure those of a chunk of replicas that are beyond doubt, and return them."""
        assert self._verdicts is not None
        places, layers = self._verdicts.judge(stacks)
        replicas = chunk[places]
        for path, layer in zip(self.layers, layers, strict=True):
            self._keep(path, replicas, layer.kernel)
        rows = [self._verdicts.rows(position, layer) for position, layer in enumerate(layers)]
        for place, replica, *row in zip(places.tolist(), replicas.tolist(), *rows, strict=True):
            gaps = {}
            if replica in self._doubtful:
                gaps = self._follow(epoch, self._doubtful[replica], [np.array(stack[place]) for stack in stacks])
            for one in row:
                self._add_row(replica, epoch, one, gaps)
        return replicas

    def _follow(self, epoch: int, doubtful: _Doubtful, values: list[NDArray[Any]]) -> dict[str, float]:
        """Return the gaps of layers that were locked once, in a replica in which nothing is equal now."""
        doubtful.values = doubtful.states = None
        if not any(locked is not None for locked in doubtful.gaps.layers.values()):
            return {}
        return doubtful.gaps.follow(epoch, list(self._bare_states(values).values()))

    def _bare_states(self, values: list[NDArray[Any]]) -> dict[str, LayerState]:
        """Return states that say no more than the weights, which are finite."""
        return {
            units.layer: LayerState(
                units, unit_similarity(units.kernel), 0, 0, "", classes=np.arange(units.kernel.shape[1])
            )
            for units in self._reader.read(values).layers
        }

    def _measure_collapsed(
        self, epoch: int, replicas: NDArray[np.intp], variables: Sequence[NDArray[Any]]
    ) -> NDArray[np.intp]:
        """Measure those replicas whose layers are locked to one unit each beyond doubt, and return them."""
        assert self._verdicts is not None
        replicas = np.array(
            [r for r in replicas.tolist() if r not in self._doubtful or self._doubtful[r].states is None]
        )
        if not len(replicas):
            return replicas
        places, layers = self._verdicts.judge_collapsed([stack[replicas] for stack in variables])
        rows = [self._verdicts.rows(position, layer) for position, layer in enumerate(layers)]
        replicas = replicas[places]
        for place, (replica, *row) in enumerate(zip(replicas.tolist(), *rows, strict=True)):
            doubtful = self._doubtful.setdefault(replica, _Doubtful())
            values = [np.array(stack[replica]) for stack in variables]
            if doubtful.values is not None and self._have_moved(doubtful.values, values):
                for one, still in zip(row, self._verdicts.stand_still(doubtful.values, values), strict=True):
                    one["dead"] = one["units"] if still else 0
            doubtful.values = values
            for one, layer in zip(row, layers, strict=True):
                gap = doubtful.gaps.follow_collapsed(epoch, one["layer"], one["units"])
                self._add_row(replica, epoch, one, {} if gap is None else {one["layer"]: gap})
                self._keep(one["layer"], np.array([replica]), layer.kernel[place][None])
        return replicas

    def _have_moved(self, before: list[NDArray[Any]], values: list[NDArray[Any]]) -> bool:
        """Return whether training moved anything, by what `Movement` watches."""
        return not all(np.array_equal(before[position], values[position]) for position in self._small)

    def _measure_one(
        self,
        epoch: int,
        replica: int,
        variables: Sequence[NDArray[Any]],
        optimizer_variables: Sequence[NDArray[Any]],
    ) -> None:
        self.one_by_one += 1
        doubtful = self._doubtful.setdefault(replica, _Doubtful())
        values = [np.array(stack[replica]) for stack in variables]
        before = doubtful.values
        moved = before is not None and self._have_moved(before, values)
        if before is not None and doubtful.states is None:
            doubtful.states = self._bare_states(before)
        reading, analysis = self._analyse(values, [stack[replica] for stack in optimizer_variables])
        states = judge_reading(reading, analysis, doubtful.states or {}, moved)
        gaps = doubtful.gaps.follow(epoch, states)
        doubtful.states, doubtful.values = {state.units.layer: state for state in states}, values
        for state in states:
            layer = state.units.layer
            self._add_row(replica, epoch, state.row(0), gaps)
            if state.similarity is not None:
                self._keep(layer, np.array([replica]), state.units.kernel[None])

    def _analyse(self, values: list[NDArray[Any]], slots: list[NDArray[Any]]) -> tuple[Reading, Analysis]:
        reader = self._reader
        if reader.self_contained:
            return analysed(
                lambda with_slots: reader.read(values, [np.array(slot) for slot in slots] if with_slots else None),
                optimizer_holds=reader.has_slots,
                analyse=self._analysis_of,
            )
        optimizer = self._model.optimizer
        for variable, value in zip([*self._model.variables, *optimizer.variables], [*values, *slots], strict=True):
            variable.assign(value)
        return analysed_reading(reader.reader)

    def _analysis_of(self, network: Network) -> Analysis:
        """Return what `Analysis.of` says of the units, sooner where all units of a layer are the same."""
        if not self._collapsed.prove(network):
            return Analysis.of(network)
        labels = [np.zeros(space.size, dtype=np.intp) for space in network.spaces]
        return Analysis(Partition(labels, [np.ones(space.size) for space in network.spaces]), live_features(network))

    def _add_row(self, replica: int, epoch: int, row: dict[str, Any], gaps: dict[str, float]) -> None:
        row["epoch"] = epoch
        if row["layer"] in gaps:
            row["gap"] = gaps[row["layer"]]
        self._rows[replica].append(row)

    def _keep(self, layer: str, replicas: NDArray[np.intp], kernels: NDArray[Any]) -> None:
        """Keep the weights for pictures."""
        shown = kernels[:, :, :MOST_UNITS]
        if layer not in self._last:
            room = np.zeros((self._replicas, *shown.shape[1:]), shown.dtype)
            self._last[layer] = _Kept(room, np.zeros(self._replicas, dtype=bool))
        self._last[layer].kernels[_as_slice(replicas)] = shown
        self._last[layer].drawable[replicas] = True


def _chunks(replicas: NDArray[np.intp], variables: Sequence[NDArray[Any]]) -> Iterator[NDArray[np.intp]]:
    bytes_each = sum(stack.nbytes // max(len(stack), 1) for stack in variables)
    size = max(1, _CHUNK // max(bytes_each, 1))
    for start in range(0, len(replicas), size):
        yield replicas[start : start + size]


def _as_slice(places: NDArray[np.intp]) -> Any:
    """Return places as a slice if they follow each other, so that indexing copies nothing."""
    if len(places) and places[-1] - places[0] == len(places) - 1:
        return slice(int(places[0]), int(places[-1]) + 1)
    return places
