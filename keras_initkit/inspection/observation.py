"""Units that are locked or dead by observation: what two measurements say that one cannot."""

import numpy as np
from numpy.typing import NDArray

from keras_initkit.inspection.state import LayerState
from keras_initkit.inspection.unit_vectors import balanced, incoming, rounding, shared
from keras_initkit.symmetry.classes import equivalence_classes
from keras_initkit.units.reading import LayerUnits


def locked_by_observation(units: LayerUnits, previous: LayerState | None) -> NDArray[np.bool_]:
    """Return which units moved since the measurement before, and are equal to another one then and now."""
    if previous is None or previous.similarity is None:
        return np.zeros(units.kernel.shape[1], dtype=bool)
    moved = (previous.units.kernel != units.kernel).any(axis=0)
    both = balanced(incoming(previous.units), incoming(units))
    return moved & shared(equivalence_classes(both, tolerance=rounding(units)))


def left_behind(units: LayerUnits, previous: LayerState | None) -> NDArray[np.bool_]:
    """Return which units did not move, and are zero or equal to another one then and now."""
    none = np.zeros(units.kernel.shape[1], dtype=bool)
    if previous is None or previous.similarity is None:
        return none
    before = previous.units
    still = (before.kernel == units.kernel).all(axis=0) & (before.bias == units.bias).all(axis=0)
    if units.noise and not still.all():
        return none
    if not still.any():
        return none
    if before.outgoing is not None and units.outgoing is not None:
        still &= before.outgoing.any(axis=0) | ~units.outgoing.any(axis=0)
    if not still.any():
        return none
    both = balanced(incoming(before), incoming(units))
    alike = shared(equivalence_classes(both, tolerance=rounding(units)))
    return still & (alike | ~units.kernel.any(axis=0))
