"""Cosine matrices of the first and the latest measurement, kept small enough to hold for a whole training."""

import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import check_choice
from keras_initkit.inspection.verdicts import LayerState
from keras_initkit.symmetry.similarity import cosine_matrix

# More units than this are more than a figure can show; the first ones are kept.
_MOST_UNITS = 256


class UnitPictures:
    """The weights of the first and the latest measured epoch, turned into cosine matrices on demand."""

    def __init__(self) -> None:
        self._kernels: dict[int, dict[str, NDArray[np.floating]]] = {}

    def keep(self, epoch: int, states: list[LayerState]) -> None:
        """Keep the weights of this epoch; all but the first epoch's make room for it."""
        for old in list(self._kernels)[1:]:
            del self._kernels[old]
        self._kernels[epoch] = {
            state.units.layer: state.units.kernel[:, :_MOST_UNITS].copy()
            for state in states
            if state.similarity is not None
        }

    @property
    def epochs(self) -> list[int]:
        """The epochs that can be drawn: the first measured and the latest."""
        return list(self._kernels)

    def layers(self, epoch: int) -> list[str]:
        """Return the layers whose weights were finite at that epoch."""
        return list(self._kernels.get(epoch, {}))

    def cosines(self, layer: str, epoch: int) -> NDArray[np.float64]:
        """Return the cosine matrix `(units, units)` of a layer, of at most 256 units.

        Raises:
            ValueError: if the epoch was not kept, or the layer is unknown or had weights that are not finite.
        """
        if epoch not in self._kernels:
            kept = " and ".join(str(e) for e in self._kernels) or "none, nothing was measured yet"
            raise ValueError(f"Expected `epoch` to be one of the epochs kept: {kept}. Received: epoch={epoch}.")
        check_choice("layer", layer, self._kernels[epoch])
        return cosine_matrix(self._kernels[epoch][layer])
