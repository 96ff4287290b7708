"""Which features of a network stay equal for ever: the coarsest partition that training preserves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.network import Copy, Link, Mix, Network, Space, Tie
from keras_initkit.symmetry.refinement import Classes, Manner, seen_by_reader, seen_by_writer
from keras_initkit.symmetry.signs import sides


@dataclass(frozen=True, eq=False)
class Partition:
    """Classes of features that stay equal.

    Attributes:
        labels: for every space of the network, `(features,)` labels; features with the same label stay equal.
        signs: for every space, `(features,)` of 1 and -1: with these signs the features of a class are equal. Features
            with classes of their own have the sign of the side on which the weights into them lie, if it is free.
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

    Behind an odd activation a unit (w, b) with outgoing weights v computes the same as (-w, -b) with -v. So every
    feature is refined together with its opposite, and i may stay equal to the opposite of j.

    Equal is meant up to rounding of the type in which the weights are stored.

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
    broken = {number for link in network.links if not _is_finite(link) for number in link.ends}
    copied = {link.target for link in links if isinstance(link, Copy)}
    written = {link.target for link in links if isinstance(link, Mix)}
    classes = [
        Classes.begin(
            space.size,
            apart=space.apart or number in broken,
            mirrored=space.signed or (number in copied and number not in written),
        )
        for number, space in enumerate(network.spaces)
    ]
    copies = [link for link in links if isinstance(link, Copy)]
    manners: dict[Link, Manner] = {link: _manner(link, copies, network.spaces) for link in copies}
    # What may be mirrored at all is known without the weights.
    _refine([link for link in links if isinstance(link, (Copy, Tie))], classes, manners)
    free = [found.mirrored for found in classes]
    _refine(links, classes, manners)
    facing = sides(Network(network.spaces, links), free)
    return Partition(
        [found.joined() for found in classes],
        [found.aligned(facing[number]) for number, found in enumerate(classes)],
    )


def _is_finite(link: Link) -> bool:
    if isinstance(link, (Copy, Tie)):
        return True
    numbers = link.weights if isinstance(link, Mix) else link.rows
    return all(bool(np.isfinite(part).all()) for part in (numbers, *link.momentum, *link.state))


def _manner(link: Copy, copies: list[Copy], spaces: list[Space]) -> Manner:
    """Return how signs go through a copy."""
    if not spaces[link.target].product:
        return Manner.ODD if link.odd else Manner.SIGNLESS
    factors = [other for other in copies if other.target == link.target and other.odd]
    if len(factors) > 1:
        return Manner.SIGNLESS
    return Manner.ODD if link.odd else Manner.FACTOR


def _refine(links: list[Link], classes: list[Classes], manners: dict[Link, Manner]) -> None:
    """Split classes until no link has anything to say."""
    known: dict[tuple[Link, bool], tuple[int, ...]] = {}
    changed = True
    while changed:
        changed = False
        for backward in (False, True):
            for link in reversed(links) if backward else links:
                # Classes are only ever split, so as long as their numbers stay, a link has nothing new to say.
                if known.get((link, backward)) == tuple(classes[end].count for end in link.ends):
                    continue
                changed |= (seen_by_reader if backward else seen_by_writer)(link, classes, manners.get(link))
                known[link, backward] = tuple(classes[end].count for end in link.ends)
