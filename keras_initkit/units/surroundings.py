"""What stands around the units of a layer in a network: the weights that read them, what acts on them on the way."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.network import Copy, Mix, Network, Values
from keras_initkit.units.features import Route
from keras_initkit.units.plan import Plan

# What acts on a unit on the way to one of its readers, by name if that says it all; more than two are not told apart.
Way = tuple[Any, ...]
_LONGEST = 2


@dataclass(eq=False)
class Surroundings:
    """The spaces that the features of a unit reach unmixed.

    Attributes:
        reached: number of the space -> for each of its features the unit it comes from, -1 for others.
        ways: the activations on each way from the units to where they are read, as names or callables.
        noisy: whether dropout or noise acts on single units.
        complete: whether nothing on the way is unknown.
    """

    reached: dict[int, NDArray[np.intp]] = field(default_factory=dict)
    ways: set[Way] = field(default_factory=set)
    noisy: bool = False
    complete: bool = True


def surroundings(plan: Plan, space: int) -> Surroundings:
    """Follow the features of a space along all copies."""
    found = Surroundings({space: np.arange(plan.spaces[space].size)})
    ways: dict[int, set[Way]] = {space: {()}}
    seen = -1
    # Copies are in the order of the calls, but for those that go back in time.
    while seen != (seen := len(found.reached) + sum(map(len, ways.values()))):
        for route in plan.routes:
            if route.source not in found.reached:
                continue
            units = found.reached[route.source]
            if route.folded:
                behind = np.full(plan.spaces[route.target].size, -1, dtype=np.intp)  # several units in one feature
                found.complete = False
            else:
                behind = np.where(route.index >= 0, units[route.index], -1)
            found.reached[route.target] = np.maximum(found.reached.get(route.target, -1), behind)
            ways.setdefault(route.target, set()).update(_onward(way, route) for way in ways[route.source])
    found.noisy = any(reached in plan.noisy for reached in found.reached)
    unknown = _unknown_features(plan)
    found.complete = found.complete and not any(
        (unknown[reached] & (units >= 0)).any() for reached, units in found.reached.items() if reached in unknown
    )
    for reached in found.reached.keys() & (plan.readers | plan.outputs | plan.unknown):
        found.ways |= ways[reached]
    return found


def _unknown_features(plan: Plan) -> dict[int, NDArray[np.bool_]]:
    """Return which features of spaces hold something that is not understood, alone or together with others."""
    found = {space: np.ones(plan.spaces[space].size, dtype=bool) for space in plan.unknown}
    count = -1
    while count != (count := sum(int(features.sum()) for features in found.values())):
        for route in plan.routes:
            if route.source not in found:
                continue
            source, target = found[route.source], plan.spaces[route.target].size
            behind = found.setdefault(route.target, np.zeros(target, dtype=bool))
            if route.folded:
                np.logical_or.at(behind, route.index, source)
            else:
                behind |= (route.index >= 0) & source[route.index]
    return found


def _onward(way: Way, route: Route) -> Way:
    if route.activation is None or len(way) == _LONGEST:
        return way
    name, function = route.activation
    # Two layers with an activation of the same name do the same.
    return (*way, name or id(function))


def incoming_weights(network: Network, spaces: tuple[int, ...]) -> NDArray[Any]:
    """Return the weights into units as `(inputs, units)`, those of all gates on top of each other."""
    rows = [
        link.weights.transpose(2, 0, 1).reshape(-1, link.weights.shape[1])
        for link in network.links
        if isinstance(link, Mix) and link.target in spaces and not link.recurrent
    ]
    if len(rows) == 1:
        return rows[0]
    size = network.spaces[spaces[0]].size
    return np.concatenate([np.zeros((0, size), np.float32), *rows])


def own_numbers(network: Network, spaces: tuple[int, ...], role: str | None = None) -> NDArray[Any]:
    """Return the biases and other numbers of units as `(rows, units)`."""
    size = network.spaces[spaces[0]].size
    rows = [
        link.rows
        for link in network.links
        if isinstance(link, Values) and link.space in spaces and role in (None, link.role)
    ]
    return np.concatenate([np.zeros((0, size), np.float32), *rows])


def numbers_on_the_way(network: Network, found: Surroundings, spaces: tuple[int, ...]) -> NDArray[Any]:
    """Return scales and shifts that act on the units before weights read them, as `(rows, units)`."""
    size = network.spaces[spaces[0]].size
    rows = [np.zeros((0, size), np.float32)]
    for link in network.links:
        if isinstance(link, Copy) and link.target in found.reached and link.source not in (*found.reached, *spaces):
            # A scale is a space of its own that is copied into a product.
            rows += (
                [_per_unit(own_numbers(network, (link.source,))[:, link.index].T, found.reached[link.target], size)]
                if network.spaces[link.target].product
                else []
            )
        elif isinstance(link, Values) and link.space in found.reached and link.space not in spaces:
            rows.append(_per_unit(link.rows.T, found.reached[link.space], size))
    return np.concatenate(rows)


def outgoing_weights(network: Network, found: Surroundings, size: int) -> NDArray[Any]:
    """Return what the readers do with each unit, as `(weights, units)`."""
    rows = [np.zeros((0, size), np.float32)]
    for link in network.links:
        if isinstance(link, Mix) and link.source in found.reached:
            flat = link.weights.reshape(link.weights.shape[0], -1)
            rows.append(_per_unit(flat, found.reached[link.source], size))
    return np.concatenate(rows)


def _per_unit(rows: NDArray[Any], features: NDArray[np.intp], units: int) -> NDArray[Any]:
    """Collect rows of shape `(features, weights)` into columns per unit: `(weights · features per unit, units)`."""
    order = np.argsort(features, kind="stable")
    order = order[features[order] >= 0]
    if len(order) % units:
        return np.zeros((0, units), rows.dtype)
    return rows[order].reshape(units, -1).T
