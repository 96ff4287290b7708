"""How one link splits classes of features: by what it brings to those it writes, and what it takes from those it reads.

Every feature is kept with its opposite: the labels of a space have shape `(2, features)`, the opposites in the second
row. Where a feature has the label of the opposite of another one, the two stay equal up to their sign.
"""

import enum

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.classes import equivalence_classes, rounding_tolerance
from keras_initkit.symmetry.network import Copy, Link, Mix, Tie, Values

_PROBES = 8  # sums that are looked at before all others


class Manner(enum.Enum):
    """How signs go through a copy."""

    ODD = enum.auto()
    """The opposite gives the opposite."""
    SIGNLESS = enum.auto()
    """Nothing is known about opposites."""
    FACTOR = enum.auto()
    """Multiplied with something else, whose sign is that of the product."""


class Classes:
    """Classes of the features of a space and of their opposites; they are only ever split.

    Attributes:
        labels: `(2, features)`.
        size: number of features.
        count: number of classes.
        mirrored: `(features,)`, whether a feature may still be equal to some opposite.
    """

    def __init__(self, labels: NDArray[np.intp]):
        self._set(labels)

    def _set(self, labels: NDArray[np.intp]) -> None:
        self.labels = labels
        self.size = labels.shape[1]
        self.count = int(labels.max(initial=-1)) + 1
        with_opposites = np.zeros(self.count, dtype=bool)
        with_opposites[labels[1]] = True
        self.mirrored = with_opposites[labels[0]]

    @classmethod
    def begin(cls, size: int, *, apart: bool, mirrored: bool) -> "Classes":
        """Return all features of a space in one class, or each in one of its own."""
        labels = np.arange(2 * size) if apart else np.repeat([0, 0 if mirrored else 1], size)
        return cls(labels.reshape(2, size))

    def split(self, keys: NDArray[np.intp]) -> bool:
        """Split the classes by keys `(2, features)`, or `(features,)` if there is nothing to learn of opposites."""
        if keys.ndim == 1:
            keys = np.stack([keys, keys])
        codes = self.labels * (int(keys.max(initial=0)) + 1) + keys
        before = self.count
        self._set(np.unique(codes, return_inverse=True)[1].reshape(codes.shape))
        return self.count > before

    @property
    def all_apart(self) -> bool:
        """Whether every class has one member, so that nothing is left to split."""
        return self.count == self.labels.size

    def pairs(self) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return a label for each class together with its opposite one, and on which of the two each feature is.

        The sign is 0 for a feature that equals its own opposite, which is zero.
        """
        one, other = self.labels
        _, pair = np.unique(np.minimum(one, other), return_inverse=True)
        return pair.reshape(-1), np.sign(other - one).astype(np.float32)

    def joined(self) -> NDArray[np.intp]:
        """Return the classes up to the sign, in the order of first appearance."""
        pair, _ = self.pairs()
        _, first, inverse = np.unique(pair, return_index=True, return_inverse=True)
        rank = np.empty(len(first), dtype=np.intp)
        rank[np.argsort(first)] = np.arange(len(first))
        return rank[inverse.reshape(-1)]

    def aligned(self, facing: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return signs with which the features of each class are equal, its first feature facing as it did."""
        labels, (_, sign) = self.joined(), self.pairs()
        sign = np.where(sign == 0, 1.0, sign)
        first = np.unique(labels, return_index=True)[1]
        return sign * (sign * facing)[first][labels]


def seen_by_writer(link: Link, classes: list[Classes], manner: Manner | None) -> bool:
    """Split the classes of the features that a link writes, by what it brings them; return whether any were."""
    if classes[link.ends[-1]].all_apart:
        return False
    if isinstance(link, Values):
        return classes[link.space].split(_by_own_numbers(link, classes[link.space]))
    if isinstance(link, Tie):
        return classes[link.second].split(classes[link.first].labels)
    mine, theirs = classes[link.ends[1]], classes[link.ends[0]]
    if isinstance(link, Mix):
        return _split_by_sums(link, mine, theirs, axis=0)
    offset = theirs.count
    if manner is Manner.ODD:
        codes = theirs.labels
    else:
        codes = np.stack([theirs.labels[0], theirs.labels[0] + (offset if manner is Manner.SIGNLESS else 0)])
    return mine.split(_by_uses(link, codes, mine.size) if link.folded else _by_origins(link, codes))


def seen_by_reader(link: Link, classes: list[Classes], manner: Manner | None) -> bool:
    """Split the classes of the features that a link reads, by where it takes them; return whether any were."""
    if isinstance(link, Values) or classes[link.ends[0]].all_apart:
        return False
    if isinstance(link, Tie):
        return classes[link.first].split(classes[link.second].labels)
    mine, theirs = classes[link.ends[0]], classes[link.ends[1]]
    if isinstance(link, Mix):
        return _split_by_sums(link, mine, theirs, axis=1)
    if manner is Manner.ODD:
        codes = theirs.labels
    else:
        plain = theirs.pairs()[0] if manner is Manner.FACTOR else theirs.labels[0]
        codes = np.stack([plain, plain + theirs.count])
    return mine.split(_by_origins(link, codes) if link.folded else _by_uses(link, codes, mine.size))


