"""Verdicts that gradients of one batch give where the weights alone cannot: layers whose consumers are not known."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from keras_initkit.inspection.state import LayerState
from keras_initkit.inspection.unit_vectors import shared
from keras_initkit.symmetry.classes import equivalence_classes

# Sums over a batch are made in another order for every unit.
_ROUNDING = 1e-5


def judge_by_gradients(state: LayerState, gradient: NDArray[np.floating]) -> LayerState:
    """Return the state of a layer with what the gradient of its units on a batch says.

    Units that are equal incoming and get equal gradients, other than zero, are locked. Without any gradient nothing is
    said: the weights behind may have to move first.

    Args:
        state: the state by the weights; changed only where what reads the units is not known.
        gradient: `(inputs, units)`, the gradient of the weights into the units on one batch.
    """
    if state.units.consumers_known or state.equal_classes is None or state.units.frozen:
        return state
    alike = equivalence_classes(gradient, tolerance=_ROUNDING)
    both = np.unique(np.stack([state.equal_classes, alike]), axis=1, return_inverse=True)[1].reshape(-1)
    locked = shared(both) & gradient.any(axis=0)
    if not locked.any():
        return state
    units = np.flatnonzero(locked)
    return dataclasses.replace(state, verdict="locked", locked=len(units), locked_units=units, classes=both)
