"""A neural network as feature spaces and links between them: what decides which features stay equal for ever.

A space is the last axis of one tensor of the network; its features are the units before an activation, the units behind
it, the channels behind a flatten, the heads of an attention layer. Links say how the features of one space depend on
those of another. Links are pure data, so a network from any framework can be written down.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Takes constants `(n,)`, returns the value and the absolute slope of an elementwise function there; NaN where unknown.
Response = Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]


@dataclass(frozen=True, eq=False)
class Space:
    """The features of one tensor.

    Attributes:
        size: number of features.
        apart: whether something tells every feature from every other one: data at the inputs, the loss at the outputs,
            dropout and noise, or an operation that is not understood.
        given: whether values enter here from outside: data, or an operation that is not understood.
        observed: whether gradients enter here from outside: the loss, or an operation that is not understood.
        product: whether what the links bring here is multiplied, not added.
        signed: whether the features may be replaced by their opposites, if all links to and from here allow it. Where
            only copies are written to, this is so without being said.
    """

    size: int
    apart: bool = False
    given: bool = False
    observed: bool = False
    product: bool = False
    signed: bool = False


@dataclass(frozen=True, eq=False)
class Mix:
    """Weights from every feature of one space to every feature of another.

    Attributes:
        source: number of the space that is read.
        target: number of the space that is written.
        weights: `(sources, targets, taps)`; taps are the positions of a convolution window, or gates.
        momentum: the optimizer's numbers that move the weights without a gradient and change sign with them, each
            `(sources, targets, taps)`.
        state: its other numbers for the weights, such as means of squares, each `(sources, targets, taps)`.
        present: `(sources, targets)`, which connections exist (grouped convolutions); None if all do.
        trainable: whether training changes the weights.
        recurrent: whether the target comes before the source in time.
    """

    source: int
    target: int
    weights: NDArray[Any]
    momentum: tuple[NDArray[Any], ...] = ()
    state: tuple[NDArray[Any], ...] = ()
    present: NDArray[np.bool_] | None = None
    trainable: bool = True
    recurrent: bool = False

    @property
    def ends(self) -> tuple[int, ...]:
        """Numbers of the spaces it reads and writes."""
        return (self.source, self.target)


@dataclass(frozen=True, eq=False)
class Copy:
    """Each feature of the target is a function of one feature of the source, the same function for all.

    Attributes:
        source: number of the space that is read.
        target: number of the space that is written.
        index: `(targets,)`, the feature of the source that each feature of the target comes from, -1 for none.
        place: `(targets,)`, what tells several copies of one feature apart (the position behind a flatten); None if
            nothing does.
        odd: whether opposite values stay opposite.
        response: the function at constants; None for one that changes nothing.
        folded: whether `index` and `place` are those of the features of the source instead: `(sources,)`, the feature
            of the target that each of them becomes part of, each in a place of its own (a reshape from positions and
            channels in one axis to channels).
    """

    source: int
    target: int
    index: NDArray[np.intp]
    place: NDArray[np.intp] | None = None
    odd: bool = True
    response: Response | None = None
    folded: bool = False

    @property
    def ends(self) -> tuple[int, ...]:
        """Numbers of the spaces it reads and writes."""
        return (self.source, self.target)


@dataclass(frozen=True, eq=False)
class Values:
    """Numbers of their own for every feature of a space: biases, statistics, and what optimizers hold for them.

    Scales are written as a space of their own, whose values are the scales, times the space that is scaled.

    Attributes:
        space: number of the space.
        rows: `(rows, features)`.
        role: `"shift"` for numbers that are added (one row), `"tag"` for numbers that only tell features apart.
        momentum: the optimizer's numbers that move these without a gradient, each `(rows, features)`.
        state: its other numbers for these, each `(rows, features)`.
        trainable: whether training changes the numbers.
    """

    space: int
    rows: NDArray[Any]
    role: str = "tag"
    momentum: tuple[NDArray[Any], ...] = ()
    state: tuple[NDArray[Any], ...] = ()
    trainable: bool = True

    @property
    def ends(self) -> tuple[int, ...]:
        """Number of the space whose features have the numbers."""
        return (self.space,)


@dataclass(frozen=True, eq=False)
class Tie:
    """Two spaces of equal size at which the same weights work: features are equal in both or in none.

    Attributes:
        first: number of one space.
        second: number of the other.
    """

    first: int
    second: int

    @property
    def ends(self) -> tuple[int, ...]:
        """Numbers of the two spaces."""
        return (self.first, self.second)


Link = Mix | Copy | Values | Tie


@dataclass(frozen=True, eq=False)
class Network:
    """Spaces and links, the links in the order in which a forward pass meets them."""

    spaces: list[Space] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)


def identity(size: int) -> NDArray[np.intp]:
    """Return the index of a copy that keeps all features in their order."""
    return np.arange(size)
