"""On which side the weights into a unit lie: one choice of sign that makes mirrored units comparable."""

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.network import Mix, Network, Values


def sides(network: Network, free: list[NDArray[np.bool_]]) -> list[NDArray[np.float64]]:
    """Return for each feature the side of a fixed plane on which the weights into it lie.

    A unit with weights (w, b) gets the opposite side of one with (-w, -b), so that both are equal after they are
    multiplied with their sides.

    Args:
        network: spaces and links with finite numbers.
        free: for every space `(features,)`, whether the feature may change its sign; all others have side 1.

    Returns:
        For every space, an array `(features,)` of 1 and -1.
    """
    totals = [np.zeros(space.size) for space in network.spaces]
    for number, link in enumerate(network.links):
        direction = np.random.default_rng(number + 1)
        if isinstance(link, Mix) and not link.recurrent and free[link.target].any():
            plane = direction.standard_normal((link.weights.shape[0], link.weights.shape[2]))
            largest = float(np.abs(link.weights).max(initial=0.0)) or 1.0
            totals[link.target] += _on_plane(link.weights, (plane / largest).astype(link.weights.dtype))
        elif isinstance(link, Values) and link.role == "shift" and free[link.space].any():
            largest = float(np.abs(link.rows).max(initial=0.0)) or 1.0
            totals[link.space] += direction.standard_normal(len(link.rows)) @ (link.rows / largest)
    return [np.where(may & (total < 0), -1.0, 1.0) for may, total in zip(free, totals, strict=True)]


def _on_plane(weights: NDArray[np.floating], plane: NDArray[np.floating]) -> NDArray[np.floating]:
    if weights.shape[2] == 1:
        return plane[:, 0] @ weights[:, :, 0]
    return np.einsum("stk,sk->t", weights, plane)