def _by_origins(link: Copy, codes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return keys of copies: the code of what they are copies of, and their place."""
    keys = np.where(link.index >= 0, codes[:, link.index] + 1, 0)
    return keys if link.place is None else keys * (int(link.place.max(initial=0)) + 1) + link.place


def _by_uses(link: Copy, codes: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Return keys of originals: the codes and places of all their copies."""
    if link.place is None and len(link.index) == size and (link.index == np.arange(size)).all():
        return codes
    kept = np.flatnonzero(link.index >= 0)
    original = np.concatenate([link.index[kept], link.index[kept] + size])
    codes = codes[:, kept]
    if link.place is not None:
        codes = codes * (int(link.place.max(initial=0)) + 1) + link.place[kept]
    codes = codes.reshape(-1)
    order = np.lexsort((codes, original))
    original, codes = original[order], codes[order]
    counts = np.bincount(original, minlength=2 * size)
    table = np.full((2 * size, int(counts.max(initial=0)) + 1), -1)
    table[original, np.arange(len(original)) - np.repeat(np.cumsum(counts) - counts, counts)] = codes
    return np.unique(table, axis=0, return_inverse=True)[1].reshape(2, size)


def _by_own_numbers(link: Values, mine: Classes) -> NDArray[np.intp]:
    """Return keys of features by numbers of their own; those that are added change sign with the feature."""
    size = mine.size
    keys = np.zeros(2 * size, dtype=np.intp)
    added = link.role == "shift"
    for number, part in enumerate([link.rows, *link.momentum, *link.state]):
        odd = added and number <= len(link.momentum)
        both = np.concatenate([part, -part if odd else part], axis=1)
        keys = _combined(keys, _equal_columns(both, part.dtype))
    keys = keys.reshape(2, size)
    return keys if added else np.stack([keys[0], keys[0] + keys.max(initial=0) + 1])


def _split_by_sums(link: Mix, mine: Classes, theirs: Classes, axis: int) -> bool:
    """Split the classes at one side of the weights by the sums over the classes at the other side, `axis` of them."""
    pair, sign = theirs.pairs()
    parts = [(part, True) for part in (link.weights, *link.momentum)] + [(part, False) for part in link.state]
    if link.present is not None:
        parts.append((link.present[:, :, None].astype(np.float32), False))
    whole = len(np.unique(pair)) < len(pair)
    if whole and (link.momentum or link.state):
        # Optimizers are not linear in what they hold: not only its sums have to be equal, all of it has to be.
        held = (*link.momentum, *link.state)
        parts += [(one * other, False) for n, one in enumerate(held) for other in held[n:]]
    split = False
    for part, odd in parts:
        matrix = part if axis == 0 else part.swapaxes(0, 1)
        for probing in (True, False):
            sizes = np.bincount(mine.labels.reshape(-1))
            shared = np.flatnonzero((sizes[mine.labels] > 1).any(axis=0))
            if not len(shared):
                return split
            sums = _class_sums(matrix, shared, pair, sign if odd else np.abs(sign), probing=probing)
            # What cancels in a sum leaves the rounding of its terms; and probes must not see more than all sums do.
            largest = _largest(part) if whole or probing else 0.0
            split |= mine.split(_by_columns(sums, mine, shared, largest, part.dtype, odd=odd))
    return split


def _by_columns(
    columns: NDArray[np.floating],
    mine: Classes,
    shared: NDArray[np.intp],
    largest: float,
    stored: np.dtype,
    *,
    odd: bool,
) -> NDArray[np.intp]:
    """Return keys of features by what reaches some of them, which is opposite for their opposites if it is `odd`."""
    keys = np.zeros(mine.labels.shape, dtype=np.intp)
    bound = np.full((1, columns.shape[1]), largest)
    if odd and mine.mirrored[shared].any():
        both = np.concatenate([np.concatenate([columns, bound]), np.concatenate([-columns, bound])], axis=1)
        keys[:, shared] = _equal_columns(both, stored).reshape(2, -1) + 1
    else:
        keys[:, shared] = _equal_columns(np.concatenate([columns, bound]), stored) + 1
    return keys


def _class_sums(
    matrix: NDArray[np.floating],
    shared: NDArray[np.intp],
    pair: NDArray[np.intp],
    sign: NDArray[np.float32],
    *,
    probing: bool,
) -> NDArray[np.floating]:
    """Return the sums over classes, `(classes · taps, shared)`, of weights `(others, features, taps)`.

    Probing gives only some of them.
    """
    taps = matrix.shape[2]
    count = int(pair.max(initial=-1)) + 1
    if probing:
        matrix = matrix[:, :, taps // 2 : taps // 2 + 1]
    if count == len(pair):
        if probing:
            chosen = np.unique(np.linspace(0, len(pair) - 1, _PROBES).astype(np.intp))
            matrix, sign = matrix[chosen], sign[chosen]
        rows = matrix if len(shared) == matrix.shape[1] else matrix[:, shared]
        rows = rows if (sign > 0).all() else rows * sign[:, None, None]
        return rows.transpose(0, 2, 1).reshape(-1, len(shared))
    rows = matrix if len(shared) == matrix.shape[1] else matrix[:, shared]
    order = np.argsort(pair, kind="stable")
    starts = np.searchsorted(pair[order], np.arange(count))
    sums = np.add.reduceat((rows * sign[:, None, None])[order].astype(np.float64), starts, axis=0)
    return sums.transpose(0, 2, 1).reshape(-1, len(shared))


def _largest(part: NDArray[np.floating]) -> float:
    return float(max(part.max(initial=0.0), -part.min(initial=0.0)))  # faster than with a copy of absolute values


def _equal_columns(columns: NDArray[np.floating], stored: np.dtype) -> NDArray[np.intp]:
    """Return the classes of equal columns, up to the rounding of the type in which the numbers are stored."""
    return equivalence_classes(columns, tolerance=rounding_tolerance(stored))


def _combined(one: NDArray[np.intp], other: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.unique(one * (int(other.max(initial=0)) + 1) + other, return_inverse=True)[1].reshape(-1)
