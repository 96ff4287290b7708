"""The plan of a model's network: which spaces and links there are, and which variables fill them with numbers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.network import Copy, Link, Mix, Network, Response, Space, Tie, Values, identity
from keras_initkit.units.features import NotUnderstood, Route, UnitsAt, feature_count
from keras_initkit.units.weights import Weights

Shape = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(eq=False)
class Plan:
    """Collects spaces and links call by call; filled with numbers at every measurement.

    Attributes:
        spaces: the spaces.
        routes: the copies, as far as they are known without numbers.
        readers: numbers of the spaces that weights read.
        units: the units of every call of a layer that has some.
        unknown: numbers of the spaces that an operation reads or writes that is not understood.
        noisy: numbers of the spaces that dropout or noise tells apart.
        centred: pairs of a space and the one behind it, where batch statistics are taken off between them.
        outputs: numbers of the spaces of the model's outputs.
        mixes: how many links with weights there are.
        owners: the layer that owns a variable, by the identity of the variable.
        canonical: gives the one tensor that stands for a tensor inside and outside of nested models.
    """

    spaces: list[Space] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    readers: set[int] = field(default_factory=set)
    units: list[UnitsAt] = field(default_factory=list)
    unknown: set[int] = field(default_factory=set)
    noisy: set[int] = field(default_factory=set)
    centred: set[tuple[int, int]] = field(default_factory=set)
    outputs: set[int] = field(default_factory=set)
    mixes: int = 0
    owners: dict[int, Any] = field(default_factory=dict)
    canonical: Callable[[Any], Any] = lambda tensor: tensor
    _makers: list[Callable[[Weights], Link]] = field(default_factory=list)
    _shifts: dict[int, list[Callable[[Weights], Link]]] = field(default_factory=dict)
    _of_tensor: dict[int, tuple[int, int]] = field(default_factory=dict)
    _first_use: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)

    # ------------------------------------------------------------------------------------------------------- spaces

    def add_space(self, size: int, **flags: bool) -> int:
        """Add a space and return its number."""
        self.spaces.append(Space(size, **flags))
        return len(self.spaces) - 1

    def space_of(self, tensor: Any, axes: int = 1) -> int:
        """Return the space of the features of a tensor, which are its last axis, or its last `axes` together.

        Raises:
            NotUnderstood: if the tensor has no such axes, or its features are known to be others.
        """
        tensor = self.canonical(tensor)
        if id(tensor) not in self._of_tensor:
            self.set_space(tensor, self.add_space(feature_count(tensor, axes), apart=True, given=True), axes)
        number, known = self._of_tensor[id(tensor)]
        if known != axes:
            raise NotUnderstood
        return number

    def axes_of(self, tensor: Any) -> int:
        """Return how many of the last axes of a tensor are its features."""
        return self._of_tensor.get(id(self.canonical(tensor)), (0, 1))[1]

    def set_space(self, tensor: Any, number: int, axes: int = 1) -> None:
        """Say that the features of a tensor are those of a space."""
        self._of_tensor[id(self.canonical(tensor))] = (number, axes)

    def result(self, tensor: Any, axes: int = 1, **flags: bool) -> int:
        """Add a space for the features of a tensor that an operation gives, and return its number."""
        number = self.add_space(feature_count(tensor, axes), **flags)
        self.set_space(tensor, number, axes)
        return number

    # -------------------------------------------------------------------------------------------------------- links

    def add_link(self, make: Callable[[Weights], Link]) -> None:
        """Add a link that is made from the weights at every measurement."""
        self._makers.append(make)

    def mix(
        self,
        source: int,
        target: int,
        layer: Any,
        name: str,
        shape: Shape,
        *,
        present: NDArray[np.bool_] | None = None,
        recurrent: bool = False,
        transposed: bool = False,
        part: str = "",
    ) -> None:
        """Add weights: the attribute `name` of a layer, brought to `(sources, targets, taps)` by `shape`.

        Where the same `part` of the attribute works elsewhere too, the two are tied; `transposed` says that here it
        works backwards.
        """
        self.mixes += 1
        if not recurrent:
            self.readers.add(source)
        self._tie_uses(layer, name, part, *((target, source) if transposed else (source, target)))

        def make(weights: Weights) -> Mix:
            momentum, state = weights.slots(layer, name)
            return Mix(
                source,
                target,
                shape(weights.value(layer, name)),
                tuple(map(shape, momentum)),
                tuple(map(shape, state)),
                present,
                weights.is_trainable(layer, name),
                recurrent,
            )

        self.add_link(make)

    def mix_fixed(self, source: int, target: int, weights: NDArray[Any]) -> None:
        """Add constant weights `(sources, targets)`, such as those of a sum over some features."""
        link = Mix(source, target, weights[:, :, None], trainable=False)
        self.add_link(lambda _: link)

    def values(self, space: int, layer: Any, name: str, shape: Shape, *, role: str = "shift", part: str = "") -> None:
        """Add numbers per feature: the attribute `name` of a layer, brought to `(rows, features)` by `shape`."""

        def make(weights: Weights) -> Values:
            momentum, state = weights.slots(layer, name)
            return Values(
                space,
                shape(weights.value(layer, name)),
                role,
                tuple(map(shape, momentum)),
                tuple(map(shape, state)),
                weights.is_trainable(layer, name),
            )

        self._tie_spaces(layer, name, part, space)
        if role == "shift":
            self._shifts.setdefault(space, []).append(make)
        self.add_link(make)

    def cancel_shifts(self) -> None:
        """Leave out the biases that batch statistics take off again right behind."""
        behind: dict[int, list[int]] = {}
        for route in self.routes:
            behind.setdefault(route.source, []).append(route.target)
        for space, makers in self._shifts.items():
            ends = behind.get(space, [])
            used = space in self.readers | self.outputs | self.unknown
            if ends and not used and all((space, end) in self.centred for end in ends):
                self._makers = [make for make in self._makers if make not in makers]

    def copy(
        self,
        source: int,
        target: int,
        index: NDArray[np.intp] | None = None,
        *,
        place: NDArray[np.intp] | None = None,
        odd: bool = True,
        response: Response | None = None,
        activation: tuple[str | None, Any] | None = None,
        folded: bool = False,
    ) -> None:
        """Add a function of single features; `index` defaults to all of them in their order.

        Raises:
            NotUnderstood: if the spaces do not fit.
        """
        index = identity(self.spaces[source].size) if index is None else index
        indexed, pointed = (source, target) if folded else (target, source)
        if len(index) != self.spaces[indexed].size or index.max(initial=-1) >= self.spaces[pointed].size:
            raise NotUnderstood
        link = Copy(source, target, index, place, odd, response, folded)
        self.routes.append(Route(source, target, index, activation, folded))
        self.add_link(lambda _: link)

    def scale(self, space: int, target: int, layer: Any, name: str, shape: Shape) -> None:
        """Multiply the features of a space with numbers of their own; what comes out is the product space `target`."""
        size = self.spaces[target].size
        factors = self.add_space(size)
        self.values(factors, layer, name, shape)
        self.copy(space, target)
        self.copy(factors, target, odd=False)

    def tie(self, first: int, second: int) -> None:
        """Say that the same weights work at two spaces."""
        if first != second and self.spaces[first].size == self.spaces[second].size:
            link = Tie(first, second)
            self.add_link(lambda _: link)

    def _tie_uses(self, layer: Any, name: str, part: str, source: int, target: int) -> None:
        array = getattr(layer, name)
        # What is computed anew at each access has no identity of its own.
        key = (id(array), part) if isinstance(array, keras.Variable) else (id(layer), f"{name} {part}")
        first = self._first_use.setdefault(key, (source, target))
        self.tie(first[0], source)
        self.tie(first[1], target)

    def _tie_spaces(self, layer: Any, name: str, part: str, space: int) -> None:
        """Tie the spaces that get their numbers from one variable, unless it is one number for all features."""
        array = getattr(layer, name)
        if isinstance(array, keras.Variable) and int(np.prod(array.shape)) > 1:
            self.tie(self._first_use.setdefault((id(array), f"own {part}"), (space, space))[0], space)

    @property
    def used(self) -> set[int]:
        """The identities of the variables, and of the layers that compute their weights, which links hold."""
        return {identity_of for identity_of, _ in self._first_use}

    def penalise(self, tensor: Any, *, alike: bool) -> None:
        """Say that the loss has a term for the features of a tensor, which is flat at 0.

        Args:
            tensor: the tensor.
            alike: whether the term is the same function of all features.
        """
        number = self._of_tensor.get(id(self.canonical(tensor)))
        if number is not None:
            size = self.spaces[number[0]].size
            loss = self.add_space(size, apart=not alike, observed=True)
            link = Copy(number[0], loss, identity(size), response=_flat_at_zero)
            self.add_link(lambda _: link)

    def not_understood(self, tensors: list[Any], outputs: list[Any]) -> None:
        """Say that an operation does something unknown: its inputs and outputs are on their own."""
        for tensor in tensors:
            number = self._of_tensor.get(id(self.canonical(tensor)))
            if number is not None:
                self._replace(number[0], apart=True, observed=True)
                self.unknown.add(number[0])
        for tensor in outputs:
            number = self._of_tensor.get(id(self.canonical(tensor)))
            if number is not None:
                self._replace(number[0], apart=True, given=True)
                self.unknown.add(number[0])
            elif len(tensor.shape) > 1 and tensor.shape[-1] is not None:
                self.unknown.add(self.result(tensor, apart=True, given=True))

    def observe(self, tensor: Any) -> None:
        """Say that a tensor is an output of the model."""
        number = self._of_tensor.get(id(self.canonical(tensor)))
        if number is not None:
            self._replace(number[0], apart=True, observed=True)
            self.outputs.add(number[0])

    def _replace(self, number: int, **flags: bool) -> None:
        old = self.spaces[number]
        self.spaces[number] = Space(**{**vars(old), **flags})

    def progress(self) -> tuple[int, int, int, int]:
        """Return how far the plan has come, to go back there if an operation turns out not to be understood."""
        return len(self._makers), len(self.routes), len(self.units), self.mixes

    def go_back(self, progress: tuple[int, int, int, int]) -> None:
        """Take off the links and units that were added since then."""
        makers, routes, units, self.mixes = progress
        del self._makers[makers:], self.routes[routes:], self.units[units:]

    def read(self, weights: Weights) -> Network:
        """Return the network with the present numbers."""
        return Network(self.spaces, [make(weights) for make in self._makers])


def _flat_at_zero(constants: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return constants, (constants != 0).astype(np.float64)
