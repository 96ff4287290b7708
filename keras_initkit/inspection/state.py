"""What the weights of one layer say at one moment."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.similarity import Similarity
from keras_initkit.units.reading import LayerUnits


def _no_units() -> NDArray[np.intp]:
    return np.zeros(0, dtype=np.intp)


@dataclass(frozen=True)
class LayerState:
    """What the weights of one layer say at one moment.

    Attributes:
        units: the weights it was measured on.
        similarity: statistics of the weights into the units, or None if some weights are not finite.
        locked: number of units that stay equal to another unit for ever.
        dead: number of units that get no gradient and cannot recover.
        verdict: one of the kit's verdicts.
        observed: whether some of the dead units were found by watching them, not by their weights alone.
        opposite: whether some of the locked units have the weights of another one only up to their sign.
        classes: labels `(units,)`: units with the same label stay equal; None if the weights are not finite.
        locked_units: indices of the locked units.
        dead_units: indices of the dead units.
        equal_units: indices of the units that are equal incoming to another one.
        equal_classes: labels `(units,)`: units with the same label are equal incoming; None if the weights are not
            finite.
        cut_off: whether what reaches the units does not vary with the data, and never will.
    """

    units: LayerUnits
    similarity: Similarity | None
    locked: int
    dead: int
    verdict: str
    observed: bool = False
    opposite: bool = False
    classes: NDArray[np.intp] | None = None
    locked_units: NDArray[np.intp] = field(default_factory=_no_units)
    dead_units: NDArray[np.intp] = field(default_factory=_no_units)
    equal_units: NDArray[np.intp] = field(default_factory=_no_units)
    equal_classes: NDArray[np.intp] | None = None
    cut_off: bool = False

    def row(self, epoch: int) -> dict[str, Any]:
        """Return the state as one row of a table; see `SymmetryMonitor.rows`."""
        units = self.units.kernel.shape[1]
        s = self.similarity
        nan = math.nan
        return {
            "epoch": epoch,
            "layer": self.units.layer,
            "units": units,
            "inputs": inputs_of(self.units),
            "mean": s.mean if s else nan,
            "rms": s.rms if s else nan,
            "mean_abs": s.mean_abs if s else nan,
            "max_abs": s.max_abs if s else nan,
            "participation": s.participation if s else nan,
            "distinct": s.distinct if s else nan,
            "locked": self.locked if s else nan,
            "dead": self.dead if s else nan,
            "null_z": s.null_z if s else nan,
            "verdict": self.verdict,
        }


def inputs_of(units: LayerUnits) -> int:
    """Return the number of weights into a unit that are independent by chance."""
    return len(units.kernel) if units.inputs is None else units.inputs
