"""The numbers of many models of one structure, read from stacked arrays instead of variables."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.network import Copy, Link, Mix, Network, Tie, Values
from keras_initkit.units.reading import LayerUnits, Reading, UnitReader
from keras_initkit.units.weights import Weights

Stack = NDArray[Any]


class GivenWeights(Weights):
    """Weights that are given as arrays, not those that the variables have.

    Args:
        given: arrays by the identity of the variable.
        optimizer: the optimizer whose slots are read along.

    Attributes:
        complete: whether nothing else was asked for so far.
    """

    def __init__(self, given: dict[int, NDArray[Any]], optimizer: Any = None):
        super().__init__(optimizer)
        self._given = given
        self.complete = True

    @property
    def has_slots(self) -> bool:
        """Whether the optimizer holds anything for single weights."""
        return bool(self._slots)

    def _fetch(self, variable: Any, key: Any) -> NDArray[Any]:
        if key not in self._cache and id(variable) in self._given:
            self._cache[key] = _as_float(self._given[id(variable)])
        elif key not in self._cache:
            self.complete = False
        return super()._fetch(variable, key)


@dataclass(frozen=True, eq=False)
class Rearrangement:
    """How an array is put together from variables, found by putting in numbered entries.

    Attributes:
        variables: positions of the variables that it holds.
        shape: its shape.
        index: for each entry its position in these variables laid flat one after the other, -1 for a zero.
        steps: offset and steps along the axes where the entries of one variable are merely walked through; else None.
    """

    variables: tuple[int, ...]
    shape: tuple[int, ...]
    index: NDArray[np.intp]
    steps: tuple[int, ...] | None

    def of(self, stacks: Sequence[Stack]) -> NDArray[np.floating]:
        """Return the array for every model of the stacks of variables, `(R, ...)`; a view where that is possible."""
        count = len(stacks[0])
        if not self.index.size or not count or not self.variables:
            return np.zeros((count, *self.shape), np.float32)
        flats = [_as_float(stacks[variable]).reshape(count, -1) for variable in self.variables]
        flat = flats[0] if len(flats) == 1 else np.concatenate(flats, axis=1)
        if self.steps is not None:
            offset, *steps = self.steps
            size = flat.itemsize
            strides = (flat.strides[0], *(step * size for step in steps))
            return np.lib.stride_tricks.as_strided(flat[:, offset:], (len(flat), *self.shape), strides, writeable=False)
        taken = flat[:, self.index]
        if (self.index < 0).any():
            taken[:, self.index < 0] = 0
        return taken


class StackedReader:
    """Reads the units of a model's hidden layers from stacked values of its variables.

    Args:
        model: the model whose structure all have; built, and compiled with a built optimizer if it has one.

    Attributes:
        reader: the reader of the model itself.
        network: spaces and links, the links with numbers that mean nothing.
        layers: the units of the hidden layers, with numbers that mean nothing.
        links: for every link how its numbers are put together; None where they are not needed, or not understood.
        kernels: the same for the weights into the units of every layer.
        biases: the same for their biases.
        outgoing: the same for what reads them, of layers where all of that is known.
        self_contained: whether a reading depends on nothing but the values of the variables.
        stackable: whether, besides, all numbers of the links are merely rearranged, so that they can be stacked.
    """

    def __init__(self, model: Any):
        self.reader = UnitReader(model)
        self._model = model
        self._ids = [id(variable) for variable in model.variables]
        self._memory: dict[Copy, Copy] = {}
        self.network, self.layers = Network(), list[LayerUnits]()
        self.links: list[Rearrangement | None] = []
        self.kernels: list[Rearrangement | None] = []
        self.biases: list[Rearrangement | None] = []
        self.outgoing: dict[int, Rearrangement | None] = {}
        self.stackable = self.self_contained = False
        if self.reader.paths:
            self._explore()

    def read(self, values: Sequence[NDArray[Any]], slots: Sequence[NDArray[Any]] | None = None) -> Reading:
        """Return the reading of one model from values of its variables and, if given, of its optimizer's variables.

        The arrays are kept in it.
        """
        given = dict(zip(self._ids, values, strict=True))
        optimizer = None
        if slots is not None:
            optimizer = self.reader.optimizer
            given |= {id(variable): slot for variable, slot in zip(optimizer.variables, slots, strict=True)}
        reading = self.reader.read(weights=GivenWeights(given, optimizer))
        links: list[Link] = [
            self._remembering(link) if isinstance(link, Copy) else link for link in reading.network.links
        ]
        return Reading(Network(reading.network.spaces, links), reading.layers)

    @functools.cached_property
    def has_slots(self) -> bool:
        """Whether the optimizer holds anything for single weights."""
        return GivenWeights({}, self.reader.optimizer).has_slots

    def _remembering(self, link: Copy) -> Copy:
        """Return a copy that asks for the same response once; the backend takes long to differentiate a function."""
        if link.response is None:
            return link
        if link not in self._memory:
            self._memory[link] = dataclasses.replace(link, response=_remember(link.response))
        return self._memory[link]

    def _explore(self) -> None:
        shapes = [tuple(variable.shape) for variable in self._model.variables]
        sizes = [math.prod(shape) for shape in shapes]
        # Zeros are put in where weights are absent, so entries are numbered from one.
        starts = 1 + np.cumsum([0, *sizes])
        numbers = np.arange(starts[-1], dtype=np.float64)
        numbered = [part.reshape(shape) for part, shape in zip(np.split(numbers, starts)[1:-1], shapes, strict=True)]
        drawn = np.random.default_rng(0).uniform(1, 2, int(starts[-1]))
        drawn[0] = 0
        random = [drawn[part.astype(np.intp)] for part in numbered]
        weights = GivenWeights(dict(zip(self._ids, numbered, strict=True)))
        first = self.reader.read(weights=weights)
        second = self.reader.read(weights=GivenWeights(dict(zip(self._ids, random, strict=True))))
        self.network, self.layers = first.network, first.layers

        def find(one: NDArray[Any], other: NDArray[Any]) -> Rearrangement | None:
            return _rearrangement(one, other, drawn, starts)

        for one, other in zip(first.network.links, second.network.links, strict=True):
            found = None
            if isinstance(one, Mix) and isinstance(other, Mix):
                found = find(one.weights, other.weights)
            elif isinstance(one, Values) and isinstance(other, Values):
                found = find(one.rows, other.rows)
            self.links.append(found)
        self.constants = {
            number: _numbers(one)
            for number, (one, other) in enumerate(zip(first.network.links, second.network.links, strict=True))
            if not isinstance(one, (Copy, Tie)) and np.array_equal(_numbers(one), _numbers(other))
        }
        layers = list(zip(first.layers, second.layers, strict=True))
        self.kernels = [find(one.kernel, other.kernel) for one, other in layers]
        self.biases = [find(one.bias, other.bias) for one, other in layers]
        self.outgoing = {
            position: find(one.outgoing, other.outgoing)
            for position, (one, other) in enumerate(layers)
            if one.outgoing is not None and other.outgoing is not None
        }
        self.self_contained = weights.complete and all(map(_is_free_of_variables, self.reader.activations()))
        self.stackable = self.self_contained and all(
            isinstance(link, (Copy, Tie)) or found is not None or number in self.constants
            for number, (link, found) in enumerate(zip(first.network.links, self.links, strict=True))
        )

    def numbers(self, stacks: Sequence[Stack]) -> list[NDArray[np.floating] | None]:
        """Return the stacked numbers of every link, `(R, ...)`, None for links without numbers."""
        count = len(stacks[0])
        return [
            np.broadcast_to(self.constants[number], (count, *self.constants[number].shape))
            if number in self.constants
            else None
            if found is None
            else found.of(stacks)
            for number, found in enumerate(self.links)
        ]


def _numbers(link: Link) -> NDArray[Any]:
    assert isinstance(link, (Mix, Values))
    return link.weights if isinstance(link, Mix) else link.rows


def _as_float(array: NDArray[Any]) -> NDArray[Any]:
    known = array.dtype in (np.dtype(np.float32), np.dtype(np.float64))
    return array if known else array.astype(np.float32)


def _rearrangement(
    numbered: NDArray[Any], other: NDArray[Any], drawn: NDArray[np.float64], starts: NDArray[np.intp]
) -> Rearrangement | None:
    """Return how an array is put together from variables, None if it is not merely rearranged."""
    whole = np.isfinite(numbered) & (numbered == np.round(numbered)) & (numbered >= 0) & (numbered < starts[-1])
    if not whole.all():
        return None
    entries = numbered.astype(np.intp)
    if not np.array_equal(drawn[entries], other):
        return None
    held = np.unique(np.searchsorted(starts, entries[entries > 0], side="right") - 1)
    index = np.full(entries.shape, -1, dtype=np.intp)
    offset = 0
    for variable in held:
        mine = (entries >= starts[variable]) & (entries < starts[variable + 1])
        index[mine] = entries[mine] - starts[variable] + offset
        offset += int(starts[variable + 1] - starts[variable])
    return Rearrangement(tuple(held.tolist()), entries.shape, index, _steps(index))


def _steps(index: NDArray[np.intp]) -> tuple[int, ...] | None:
    if not index.size or (index < 0).any():
        return None
    first = index[(0,) * index.ndim]
    steps = [
        int(np.take(index, 1, axis)[(0,) * (index.ndim - 1)] - first) if size > 1 else 0
        for axis, size in enumerate(index.shape)
    ]
    walked = np.full(index.shape, first)
    for step, position in zip(steps, np.ogrid[tuple(map(slice, index.shape))], strict=True):
        walked += step * position
    return (int(first), *steps) if np.array_equal(index, walked) else None


def _remember(response: Callable[[NDArray[np.float64]], Any]) -> Callable[[NDArray[np.float64]], Any]:
    known: dict[bytes, Any] = {}

    def remembered(constants: NDArray[np.float64]) -> Any:
        key = constants.tobytes()
        if key not in known:
            if len(known) >= 64:
                known.clear()
            known[key] = response(constants)
        return known[key]

    return remembered


def _is_free_of_variables(function: Any) -> bool:
    """Return whether a function is one of Keras' own that holds no variables."""
    owner = getattr(function, "__self__", function)
    if isinstance(owner, keras.layers.PReLU):
        return True  # its slopes are read as numbers of the units
    if isinstance(owner, keras.Layer) and owner.variables:
        return False
    module = getattr(type(owner) if isinstance(owner, keras.Operation) else owner, "__module__", "") or ""
    return module.split(".")[0] == "keras"
