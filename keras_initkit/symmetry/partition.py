"""Which features of a network stay equal for ever: the coarsest partition that training preserves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.classes import equivalence_classes, rounding_tolerance
from keras_initkit.symmetry.network import Copy, Link, Mix, Network, Tie, Values
from keras_initkit.symmetry.signs import feature_signs


@dataclass(frozen=True, eq=False)
class Partition:
    """Classes of features that stay equal.

    Attributes:
        labels: for every space of the network, `(features,)` labels; features with the same label stay equal.
        signs: for every space, `(features,)` of 1 and -1: with these signs the features of a class are equal.
    """

    labels: list[NDArray[np.intp]]
    signs: list[NDArray[np.float64]]


def lasting_classes(network: Network) -> Partition:
    """Find the features that have equal values and equal gradients on all data, now and after any number of steps.

    Features i and j of a space stay equal if (with C the classes of the spaces they read, D of those that read them)

    * their own numbers (bias, scale) are equal,
    * Σ_{k ∈ C} W_ki = Σ_{k ∈ C} W_kj for every class C: equal inputs give equal values,
    * Σ_{m ∈ D} V_im = Σ_{m ∈ D} V_jm for every class D: equal gradients arrive,
    * the optimizer holds equal numbers for all of these.

    Then the gradient of a weight depends on the classes of its two ends only, so one step keeps all of these sums
    equal: the partition is preserved by gradient descent, momentum, Adam and weight decay, with any data in any order.
    The coarsest such partition is found by refinement, beginning with one class per space: O(nd) for each of the few
    rounds. Two units with equal incoming and equal outgoing weights are the simplest case; units that are equal only
    together with a permutation of the next layer are another.

    Equal is meant up to rounding of the type in which the weights are stored, and up to the sign where a space allows
    for it (odd activations).

    Args:
        network: spaces and links with finite numbers; spaces next to numbers that are not finite are all apart.

    Returns:
        A `Partition`. In spaces that are `apart` every feature is a class of its own.

    Example:

    >>> import numpy as np
    >>> from keras_initkit.symmetry.network import Mix, Network, Space
    >>> spaces = [Space(2, apart=True), Space(3), Space(1, apart=True)]
    >>> kernel = np.array([[1.0, 1.0, 2.0], [0.5, 0.5, 0.1]])
    >>> links = [Mix(0, 1, kernel[:, :, None]), Mix(1, 2, np.ones((3, 1, 1)))]
    >>> lasting_classes(Network(spaces, links)).labels[1].tolist()
    [0, 0, 1]

    Reference:
        - [Fukumizu and Amari, 2000, Local minima and plateaus in hierarchical structures of multilayer
          perceptrons](https://doi.org/10.1016/S0893-6080(00)00009-5)
        - [Paige and Tarjan, 1987, Three partition refinement algorithms](https://doi.org/10.1137/0216062)
    """
    links = [link for link in network.links if _is_finite(link)]
    broken = {number for link in network.links if not _is_finite(link) for number in _ends(link)}
    labels = [
        np.arange(space.size) if space.apart or number in broken else np.zeros(space.size, dtype=np.intp)
        for number, space in enumerate(network.spaces)
    ]
    signs = feature_signs(Network(network.spaces, links))
    seen: dict[tuple[int, bool], tuple[int, ...]] = {}
    changed = True
    while changed:
        changed = False
        for backward in (False, True):
            for number in reversed(range(len(links))) if backward else range(len(links)):
                link = links[number]
                # Classes are only ever split, so as long as their numbers stay, a link has nothing new to say.
                known = tuple(_count(labels[end]) for end in _ends(link))
                if seen.get((number, backward)) == known:
                    continue
                refined = _read_backward(link, labels, signs) if backward else _read_forward(link, labels, signs)
                if refined is not None:
                    end = _ends(link)[0] if backward else _ends(link)[-1]
                    changed = changed or _count(refined) > _count(labels[end])
                    labels[end] = refined
                seen[number, backward] = tuple(_count(labels[end]) for end in _ends(link))
    return Partition([_in_order(found) for found in labels], signs)


def _ends(link: Link) -> tuple[int, ...]:
    if isinstance(link, Values):
        return (link.space,)
    return (link.first, link.second) if isinstance(link, Tie) else (link.source, link.target)


def _is_finite(link: Link) -> bool:
    if isinstance(link, (Copy, Tie)):
        return True
    numbers = link.weights if isinstance(link, Mix) else link.rows
    return all(bool(np.isfinite(part).all()) for part in (numbers, *link.momentum, *link.state))


def _count(labels: NDArray[np.intp]) -> int:
    return int(labels.max(initial=-1)) + 1


def _in_order(labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number classes in the order of first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _split(labels: NDArray[np.intp], keys: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.unique(labels * (keys.max(initial=0) + 1) + keys, return_inverse=True)[1]


def _read_forward(
    link: Link, labels: list[NDArray[np.intp]], signs: list[NDArray[np.float64]]
) -> NDArray[np.intp] | None:
    """Return the classes of the features a link writes, split by what it brings them; None if nothing is to split."""
    if isinstance(link, Values):
        flips = signs[link.space] if link.role == "shift" else None
        found = labels[link.space]
        for part in (link.rows, *link.momentum):
            found = _split(found, _equal_columns(part if flips is None else part * flips, part.dtype))
        for part in link.state:
            found = _split(found, _equal_columns(part, part.dtype))
        return found
    if isinstance(link, Tie):
        return _split(labels[link.second], labels[link.first])
    if isinstance(link, Copy):
        return (_split_by_uses if link.folded else _split_by_origins)(link, labels[link.target], labels[link.source])
    mine = labels[link.target]
    return _split_by_sums(link, mine, labels[link.source], signs[link.source], signs[link.target], axis=0)


def _read_backward(
    link: Link, labels: list[NDArray[np.intp]], signs: list[NDArray[np.float64]]
) -> NDArray[np.intp] | None:
    """Return the classes of the features a link reads, split by where it takes them; None if nothing is to split."""
    if isinstance(link, Values):
        return None
    if isinstance(link, Tie):
        return _split(labels[link.first], labels[link.second])
    mine, theirs = labels[link.source], labels[link.target]
    if isinstance(link, Copy):
        return (_split_by_origins if link.folded else _split_by_uses)(link, mine, theirs)
    return _split_by_sums(link, mine, theirs, signs[link.target], signs[link.source], axis=1)


def _split_by_origins(link: Copy, mine: NDArray[np.intp], theirs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Split the classes of copies by the class of what they are copies of, and by their place."""
    mine = _split(mine, np.where(link.index >= 0, theirs[link.index] + 1, 0))
    return mine if link.place is None else _split(mine, link.place)


def _split_by_uses(link: Copy, mine: NDArray[np.intp], theirs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Split the classes of originals by the classes and places of their copies."""
    kept = np.flatnonzero(link.index >= 0)
    original = link.index[kept]
    codes = theirs[kept] if link.place is None else _split(theirs[kept], link.place[kept])
    order = np.lexsort((codes, original))
    original, codes = original[order], codes[order]
    counts = np.bincount(original, minlength=len(mine))
    longest = int(counts.max(initial=0))
    if not longest:
        return mine
    table = np.full((len(mine), longest), -1)
    table[original, np.arange(len(original)) - np.repeat(np.cumsum(counts) - counts, counts)] = codes
    return _split(mine, np.unique(table, axis=0, return_inverse=True)[1].reshape(-1))


def _split_by_sums(
    link: Mix,
    mine: NDArray[np.intp],
    theirs: NDArray[np.intp],
    their_signs: NDArray[np.float64],
    my_signs: NDArray[np.float64],
    axis: int,
) -> NDArray[np.intp] | None:
    """Split the classes at one side of the weights by the sums over the classes at the other side, `axis` of them."""
    shared = np.flatnonzero(np.bincount(mine)[mine] > 1)
    if not len(shared):
        return None
    keys = np.zeros(len(shared), dtype=np.intp)
    odd = [link.weights, *link.momentum]
    even = list(link.state) if link.present is None else [*link.state, link.present[:, :, None].astype(np.float32)]
    flipped = (their_signs < 0).any() or (my_signs[shared] < 0).any()
    for number, part in enumerate([*odd, *even]):
        others_first = np.take(part, shared, axis=1) if axis == 0 else np.take(part, shared, axis=0).swapaxes(0, 1)
        if flipped and number < len(odd):
            others_first = others_first * their_signs[:, None, None] * my_signs[None, shared, None]
        sums = _class_sums(others_first, theirs)
        columns = sums.transpose(0, 2, 1).reshape(-1, len(shared))
        if len(sums) < len(theirs):
            # What cancels in a sum leaves the rounding of its terms.
            columns = np.concatenate([columns, np.full((1, len(shared)), np.abs(part).max(initial=0.0))])
        keys = _split(keys, _equal_columns(columns, part.dtype))
    split = np.zeros_like(mine)
    split[shared] = keys + 1
    return _split(mine, split)


def _class_sums(rows: NDArray[np.floating], labels: NDArray[np.intp]) -> NDArray[np.floating]:
    """Sum the rows of each class, in float64; rows that are all classes of their own stay as they are."""
    count = _count(labels)
    if count == len(labels):
        return rows
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(count))
    return np.add.reduceat(rows[order].astype(np.float64), starts, axis=0)


def _equal_columns(columns: NDArray[np.floating], stored: np.dtype) -> NDArray[np.intp]:
    """Return the classes of equal columns, up to the rounding of the type in which the numbers are stored."""
    return equivalence_classes(columns, tolerance=rounding_tolerance(stored))
