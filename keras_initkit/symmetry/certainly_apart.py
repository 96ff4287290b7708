"""A quick proof, for many networks of one structure at once, that no two features stay equal for ever.

`lasting_classes` stops where no link splits a class any more. So if the features of a space are all apart, up to their
sign, and no two columns of the weights from there to another space are equal, nor opposite, then the features of this
other space are all apart in the end. The proof follows the links from what is apart from the beginning. Where it
fails, nothing is known.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.classes import classes_of_rows, rounding_tolerance
from keras_initkit.symmetry.network import Copy, Link, Mix, Network, Tie
from keras_initkit.symmetry.similar_rows import generic_direction

_PROBES = 16  # weights of every unit that are looked at first
_ROUNDING = 1e-12  # of a sum of so many numbers of at most 1, in float64


@dataclass(eq=False)
class _Known:
    """What is proved of one space, for each of R networks `(R,)`.

    Attributes:
        apart: whether no two features are in one class, nor a feature and the opposite of another one.
        signed: whether no feature is in one class with its own opposite (and so always zero).
    """

    apart: NDArray[np.bool_]
    signed: NDArray[np.bool_]


class CertainlyApart:
    """Proves that features are all in classes of their own.

    Args:
        network: the structure, spaces and links; of the numbers of its links nothing is used.
        needed: numbers of the spaces for which the proof is wanted.
    """

    def __init__(self, network: Network, needed: Sequence[int]):
        self._network, self._needed = network, sorted(set(needed))
        self._copies = {link: _CopyFacts.of(link, network) for link in network.links if isinstance(link, Copy)}
        self._unmirrored = _never_mirrored(network, self._copies)

    def is_unmirrored(self, space: int) -> bool:
        """Return whether no feature of a space can be equal to the opposite of one, whatever the weights are."""
        return self._unmirrored[space]

    def prove(
        self, weights: Sequence[NDArray[np.floating] | None], differing: Collection[int] = ()
    ) -> NDArray[np.bool_]:
        """Return `(R,)`, for which of the networks the proof succeeds.

        Args:
            weights: for every link that is a `Mix` its finite weights `(R, sources, targets, taps)`; not used for
                others.
            differing: numbers of the links whose columns are known to be neither zero nor equal or opposite to another
                one, even up to rounding. Defaults to none.
        """
        count = next(len(part) for part in weights if part is not None)
        everywhere = np.ones(count, dtype=bool)
        found = [
            _Known(everywhere & space.apart, everywhere & (space.apart or self._unmirrored[number]))
            for number, space in enumerate(self._network.spaces)
        ]
        differ: dict[tuple[int, int], NDArray[np.bool_]] = {(number, 2): everywhere for number in differing}
        while not self._is_proved(found).all():
            before = sum(int(part.apart.sum()) + int(part.signed.sum()) for part in found)
            for number, link in enumerate(self._network.links):
                self._across(number, link, weights, found, differ, backward=False)
            if not self._is_proved(found).all():
                for number, link in reversed(list(enumerate(self._network.links))):
                    self._across(number, link, weights, found, differ, backward=True)
            if before == sum(int(part.apart.sum()) + int(part.signed.sum()) for part in found):
                break
        return self._is_proved(found)

    def _is_proved(self, found: list[_Known]) -> NDArray[np.bool_]:
        return np.logical_and.reduce([found[space].apart for space in self._needed])

    def _across(
        self,
        number: int,
        link: Link,
        weights: Sequence[NDArray[np.floating] | None],
        found: list[_Known],
        differ: dict[tuple[int, int], NDArray[np.bool_]],
        *,
        backward: bool,
    ) -> None:
        """Add to one end of a link what the other end tells of it."""
        source, target = found[link.ends[0]], found[link.ends[-1]]
        if backward:
            source, target = target, source
        if isinstance(link, Mix):
            self._through_weights(number, weights[number], source, target, 1 if backward else 2, differ)
        elif isinstance(link, Copy):
            facts = self._copies[link]
            tells = facts.tells_sources if backward else facts.tells_targets
            complete = facts.complete_sources if backward else facts.complete_targets
            target.apart = target.apart | (source.apart & tells)
            if facts.odd and complete:
                target.signed = target.signed | source.signed
        elif isinstance(link, Tie):
            target.apart = target.apart | source.apart
            target.signed = target.signed | source.signed

    def _through_weights(
        self,
        number: int,
        weights: NDArray[np.floating] | None,
        known: _Known,
        wanted: _Known,
        axis: int,
        differ: dict[tuple[int, int], NDArray[np.bool_]],
    ) -> None:
        """Use what is known at one side of weights to prove something of the other side, which is `axis` of them."""
        usable = known.apart & known.signed
        if known is wanted or weights is None or not (usable & ~(wanted.apart & wanted.signed)).any():
            return
        if (number, axis) not in differ:
            differ[number, axis] = all_differ(weights if axis == 2 else weights.swapaxes(1, 2))
        usable = usable & differ[number, axis]
        wanted.apart = wanted.apart | usable
        wanted.signed = wanted.signed | usable


def all_differ(weights: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return for which matrices of a stack no two columns are equal or opposite up to rounding, and none is zero.

    Equal is meant as in `lasting_classes`.

    Args:
        weights: finite array `(R, others, columns, taps)`.

    Returns:
        Array `(R,)`.
    """
    count, others, columns, taps = weights.shape
    if not weights.size:
        return np.full(count, columns == 0)
    tolerance = rounding_tolerance(weights.dtype)
    largest = np.maximum(weights.max(axis=(1, 2, 3)), -weights.min(axis=(1, 2, 3))).astype(np.float64)
    unit = np.where(largest > 0, largest, 1.0)
    places = np.unique(np.linspace(0, others * taps - 1, _PROBES).astype(np.intp))
    probe = weights[:, places // taps, :, places % taps].astype(np.float64)  # (places, R, columns)
    direction = generic_direction(len(places))
    # Columns that are near each other, or zero, have near projections; opposite ones up to their sign.
    side = np.abs(np.tensordot(direction, probe / unit[:, None], axes=1))
    side = np.concatenate([np.zeros((count, 1)), np.sort(side, axis=1)], axis=1)
    proved = np.diff(side, axis=1).min(axis=1) > (tolerance + _ROUNDING) * np.abs(direction).sum()
    for network in np.flatnonzero(~proved):
        rows = weights[network].transpose(1, 0, 2).reshape(columns, -1)
        labels = classes_of_rows(rows, sign=True, scale=False, tolerance=tolerance)
        proved[network] = labels.max() + 1 == columns and rows.any(axis=1).all()
    return proved


@dataclass(frozen=True)
class _CopyFacts:
    """What a copy says whatever the weights are.

    Attributes:
        tells_targets: whether features of the target are apart if those of the source are.
        tells_sources: the other way round.
        complete_targets: whether every feature of the target is a copy of some feature.
        complete_sources: whether every feature of the source is copied.
        odd: whether opposites stay opposites.
        signless: whether nothing behind the copy is the opposite of anything.
    """

    tells_targets: bool
    tells_sources: bool
    complete_targets: bool
    complete_sources: bool
    odd: bool
    signless: bool

    @classmethod
    def of(cls, link: Copy, network: Network) -> "_CopyFacts":
        product = network.spaces[link.target].product
        factors = [
            other
            for other in network.links
            if isinstance(other, Copy) and other.target == link.target and other.odd and product
        ]
        signless = len(factors) > 1 if product else not link.odd
        indexed, pointed = network.spaces[link.target].size, network.spaces[link.source].size
        if link.folded:
            indexed, pointed = pointed, indexed
        complete = bool((link.index >= 0).all())
        place = np.zeros(indexed, dtype=np.intp) if link.place is None else link.place
        single = len(np.unique(np.stack([link.index, place]), axis=1).T) == indexed
        hit = len(np.unique(link.index[link.index >= 0])) == pointed
        by_origin, by_uses = complete and single, hit
        sides = (complete, hit) if not link.folded else (hit, complete)
        return cls(
            tells_targets=by_uses if link.folded else by_origin,
            tells_sources=by_origin if link.folded else by_uses,
            complete_targets=sides[0],
            complete_sources=sides[1],
            odd=link.odd and not signless,
            signless=signless,
        )


def _never_mirrored(network: Network, copies: dict[Copy, _CopyFacts]) -> list[bool]:
    """Return for each space whether copies and ties alone say that no feature is the opposite of any."""
    copied = {link.target for link in copies}
    written = {link.target for link in network.links if isinstance(link, Mix)}
    found = [
        space.apart or not (space.signed or (number in copied and number not in written))
        for number, space in enumerate(network.spaces)
    ]
    count = -1
    while count != (count := sum(found)):
        for link in network.links:
            source, target = link.ends[0], link.ends[-1]
            if isinstance(link, Tie):
                found[source] = found[target] = found[source] or found[target]
            elif isinstance(link, Copy):
                facts = copies[link]
                if facts.complete_targets and (facts.signless or (facts.odd and found[source])):
                    found[target] = True
                if facts.complete_sources and (not facts.odd or found[target]):
                    found[source] = True
    return found
