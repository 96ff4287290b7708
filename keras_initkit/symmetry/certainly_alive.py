"""A quick proof, for many networks of one structure at once, that a gradient arrives at every feature.

`live_features` goes to and fro between values and gradients until nothing new moves; what it has once found to vary, or
to get a gradient, stays so. One way forth and back through the links is often enough to find all there is. It is gone
here with what is certain whatever the other numbers are. Where that does not suffice, nothing is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.network import Copy, Mix, Network, Space, Tie, Values


@dataclass
class _Values:
    """What is certain of the values of a space, `(R, features)`, or `(1, features)` for all networks alike.

    Attributes:
        vary: which features vary with the data.
        nonzero: which features vary, or are a constant other than zero.
        empty: whether the space is a sum to which nothing was added yet.
    """

    vary: NDArray[np.bool_]
    nonzero: NDArray[np.bool_]
    empty: bool

    @classmethod
    def neutral(cls, space: Space) -> "_Values":
        given = np.full((1, space.size), space.given)
        return cls(given, given | space.product, empty=not space.product)

    def add(self, vary: NDArray[np.bool_], nonzero: NDArray[np.bool_]) -> None:
        self.vary = self.vary | vary
        # Two constants other than zero may add up to zero.
        self.nonzero = self.vary | (nonzero & self.empty)
        self.empty = False

    def multiply(self, vary: NDArray[np.bool_], nonzero: NDArray[np.bool_]) -> None:
        self.nonzero = self.nonzero & nonzero
        self.vary = (self.vary | vary) & self.nonzero


def certainly_alive(
    network: Network, numbers: Sequence[NDArray[np.floating] | None], units: Sequence[Sequence[int]]
) -> NDArray[np.bool_]:
    """Return for which networks it is proved that a gradient arrives at all units, at once or after some steps.

    Args:
        network: the structure, spaces and links; of the numbers of its links nothing is used, as if the optimizer
            held nothing.
        numbers: for every link that has numbers these, finite, stacked: weights `(R, sources, targets, taps)`, values
            `(R, rows, features)`; None for others.
        units: for each call of a layer the numbers of the spaces whose features are its units; a gradient at one of
            the spaces is enough.

    Returns:
        Array `(R,)`.
    """
    count = next(len(part) for part in numbers if part is not None)
    values = _values(network, numbers)
    gradients = _gradients(network, numbers, values)
    alive = np.ones(count, dtype=bool)
    for spaces in units:
        alive &= np.logical_or.reduce(np.broadcast_arrays(*[gradients[space] for space in spaces])).all(axis=1)
    return alive


def _values(network: Network, numbers: Sequence[NDArray[np.floating] | None]) -> list[_Values]:
    """Return what is certain of the values when the links are gone through once, in their order."""
    found = [_Values.neutral(space) for space in network.spaces]
    for link, stack in zip(network.links, numbers, strict=True):
        space = network.spaces[link.ends[-1]]
        target = found[link.ends[-1]]
        bring = target.multiply if space.product else target.add
        if isinstance(link, Values):
            if link.role == "shift" and stack is not None:
                target.add(np.zeros((1, space.size), dtype=bool), stack[:, 0] != 0)
        elif isinstance(link, Mix):
            # What comes later in time is zero at first.
            vary = np.zeros_like(found[link.source].vary) if link.recurrent else found[link.source].vary
            reached = _reached(vary, stack)
            bring(reached, reached)
        elif isinstance(link, Copy):
            bring(_copied(link, found[link.source].vary, space.size), _nonzero(link, found, space.size))
    return found


def _nonzero(link: Copy, values: list[_Values], size: int) -> NDArray[np.bool_]:
    """Return which features that a copy brings are certainly not always zero."""
    source = values[link.source]
    # Of constants behind a function nothing is known.
    return _copied(link, source.nonzero if link.response is None else source.vary, size)


def _reached(sources: NDArray[np.bool_], weights: NDArray[np.floating] | None) -> NDArray[np.bool_]:
    """Return which targets `(R, targets)` have a weight other than zero from one of the sources."""
    assert weights is not None
    if not sources.any():
        return np.zeros((1, weights.shape[2]), dtype=bool)
    # A look at one of the weights of each unit is mostly enough.
    reached = (weights[:, 0, :, 0] != 0) & sources[:, :1]
    left = ~reached.all(axis=1)
    if left.any():
        weights = weights if left.all() else weights[left]
        sources = sources if len(sources) == 1 else sources[left]
        reached[left] = _connected(weights, sources[:, :, None], axis=1)
    return reached


def _connected(weights: NDArray[np.floating], ends: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Return which features at one side have a weight other than zero to one of the `ends` at the other side."""
    used: NDArray[np.bool_] = (weights != 0).any(axis=3) if weights.shape[3] > 1 else weights[:, :, :, 0] != 0
    return np.asarray((used if ends.all() else used & ends).any(axis=axis))


def _copied(link: Copy, source: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Return what is certain of the features `(R, size)` that a copy brings."""
    if _keeps_all(link, size, source.shape[1]):
        return source
    if link.folded:
        brought = np.zeros((size, len(source)), dtype=bool)
        np.logical_or.at(brought, link.index, source.T)
        return brought.T
    return np.where(link.index >= 0, source[:, link.index], False)


def _keeps_all(link: Copy, targets: int, sources: int) -> bool:
    return targets == sources == len(link.index) and bool((link.index == np.arange(sources)).all())


def _gradients(
    network: Network, numbers: Sequence[NDArray[np.floating] | None], values: list[_Values]
) -> list[NDArray[np.bool_]]:
    """Return where gradients certainly arrive when the links are gone through once, from the last one on."""
    found = [np.full((1, space.size), space.observed) for space in network.spaces]
    factors: dict[int, list[Copy]] = {}
    for link in network.links:
        if isinstance(link, Copy) and network.spaces[link.target].product:
            factors.setdefault(link.target, []).append(link)
    for link, stack in reversed(list(zip(network.links, numbers, strict=True))):
        if isinstance(link, (Values, Tie)):
            continue
        arriving = found[link.target]
        if isinstance(link, Mix):
            found[link.source] = found[link.source] | _back_through_weights(link, stack, arriving, values[link.source])
            continue
        for other in factors.get(link.target, ()):
            if other is not link:
                arriving = arriving & _nonzero(other, values, network.spaces[link.target].size)
        source = _back_through_copy(link, arriving, network.spaces[link.source].size)
        if link.response is not None:
            source = source & values[link.source].vary  # at a constant the function may be flat
        found[link.source] = found[link.source] | source
    return found


def _back_through_weights(
    link: Mix, weights: NDArray[np.floating] | None, arriving: NDArray[np.bool_], source: _Values
) -> NDArray[np.bool_]:
    assert weights is not None
    if link.trainable:
        # Weights from what is not always zero will move, if they are zero.
        if link.present is None:
            possible = arriving.any(axis=1, keepdims=True)
        else:
            possible = (arriving.astype(np.float32) @ link.present.T.astype(np.float32)) > 0
        return possible & source.nonzero
    return _connected(weights, arriving[:, None, :], axis=2)


def _back_through_copy(link: Copy, arriving: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    if _keeps_all(link, arriving.shape[1], size):
        return arriving
    if link.folded:
        return arriving[:, link.index]
    source = np.zeros((size, len(arriving)), dtype=bool)
    kept = np.flatnonzero(link.index >= 0)
    np.logical_or.at(source, link.index[kept], arriving[:, kept].T)
    return source.T
