"""How far the units that were once locked are apart: a lock can be exact, or hold only up to rounding."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from keras_initkit.inspection.verdicts import LayerState
from keras_initkit.symmetry.separation import class_gap, class_signs
from keras_initkit.units.reading import LayerUnits

# Units that differ by more when they are found locked are equal in another sense than weight by weight.
_COMPARABLE = 1e-3


@dataclass
class LockedUnits:
    """Classes of units of one layer that were locked when they were first seen so.

    Attributes:
        labels: `(units,)`: units with the same label were locked together.
        signs: `(units,)` of 1 and -1, which brings mirrored units to one side.
        count: number of locked units.
        times: times of the measurements since then.
        gaps: largest relative difference within a class at these times; see `class_gap`.
    """

    labels: NDArray[np.intp]
    signs: NDArray[np.float64]
    count: int
    times: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)


class LockGaps:
    """Follows the gap within the classes of locked units of every layer, also after the lock is gone."""

    def __init__(self) -> None:
        self.layers: dict[str, LockedUnits | None] = {}

    def follow(self, time: float, states: list[LayerState]) -> dict[str, float]:
        """Measure the gaps now, and return them by layer, for the layers that were locked once."""
        gaps = {state.units.layer: self._gap(time, state) for state in states}
        return {layer: gap for layer, gap in gaps.items() if gap is not None}

    def follow_collapsed(self, time: float, layer: str, units: int) -> float | None:
        """Note that all units of a layer are locked and bit-equal, and return their gap; None if it is not followed."""
        if layer not in self.layers:
            self.layers[layer] = LockedUnits(np.zeros(units, dtype=np.intp), np.ones(units), units)
        locked = self.layers[layer]
        if locked is None:
            return None
        locked.times.append(time)
        # Units that were mirrored when they were locked are as far apart now as they can be.
        locked.gaps.append(0.0 if (locked.signs == 1).all() or not _has_both_signs(locked) else 2.0)
        return locked.gaps[-1]

    def hold(self, layer: str, count: int) -> bool:
        """Return whether as many units of the layer were found locked, and have stayed equal since, rounding aside."""
        locked = self.layers.get(layer)
        return locked is not None and count <= locked.count and max(locked.gaps) <= _COMPARABLE

    def _gap(self, time: float, state: LayerState) -> float | None:
        layer = state.units.layer
        if state.similarity is None or state.classes is None:
            return None
        if layer not in self.layers:
            if not state.locked:
                return None
            self.layers[layer] = _locked_units(state)
        locked = self.layers[layer]
        if locked is None:
            return None
        gap = class_gap(_incoming(state.units), locked.labels, signs=locked.signs)
        locked.times.append(time)
        locked.gaps.append(gap)
        return gap


def _has_both_signs(locked: LockedUnits) -> bool:
    pairs = np.unique(np.stack([locked.labels, locked.signs]), axis=1)
    return len(np.unique(pairs[0])) < pairs.shape[1]


def _locked_units(state: LayerState) -> LockedUnits | None:
    labels, incoming = np.asarray(state.classes), _incoming(state.units)
    locked = LockedUnits(labels, class_signs(incoming, labels), state.locked)
    # NaN, where no two units share a class, compares as not small.
    return locked if class_gap(incoming, labels, signs=locked.signs) <= _COMPARABLE else None


def _incoming(units: LayerUnits) -> NDArray[np.floating]:
    return np.concatenate([units.kernel, np.reshape(units.bias, (-1, units.kernel.shape[1]))])
