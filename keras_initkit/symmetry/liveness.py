"""Which features of a network ever get a gradient, and which carry anything that varies with the data."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.network import Copy, Mix, Network, Space, Tie, Values


@dataclass(frozen=True, eq=False)
class Liveness:
    """What training can reach.

    Attributes:
        values: for every space, `(features,)`: the constant that a feature has for all data and at all times, NaN if it
            varies.
        gradients: for every space, `(features,)`: whether a gradient can ever arrive, now or after some steps.
    """

    values: list[NDArray[np.float64]]
    gradients: list[NDArray[np.bool_]]


def live_features(network: Network) -> Liveness:
    """Find the features that training can reach, at once or after some steps.

    A weight from feature k to feature i gets the gradient h_k δ_i summed over the data. It stays where it is if h_k is
    always 0 or no gradient δ_i arrives at i, and the optimizer holds nothing for it. A weight that stays 0 passes
    nothing on, neither values nor gradients; a feature without varying input is constant, and at a constant the
    activation may be flat (zeros into ReLU). Beginning with the weights as they are, everything that can move is taken
    to move, until nothing new moves: what is then without gradient is so for ever.

    Cancelling contributions are not looked for: a feature counts as live unless every way to it is closed.

    Args:
        network: spaces and links with finite numbers.

    Returns:
        A `Liveness`.

    Example: two layers of zeros in a row block each other, one alone does not.

    >>> import numpy as np
    >>> from keras_initkit.symmetry.network import Mix, Network, Space
    >>> spaces = [Space(2, given=True), Space(3), Space(1, observed=True)]
    >>> zeros, ones = np.zeros((2, 3, 1)), np.ones((3, 1, 1))
    >>> live_features(Network(spaces, [Mix(0, 1, zeros), Mix(1, 2, ones)])).gradients[1].tolist()
    [True, True, True]
    >>> live_features(Network(spaces, [Mix(0, 1, zeros), Mix(1, 2, 0 * ones)])).gradients[1].tolist()
    [False, False, False]
    """
    values = [np.full(space.size, np.nan if space.given else 0.0) for space in network.spaces]
    gradients = [np.full(space.size, space.observed) for space in network.spaces]
    connected = {link: _connections(link) for link in network.links if isinstance(link, Mix)}
    first = True
    while True:
        new_values = _forward(network, connected, values, gradients)
        if not first:
            # What changed is not constant, although it does not vary with the data.
            new_values = [np.where(new == old, new, np.nan) for new, old in zip(new_values, values, strict=True)]
        new_gradients = _backward(network, connected, new_values, gradients)
        settled = not first and all(
            np.array_equal(new, old, equal_nan=True) for new, old in zip(new_values, values, strict=True)
        )
        settled = settled and all(map(np.array_equal, new_gradients, gradients))
        values, gradients, first = new_values, new_gradients, False
        if settled:
            return Liveness(values, gradients)


@dataclass(frozen=True, eq=False)
class _Connections:
    """Tables `(sources, targets)` of the connections of weights.

    Attributes:
        shape: numbers of sources and targets.
        used: where weights are not zero, or are moved by what the optimizer holds; None if that is so everywhere.
        possible: where there may be weights at all; None if everywhere.
        held: which weights the optimizer moves without a gradient; None if it moves none.
    """

    shape: tuple[int, int]
    used: NDArray[np.float32] | None
    possible: NDArray[np.float32] | None
    held: NDArray[np.float32] | None

    def reach(self, sources: NDArray[np.bool_], table: NDArray[np.float32] | None) -> NDArray[np.bool_]:
        """Return which targets are connected with any of the sources."""
        if table is None or not sources.any():
            return np.full(self.shape[1], bool(sources.any()))
        return (sources.astype(np.float32) @ table) > 0

    def reached_from(self, targets: NDArray[np.bool_], table: NDArray[np.float32] | None) -> NDArray[np.bool_]:
        """Return which sources are connected with any of the targets."""
        if table is None or not targets.any():
            return np.full(self.shape[0], bool(targets.any()))
        return (table @ targets.astype(np.float32)) > 0


def _connections(link: Mix) -> _Connections:
    shape = link.weights.shape[:2]
    possible = None if link.present is None else link.present.astype(np.float32)
    held = None
    if link.trainable and any(slot.any() for slot in link.momentum):
        held = np.logical_or.reduce([(slot != 0).any(axis=2) for slot in link.momentum])
    used = None
    # Hardly any layer has zeros, so that one look at a single tap is mostly enough.
    if np.count_nonzero(link.weights[:, :, 0]) < shape[0] * shape[1]:
        connected = (link.weights != 0).any(axis=2)
        connected = connected if held is None else connected | held
        used = None if connected.all() else connected.astype(np.float32)
    return _Connections(shape, used, possible, None if held is None else held.astype(np.float32))


def _forward(
    network: Network,
    connected: dict[Mix, _Connections],
    values: list[NDArray[np.float64]],
    gradients: list[NDArray[np.bool_]],
) -> list[NDArray[np.float64]]:
    """Return the values of all features; sources that come later in time have those of the round before."""
    found = [_neutral(space) for space in network.spaces]
    for link in network.links:
        if isinstance(link, Tie):
            continue
        if isinstance(link, Values):
            if link.role == "shift":
                moves = link.trainable & (gradients[link.space] | _held(link))
                found[link.space] = found[link.space] + np.where(moves, np.nan, link.rows[0])
            continue
        source = found[link.source] if not (isinstance(link, Mix) and link.recurrent) else values[link.source]
        if isinstance(link, Mix):
            brought = _mixed(link, connected[link], source, gradients[link.target])
        else:
            brought = _copied(link, source, network.spaces[link.target])
        if network.spaces[link.target].product:
            zero = (found[link.target] == 0) | (brought == 0)
            found[link.target] = np.where(zero, 0.0, found[link.target] * brought)
        else:
            found[link.target] = found[link.target] + brought
    return found


def _neutral(space: Space) -> NDArray[np.float64]:
    return np.full(space.size, np.nan if space.given else float(space.product))


def _held(link: Values) -> NDArray[np.bool_]:
    """Return which numbers the optimizer would move without a gradient."""
    held = np.zeros(link.rows.shape[1], dtype=bool)
    for slot in link.momentum:
        held |= (slot != 0).any(axis=0)
    return held


def _mixed(
    link: Mix, connections: _Connections, source: NDArray[np.float64], gradient: NDArray[np.bool_]
) -> NDArray[np.float64]:
    nonzero = source != 0  # NaN included
    if not nonzero.any():
        return np.zeros(link.weights.shape[1])
    varies = connections.reach(np.isnan(source), connections.used)
    if link.trainable:
        varies |= gradient & connections.reach(nonzero, connections.possible)
        if connections.held is not None:
            varies |= connections.reach(nonzero, connections.held)
    constant = np.isfinite(source) & nonzero
    if not constant.any():
        return np.where(varies, np.nan, 0.0)
    if link.weights.shape[2] > 1 or link.recurrent:  # at the border of a window, or in time, the sum is another one
        return np.where(varies | connections.reach(constant, connections.used), np.nan, 0.0)
    total = source[constant] @ link.weights[constant, :, 0].astype(np.float64)
    return np.where(varies, np.nan, total)


def _copied(link: Copy, source: NDArray[np.float64], target: Space) -> NDArray[np.float64]:
    values = source if link.response is None else np.full(len(source), np.nan)
    constant = np.isfinite(source)
    if link.response is not None and constant.any():
        values[constant] = link.response(source[constant])[0]
    if link.folded:
        low, high = np.full(target.size, np.inf), np.full(target.size, -np.inf)
        np.minimum.at(low, link.index, np.where(np.isnan(values), -np.inf, values))
        np.maximum.at(high, link.index, np.where(np.isnan(values), np.inf, values))
        return np.where(low == high, low, np.nan)
    brought = np.full(target.size, float(target.product))
    kept = link.index >= 0
    brought[kept] = values[link.index[kept]]
    return brought


def _backward(
    network: Network,
    connected: dict[Mix, _Connections],
    values: list[NDArray[np.float64]],
    gradients: list[NDArray[np.bool_]],
) -> list[NDArray[np.bool_]]:
    """Return where gradients arrive, given where they arrived before."""
    found = [gradient.copy() for gradient in gradients]
    factors: dict[int, list[Copy]] = {}
    for link in network.links:
        if isinstance(link, Copy) and network.spaces[link.target].product:
            factors.setdefault(link.target, []).append(link)
    for link in reversed(network.links):
        if isinstance(link, (Values, Tie)):
            continue
        if isinstance(link, Mix):
            connections = connected[link]
            arriving = connections.reached_from(found[link.target], connections.used)
            if link.trainable:
                moved = connections.reached_from(found[link.target], connections.possible)
                arriving |= (values[link.source] != 0) & moved
            found[link.source] |= arriving
            continue
        passes = found[link.target]
        if link.target in factors:
            passes = passes & _other_factors(link, factors[link.target], network.spaces[link.target], values)
        arriving = np.zeros_like(found[link.source])
        if link.folded:
            arriving |= passes[link.index]
        else:
            kept = link.index >= 0
            np.logical_or.at(arriving, link.index[kept], passes[kept])
        constant = np.isfinite(values[link.source])
        if link.response is not None and (arriving & constant).any():
            slope = link.response(values[link.source][constant])[1]
            arriving[constant] &= slope != 0  # NaN, not known, counts as a slope
        found[link.source] |= arriving
    return found


def _other_factors(
    link: Copy, factors: list[Copy], space: Space, values: list[NDArray[np.float64]]
) -> NDArray[np.bool_]:
    """Return whether what a copy is multiplied with is not always zero."""
    nonzero = np.ones(space.size, dtype=bool)
    for other in factors:
        if other is not link:
            nonzero &= _copied(other, values[other.source], space) != 0
    return nonzero
