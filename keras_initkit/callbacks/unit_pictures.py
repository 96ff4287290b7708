"""Cosine matrices of the first and the latest measurement, kept small enough to hold for a whole training."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from keras_initkit._checks import check_choice
from keras_initkit.inspection.verdicts import LayerState
from keras_initkit.symmetry.classes import equivalence_classes, rounding_tolerance
from keras_initkit.symmetry.similarity import cosine_matrix

# More units than this are more than a figure can show; the first ones are kept.
MOST_UNITS = 256


@dataclass(frozen=True)
class _Kept:
    kernel: NDArray[np.floating]
    units: int
    locked: NDArray[np.intp] | None
    opposite: bool


class UnitPictures:
    """The weights of the first and the latest measurement, turned into cosine matrices on demand."""

    def __init__(self) -> None:
        self._kept: dict[float, dict[str, _Kept]] = {}

    def keep(self, epoch: float, states: list[LayerState]) -> None:
        """Keep the weights of this epoch; all but the first epoch's make room for it."""
        for old in list(self._kept)[1:]:
            del self._kept[old]
        self._kept[epoch] = {
            state.units.layer: _Kept(
                state.units.kernel[:, :MOST_UNITS].copy(),
                state.units.kernel.shape[1],
                None if state.classes is None else np.asarray(state.classes)[:MOST_UNITS],
                state.opposite,
            )
            for state in states
            if state.similarity is not None
        }

    @property
    def epochs(self) -> list[float]:
        """The epochs that can be drawn: the first measured and the latest."""
        return list(self._kept)

    @property
    def latest(self) -> float:
        """The latest epoch measured, 0 if there is none."""
        return self.epochs[-1] if self._kept else 0

    def layers(self, epoch: float) -> list[str]:
        """Return the layers whose weights were finite at that epoch."""
        return list(self._kept.get(epoch, {}))

    def cosines(self, layer: str, epoch: float) -> NDArray[np.float64]:
        """Return the cosine matrix `(units, units)` of a layer, of at most 256 units.

        Raises:
            ValueError: if the epoch was not kept, or the layer is unknown or had weights that are not finite.
        """
        return cosine_matrix(self._find(layer, epoch).kernel)

    def classes(self, layer: str, epoch: float) -> NDArray[np.intp]:
        """Return labels of the units of `cosines`: equal for units with equal incoming weights, or locked together.

        Raises:
            ValueError: as `cosines`.
        """
        kept = self._find(layer, epoch)
        equal = equivalence_classes(kept.kernel, sign=kept.opposite, tolerance=rounding_tolerance(kept.kernel.dtype))
        return equal if kept.locked is None else _joined(equal, kept.locked)

    def units(self, layer: str, epoch: float) -> int:
        """Return how many units the layer has, of which `cosines` may show the first ones.

        Raises:
            ValueError: as `cosines`.
        """
        return self._find(layer, epoch).units

    def _find(self, layer: str, epoch: float) -> _Kept:
        if epoch not in self._kept:
            kept = " and ".join(str(e) for e in self._kept) or "none, nothing was measured yet"
            raise ValueError(f"Expected `epoch` to be one of the epochs kept: {kept}. Received: epoch={epoch}.")
        check_choice("layer", layer, self._kept[epoch])
        return self._kept[epoch][layer]


def _joined(one: NDArray[np.intp], other: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the finest partition that is coarser than both: units are together if a chain of classes joins them."""
    _, first = np.unique(one, return_inverse=True)
    _, second = np.unique(other, return_inverse=True)
    second = second + first.max() + 1
    size = int(second.max()) + 1
    links = sparse.coo_array((np.ones(len(first)), (first, second)), shape=(size, size))
    return sparse.csgraph.connected_components(links, directed=False)[1][first].astype(np.intp)
