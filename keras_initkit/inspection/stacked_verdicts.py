"""Verdicts on the hidden layers of many models of one structure at once, where they are beyond doubt.

A model is beyond doubt if nothing in it is equal, dead, zero or not finite, and this is proved by cheap means. Then its
verdicts follow from the similarity of its units. All other models are left to `judge_reading`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.inspection.stacked_reading import Rearrangement, Stack, StackedReader
from keras_initkit.inspection.state import inputs_of
from keras_initkit.inspection.verdicts import PARALLEL, nearly_equal, nearness, says_something
from keras_initkit.symmetry.certainly_alive import certainly_alive
from keras_initkit.symmetry.certainly_apart import CertainlyApart
from keras_initkit.symmetry.classes import rounding_tolerance
from keras_initkit.symmetry.collapsed import CertainlyCollapsed
from keras_initkit.symmetry.network import Mix
from keras_initkit.symmetry.stacked_similarity import StackedSimilarity, stacked_similarity
from keras_initkit.units.reading import LayerUnits

_MARGIN = 1e-5  # of a cosine in float32, between this way of computing it and others
_STATISTICS = ("mean", "rms", "mean_abs", "max_abs", "participation")


@dataclass(frozen=True, eq=False)
class StackedLayer:
    """What is found of one layer in R models.

    Attributes:
        kernel: weights into the units, `(R, inputs, units)`.
        similarity: statistics of these.
        verdicts: for every model the verdict.
        distinct: number of distinct units, of all models.
        locked: number of locked units, of all models.
    """

    kernel: NDArray[Any]
    similarity: StackedSimilarity
    verdicts: list[str]
    distinct: int
    locked: int


class StackedVerdicts:
    """Judges the hidden layers of stacked models.

    Args:
        reader: reads them.
    """

    def __init__(self, reader: StackedReader):
        self._reader = reader
        self._apart = CertainlyApart(reader.network, [units.spaces[0][0] for units in reader.layers])
        self._collapsed = CertainlyCollapsed(reader.network, [units.spaces[0][0] for units in reader.layers])
        arrays = [*reader.kernels, *reader.biases, *reader.outgoing.values()]
        self._has_own_vectors = any(array is None for array in arrays)
        self._units = [sum(units.spaces, ()) for units in reader.layers]
        # Links whose columns are the vectors of which the similarity is measured.
        self._alone = [number for units in reader.layers for number in _only_weights(reader, units)]
        self._near = [nearness(units) if _is_watched(units) else None for units in reader.layers]

    def judge(self, stacks: Sequence[Stack]) -> tuple[NDArray[np.intp], list[StackedLayer]]:
        """Return which of the models are beyond doubt, and what is found of every layer of these.

        Args:
            stacks: values of the model's variables, stacked: `(R, ...)`.

        Returns:
            Positions of the models in the stacks, and a `StackedLayer` for each layer.
        """
        layers = self._reader.layers
        places, stacks = _those(_are_finite(stacks), np.arange(len(stacks[0])), stacks)
        kernels = [self._kernel(position, stacks) for position in range(len(layers))]
        similar = [stacked_similarity(kernel, inputs_of(units)) for kernel, units in zip(kernels, layers, strict=True)]
        near = [self._have_near_units(position, found) for position, found in enumerate(similar)]
        certain = np.ones(len(places), dtype=bool)
        for units, kernel, found, close in zip(layers, kernels, similar, near, strict=True):
            certain &= _all_unlike(found, len(units.kernel), rounding_tolerance(kernel.dtype))
            if not self._apart.is_unmirrored(units.spaces[0][0]):
                certain &= ~close  # the sides of the units are not known here
        # What is left in doubt is taken out before more is asked.
        _, left = _those(certain, places, stacks)
        if certain.any():
            numbers = self._reader.numbers(left)
            proved = self._apart.prove(numbers, self._alone)
            proved &= certainly_alive(self._reader.network, numbers, self._units)
            certain[certain] = proved
        places, stacks = _those(certain, places, stacks)
        kept = slice(None) if certain.all() else certain
        similar = [found if certain.all() else found.of(certain) for found in similar]
        verdicts = self._verdicts(stacks, similar, [close[kept] for close in near])
        counts = [units.kernel.shape[1] for units in layers]
        return places, [
            StackedLayer(kernel[kept], found, named, distinct=count, locked=0)
            for kernel, found, named, count in zip(kernels, similar, verdicts, counts, strict=True)
        ]

    def judge_collapsed(self, stacks: Sequence[Stack]) -> tuple[NDArray[np.intp], list[StackedLayer]]:
        """Return which of the models are locked to one unit per layer beyond doubt, and what is found of their layers.

        Units that stand still are not looked for, see `stand_still`. Arguments and results are those of `judge`.
        """
        layers, reader = self._reader.layers, self._reader
        places, stacks = _those(_are_finite(stacks), np.arange(len(stacks[0])), stacks)
        if reader.has_slots or self._has_own_vectors or any(_cannot_lock(units) for units in layers):
            places, stacks = places[:0], [stack[:0] for stack in stacks]
        numbers = reader.numbers(stacks)
        places, stacks = _those(self._collapsed.prove_all(reader.network, numbers), places, stacks)
        numbers = reader.numbers(stacks)
        places, stacks = _those(certainly_alive(reader.network, numbers, self._units), places, stacks)
        kernels = [self._kernel(position, stacks) for position in range(len(layers))]
        similar = [stacked_similarity(kernel, inputs_of(units)) for kernel, units in zip(kernels, layers, strict=True)]
        plain = np.logical_and.reduce([found.plain for found in similar])
        verdicts = ["locked"] * int(plain.sum())
        return places[plain], [
            StackedLayer(kernel[plain], found.of(plain), verdicts, distinct=1, locked=kernel.shape[2])
            for kernel, found in zip(kernels, similar, strict=True)
        ]

    def stand_still(self, before: Sequence[NDArray[Any]], values: Sequence[NDArray[Any]]) -> list[bool]:
        """Return for each layer whether its units did not move, as `left_behind` has it, in a model that trained.

        Args:
            before: values of the variables at the measurement before, when the model was collapsed beyond doubt.
            values: values now, when it is so too, and all units of a layer are the same.
        """
        then, now = [value[None] for value in before], [value[None] for value in values]

        def first_unit(array: Rearrangement | None, stacks: Sequence[Stack]) -> NDArray[Any]:
            return np.zeros(0) if array is None else array.of(stacks)[0][:, 0]

        found = []
        for position, parts in enumerate(zip(self._reader.kernels, self._reader.biases, strict=True)):
            still = all(np.array_equal(first_unit(part, then), first_unit(part, now)) for part in parts)
            if still and position in self._reader.outgoing:
                outgoing = self._reader.outgoing[position]
                still = bool(first_unit(outgoing, then).any() or not first_unit(outgoing, now).any())
            found.append(still)
        return found

    def rows(self, position: int, layer: StackedLayer) -> list[dict[str, Any]]:
        """Return the rows of one layer for every model, as `LayerState.row` gives them, with `epoch` 0."""
        units = self._reader.layers[position]
        count = units.kernel.shape[1]
        fixed = {"epoch": 0, "layer": units.layer, "units": count, "inputs": inputs_of(units)}
        similarity = layer.similarity
        columns = [getattr(similarity, name).tolist() for name in _STATISTICS]
        others = {"distinct": layer.distinct, "locked": layer.locked, "dead": 0}
        return [
            {**fixed, **dict(zip(_STATISTICS, values, strict=True)), **others, "null_z": z, "verdict": verdict}
            for *values, z, verdict in zip(*columns, similarity.null_z.tolist(), layer.verdicts, strict=True)
        ]

    def _kernel(self, position: int, stacks: Sequence[Stack]) -> NDArray[Any]:
        found = self._reader.kernels[position]
        if found is not None:
            return found.of(stacks)
        # Not merely rearranged weights, such as products of the matrices of attention heads.
        models = range(len(stacks[0]))
        readings = [self._reader.read([stack[model] for stack in stacks]) for model in models]
        shape = self._reader.layers[position].kernel.shape
        kernels = [reading.layers[position].kernel for reading in readings]
        return np.stack(kernels) if kernels else np.zeros((0, *shape), np.float32)

    def _have_near_units(self, position: int, similarity: StackedSimilarity) -> NDArray[np.bool_]:
        """Return in which models two units may be nearly equal."""
        tolerance = self._near[position]
        if tolerance is None:
            return np.zeros(len(similarity.plain), dtype=bool)
        least = _least_cosine(similarity, len(self._reader.layers[position].kernel), tolerance)
        return np.asarray((similarity.nearest >= least[:, None]).sum(axis=1) >= 2)

    def _verdicts(
        self, stacks: Sequence[Stack], similar: list[StackedSimilarity], near: list[NDArray[np.bool_]]
    ) -> list[list[str]]:
        layers, count = self._reader.layers, len(near[0])
        verdicts = [[_without_near_units(units)] * count for units in layers]
        for model in np.flatnonzero(np.logical_or.reduce(near)).tolist():
            reading = self._reader.read([stack[model] for stack in stacks])
            for position, units in enumerate(reading.layers):
                ones = np.ones(units.kernel.shape[1])
                if near[position][model] and nearly_equal(units, similar[position].nearest[model], ones):
                    verdicts[position][model] = "plateau"
        return verdicts


def _those(
    chosen: NDArray[np.bool_], places: NDArray[np.intp], stacks: Sequence[Stack]
) -> tuple[NDArray[np.intp], Sequence[Stack]]:
    """Return the chosen places and models."""
    return (places, stacks) if chosen.all() else (places[chosen], [stack[chosen] for stack in stacks])


def _without_near_units(units: LayerUnits) -> str:
    return "healthy" if says_something(units.kernel.shape[1], inputs_of(units)) else "uninformative"


def _cannot_lock(units: LayerUnits) -> bool:
    return units.frozen or units.kernel.shape[1] < 2


def _is_watched(units: LayerUnits) -> bool:
    """Return whether it matters if units are nearly equal."""
    return units.comparable and not units.frozen and says_something(units.kernel.shape[1], inputs_of(units))


def _only_weights(reader: StackedReader, units: LayerUnits) -> list[int]:
    """Return the number of the link whose weights are all there is of the weights into units; none if there is more."""
    numbers = [
        number
        for number, link in enumerate(reader.network.links)
        if isinstance(link, Mix) and link.target == units.spaces[0][0] and not link.recurrent
    ]
    if len(numbers) != 1:
        return []
    [number] = numbers
    weights = reader.network.links[number].weights  # type: ignore[union-attr]
    rows = weights.transpose(2, 0, 1).reshape(-1, weights.shape[1])
    return [number] if np.array_equal(rows, units.kernel) else []


def _are_finite(stacks: Sequence[Stack]) -> NDArray[np.bool_]:
    finite = np.ones(len(stacks[0]), dtype=bool)
    for stack in stacks:
        if stack.dtype.kind not in "iub":
            flat = stack.reshape(len(stack), -1)
            finite &= np.isfinite(flat if stack.dtype.kind == "f" else flat.astype(np.float32)).all(axis=1)
    return finite


def _all_unlike(similarity: StackedSimilarity, rows: int, tolerance: float) -> NDArray[np.bool_]:
    """Return in which layers no two units have equal weights, up to sign, scale and rounding, and none is zero."""
    if similarity.nearest.shape[1] == 1:
        return similarity.plain
    return similarity.plain & (similarity.max_abs < _least_cosine(similarity, rows, tolerance))


def _least_cosine(similarity: StackedSimilarity, rows: int, tolerance: float) -> NDArray[np.float64]:
    """Return `least_cosine` of each kernel, with a margin."""
    shortest = np.where(similarity.plain, similarity.shortest, 1.0)
    return np.asarray(1.0 - rows * tolerance**2 / (2 * shortest) - (1.0 - PARALLEL) - _MARGIN)
