"""Which features of a network may change their sign, and one choice of signs that makes mirrored features equal."""

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.network import Copy, Mix, Network, Values


def feature_signs(network: Network) -> list[NDArray[np.float64]]:
    """Choose a sign for every feature of the network.

    Behind an odd activation a unit (w, b) with outgoing weights v computes the same as (-w, -b) with -v. For spaces
    that allow this the sign is such that the weights into the unit lie on a fixed side; units that mirror each other
    then have equal weights after both are multiplied with their signs. All other signs are 1.

    Args:
        network: spaces and links with finite numbers.

    Returns:
        For every space, an array `(features,)` of 1 and -1.
    """
    signs = [np.ones(space.size) for space in network.spaces]
    for number, space in enumerate(network.spaces):
        if space.signed and (reached := _reached(network, number)) is not None:
            signs[number] = _sides(network, number, signs)
            for copy in reached:
                kept = copy.index >= 0
                signs[copy.target][kept] = signs[copy.source][copy.index[kept]]
    return signs


def _reached(network: Network, root: int) -> list[Copy] | None:
    """Return the copies along which signs spread from a space, None if something on the way forbids to change them."""
    members, copies = [root], []
    for member in members:
        if network.spaces[member].apart:
            return None
        for link in network.links:
            if isinstance(link, Copy) and link.source == member:
                if not link.odd or link.folded or link.target in members:
                    return None
                copies.append(link)
                members.append(link.target)
            elif (isinstance(link, Mix) and link.target == member != root) or (isinstance(link, Values) and link.space == member and link.role == "tag"):
                return None
    for member in members[1:]:
        others = [c for c in network.links if isinstance(c, Copy) and c.target == member and c not in copies]
        if any(_overlaps(other, mine, network) for other in others for mine in copies if mine.target == member):
            return None
    return copies


def _overlaps(other: Copy, mine: Copy, network: Network) -> bool:
    """Return whether another copy brings something to the same features that does not change sign with them."""
    gate = network.spaces[mine.target].product and not other.odd
    return not gate and bool(((other.index >= 0) & (mine.index >= 0)).any())


def _sides(network: Network, space: int, signs: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return for each feature the side of a fixed plane on which the weights into it lie."""
    total = np.zeros(network.spaces[space].size)
    for number, link in enumerate(network.links):
        direction = np.random.default_rng(number + 1)
        if isinstance(link, Mix) and link.target == space and not link.recurrent:
            plane = direction.standard_normal((link.weights.shape[0], link.weights.shape[2]))
            largest = float(np.abs(link.weights).max(initial=0.0)) or 1.0
            plane = (plane * signs[link.source][:, None] / largest).astype(link.weights.dtype)
            total += np.einsum("stk,sk->t", link.weights, plane)
        elif isinstance(link, Values) and link.space == space and link.role == "shift":
            largest = float(np.abs(link.rows).max(initial=0.0)) or 1.0
            total += direction.standard_normal(len(link.rows)) @ (link.rows / largest)
    return np.where(total < 0, -1.0, 1.0)
