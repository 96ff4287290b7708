"""From the weights of a layer's units to numbers and a verdict: which units are the same, locked or dead."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.activations import is_odd
from keras_initkit.symmetry.classes import equivalence_classes, rounding_tolerance
from keras_initkit.symmetry.null import is_informative, max_abs_quantile
from keras_initkit.symmetry.similarity import Similarity, unit_similarity
from keras_initkit.units.reading import LayerUnits, UnitReader

# Units count as nearly the same if a random layer of that shape has so close a pair once in this many times.
_FALSE_ALARM = 1e-4
_NEARLY_EQUAL = 1e-2

# The null distribution of a shape is asked for at every measurement, and takes longer than the measurement itself.
_is_informative = functools.cache(is_informative)
_max_abs_quantile = functools.cache(max_abs_quantile)


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
    """

    units: LayerUnits
    similarity: Similarity | None
    locked: int
    dead: int
    verdict: str
    observed: bool = False
    opposite: bool = False
    classes: NDArray[np.intp] | None = None

    def row(self, epoch: int) -> dict[str, Any]:
        """Return the state as one row of a table; see `SymmetryMonitor.rows`."""
        inputs, units = self.units.kernel.shape
        s = self.similarity
        nan = math.nan
        return {
            "epoch": epoch,
            "layer": self.units.layer,
            "units": units,
            "inputs": inputs,
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


def judge_model(reader: UnitReader, previous: dict[str, LayerState], trained: bool) -> list[LayerState]:
    """Read the present weights and judge every layer; see `judge`.

    Args:
        reader: the hidden layers of a model.
        previous: the states at the measurement before, by the path of the layer; empty at the first one.
        trained: whether training moved any weights of the model since then.
    """
    return [judge(units, previous=previous.get(units.layer), trained=trained) for units in reader.read()]


def judge(units: LayerUnits, *, previous: LayerState | None = None, trained: bool = False) -> LayerState:
    """Measure one layer and give its verdict.

    * `exploding`: some weight is NaN or infinite.
    * `dead`: every unit is dead. A unit with zero incoming weights is dead if its activation is flat where the bias
      puts it (zeros into ReLU), or if its outgoing weights are zero too and it gives zero. Units whose weights training
      did not move at all since the previous measurement, and that are zero or equal incoming to another unit then and
      now, are dead by observation. Units that differ and merely do not fire are not meant, nor are those that waited
      for zero outgoing weights to move first, or that dropout or noise may have hidden: there all units must be still.
    * `locked`: units are equal incoming (weights, bias, per-unit scale) and outgoing, and neither dropout nor noise
      acts on single units. Where the consumers are unknown, units that were equal at the previous measurement and are
      still equal after their weights moved are locked by observation. A locked layer that stands still is called
      locked too; its number of dead units says the rest.
    * `transient`: units are equal incoming, but not outgoing, or noise will separate them.
    * `redundant`: units of a frozen layer are equal incoming; a frozen layer is neither locked nor dead, since it is
      not meant to learn.
    * `plateau`: units are nearly equal, closer than a random layer of this shape has once in 10,000 times.
    * `uninformative`: too few inputs or units for similarity to mean anything.
    * `healthy`: none of these.

    Args:
        units: the weights of the layer.
        previous: the state at the measurement before, if there was one.
        trained: whether training moved any weights of the model since then. Defaults to `False`: units that did not
            move say nothing.

    Returns:
        The `LayerState`.
    """
    if not all(np.isfinite(part).all() for part in (units.kernel, units.bias, units.scales)):
        return LayerState(units, None, 0, 0, "exploding")
    similarity = unit_similarity(units.kernel, activation=units.activation)
    same_in = _shared(_classes(_incoming(units), units))
    none = np.zeros_like(same_in)
    locked = none if units.frozen or units.noise or not same_in.any() else _locked(units, previous)
    dead = none if units.frozen else _dead(units)
    left = none if units.frozen or not trained else _left_behind(units, previous) & ~dead
    verdict = _verdict(units, same_in, locked, dead, left)
    return LayerState(
        units,
        similarity,
        locked=int(locked.sum()),
        dead=int((dead | left).sum()),
        verdict=verdict,
        observed=bool(left.any()),
        opposite=bool(locked.any()) and _has_opposite(units, locked),
        classes=np.where(locked, _classes(_incoming(units), units), np.arange(len(locked)) + len(locked)),
    )


def _verdict(
    units: LayerUnits,
    same_in: NDArray[np.bool_],
    locked: NDArray[np.bool_],
    dead: NDArray[np.bool_],
    left: NDArray[np.bool_],
) -> str:
    inputs, count = units.kernel.shape
    if dead.all():
        return "dead"
    if locked.any():
        return "locked"
    if (dead | left).any():
        return "dead"
    if same_in.any():
        return "redundant" if units.frozen else "transient"
    if not _is_informative(count, inputs):
        return "uninformative"
    return "plateau" if not units.frozen and _nearly_equal(units) else "healthy"


def _classes(vectors: NDArray[Any], units: LayerUnits, tolerance: float | None = None) -> NDArray[np.intp]:
    if tolerance is None:
        tolerance = rounding_tolerance(units.kernel.dtype)
    return equivalence_classes(vectors, sign=_sign_is_free(units), tolerance=tolerance)


def _sign_is_free(units: LayerUnits) -> bool:
    """Return whether a sign flip, which maps (w, b, v) to (-w, -b, -v), leaves what a unit does."""
    return units.mirrored and is_odd(units.activation)


def _shared(labels: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which units have company in their class."""
    return np.bincount(labels)[labels] > 1


def _locked(units: LayerUnits, previous: LayerState | None) -> NDArray[np.bool_]:
    if units.outgoing is not None:
        if not np.isfinite(units.outgoing).all():
            return np.zeros(units.kernel.shape[1], dtype=bool)
        return _shared(_classes(_balanced(_incoming(units), units.outgoing), units))
    if previous is None or previous.similarity is None:
        return np.zeros(units.kernel.shape[1], dtype=bool)
    moved = (previous.units.kernel != units.kernel).any(axis=0)
    return moved & _shared(_classes(_balanced(_incoming(previous.units), _incoming(units)), units))


def _has_opposite(units: LayerUnits, locked: NDArray[np.bool_]) -> bool:
    """Return whether a locked unit has no company without a sign flip; only known consumers allow for one."""
    if units.outgoing is None or not _sign_is_free(units):
        return False
    joint = _balanced(_incoming(units), units.outgoing)
    return not _shared(equivalence_classes(joint, tolerance=rounding_tolerance(units.kernel.dtype)))[locked].all()


def _incoming(units: LayerUnits) -> NDArray[Any]:
    return _balanced(np.concatenate([units.kernel, units.bias[None]]), units.scales)


def _balanced(*blocks: NDArray[Any]) -> NDArray[Any]:
    """Stack blocks of weights, each in units of its own largest entry, so that none hides another."""
    largest = [float(np.abs(block).max(initial=0.0)) for block in blocks]
    return np.concatenate([block / (size or 1.0) for block, size in zip(blocks, largest, strict=True)])


def _dead(units: LayerUnits) -> NDArray[np.bool_]:
    silent = ~units.kernel.any(axis=0)
    flat = units.rest_slope == 0
    mute = np.zeros_like(silent)
    if units.outgoing is not None and units.outgoing.size:
        mute = ~units.outgoing.any(axis=0) & (units.rest_value == 0)
    return silent & (flat | mute)


def _left_behind(units: LayerUnits, previous: LayerState | None) -> NDArray[np.bool_]:
    """Return which units did not move, and are zero or equal to another one then and now."""
    none = np.zeros(units.kernel.shape[1], dtype=bool)
    if previous is None or previous.similarity is None:
        return none
    before = previous.units
    still = (before.kernel == units.kernel).all(axis=0) & (before.bias == units.bias)
    if units.noise and not still.all():
        return none
    if before.outgoing is not None and units.outgoing is not None:
        still &= before.outgoing.any(axis=0) | ~units.outgoing.any(axis=0)
    if not still.any():
        return none
    alike = _shared(_classes(_balanced(_incoming(before), _incoming(units)), units))
    return still & (alike | ~units.kernel.any(axis=0))


def _nearly_equal(units: LayerUnits) -> bool:
    inputs, count = units.kernel.shape
    closest_by_chance = math.sqrt(2 * (1 - _max_abs_quantile(count, inputs, _FALSE_ALARM)))
    tolerance = min(_NEARLY_EQUAL, closest_by_chance)
    joint = _incoming(units) if units.outgoing is None else _balanced(_incoming(units), units.outgoing)
    return bool(np.isfinite(joint).all() and _shared(_classes(joint, units, tolerance)).any())
