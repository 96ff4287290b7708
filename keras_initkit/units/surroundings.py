"""What stands around the units of a layer in a network: the weights that read them, what acts on them on the way."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.network import Copy, Mix, Network, Values
from keras_initkit.units.plan import Plan


@dataclass(eq=False)
class Surroundings:
    """The spaces that the features of a unit reach unmixed.

    Attributes:
        reached: number of the space -> for each of its features the unit it comes from, -1 for others.
        ways: the activations on each way from the units to where they are read, as names and callables.
        noisy: whether dropout or noise acts on single units.
        complete: whether nothing on the way is unknown.
        is_read: whether any weights read the units.
        is_output: whether the units are outputs of the model.
    """

    reached: dict[int, NDArray[np.intp]] = field(default_factory=dict)
    ways: list[list[tuple[str | None, Any]]] = field(default_factory=list)
    noisy: bool = False
    complete: bool = True
    is_read: bool = False
    is_output: bool = False


def surroundings(plan: Plan, space: int) -> Surroundings:
    """Follow the features of a space along all copies."""
    found = Surroundings()
    _walk(plan, space, np.arange(plan.spaces[space].size), [], found)
    return found


def _walk(
    plan: Plan, space: int, units: NDArray[np.intp], way: list[tuple[str | None, Any]], found: Surroundings
) -> None:
    if space in found.reached:
        found.reached[space] = np.maximum(found.reached[space], units)
    else:
        found.reached[space] = units
    found.noisy = found.noisy or space in plan.noisy
    found.complete = found.complete and space not in plan.unknown
    found.is_output = found.is_output or space in plan.outputs
    onward = [route for route in plan.routes if route.source == space]
    if space in plan.readers or space in plan.outputs or space in plan.unknown:
        found.is_read = found.is_read or space in plan.readers
        found.ways.append(way)
    for route in onward:
        if route.folded:
            behind = np.full(plan.spaces[route.target].size, -1, dtype=np.intp)  # several units in one feature
            found.complete = False
        else:
            behind = np.where(route.index >= 0, units[route.index], -1)
        _walk(plan, route.target, behind, way if route.activation is None else [*way, route.activation], found)


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
