"""A quick proof that all features of some spaces stay equal for ever: layers that are collapsed to one unit."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.network import Copy, Link, Mix, Network, Tie, Values


class CertainlyCollapsed:
    """Proves that `lasting_classes` gives one class for each of some spaces, all features with one sign.

    Features i and j that all links write with equal numbers, and read with equal numbers, cannot be told apart by sums
    over any classes. So a family of spaces, in each of which all features are alike in this sense, is never split, if
    copies lead from one of them to another one only, and nothing tells their features apart from the beginning.

    Args:
        network: the structure, spaces and links; of the numbers of its links nothing is used.
        needed: numbers of the spaces for which the proof is wanted.
    """

    def __init__(self, network: Network, needed: Sequence[int]):
        self._family = set(needed)
        count = -1
        while count != (count := len(self._family)):
            for link in network.links:
                if isinstance(link, (Copy, Tie)) and self._touches(link):
                    self._family.update(link.ends)
        self._possible = not any(network.spaces[space].apart for space in self._family) and all(
            link.place is None and not link.folded and bool((link.index >= 0).all())
            for link in network.links
            if isinstance(link, Copy) and self._touches(link)
        )

    def prove(self, network: Network) -> bool:
        """Return whether the proof succeeds for all the numbers of a network of this structure."""
        return self._possible and all(map(self._is_alike, network.links))

    def prove_all(self, network: Network, numbers: Sequence[NDArray[np.floating] | None]) -> NDArray[np.bool_]:
        """Return `(R,)`, for which networks the proof succeeds if their optimizers hold nothing.

        Args:
            network: the structure.
            numbers: for every link that has numbers these, finite, stacked: weights `(R, sources, targets, taps)`,
                values `(R, rows, features)`; not used for others.
        """
        proved = np.full(next(len(part) for part in numbers if part is not None), self._possible)
        for link, stack in zip(network.links, numbers, strict=True):
            if stack is None or isinstance(link, (Copy, Tie)) or not proved.any() or not self._touches(link):
                continue
            if link.ends[-1] in self._family:
                proved &= (stack == stack[:, :, :1]).reshape(len(stack), -1).all(axis=1)
            if isinstance(link, Mix) and link.source in self._family:
                proved &= (stack == stack[:, :1]).reshape(len(stack), -1).all(axis=1)
            if isinstance(link, Mix) and link.present is not None:
                proved &= bool(link.present.all())
        return proved

    def _touches(self, link: Link) -> bool:
        return not self._family.isdisjoint(link.ends)

    def _is_alike(self, link: Link) -> bool:
        if isinstance(link, Mix) and self._touches(link):
            parts = [link.weights, *link.momentum, *link.state]
            if link.present is not None:
                parts.append(link.present[:, :, None])
            written = link.target not in self._family or all(_all_equal(part, 1) for part in parts)
            return written and (link.source not in self._family or all(_all_equal(part, 0) for part in parts))
        if isinstance(link, Values) and self._touches(link):
            return all(_all_equal(part, 1) for part in (link.rows, *link.momentum, *link.state))
        return True


def _all_equal(numbers: NDArray[np.floating], axis: int) -> bool:
    """Return whether all slices along an axis are equal, and finite."""
    first = numbers[:, :1] if axis == 1 else numbers[:1]
    return bool((numbers == first).all() and np.isfinite(first).all())
