"""From the weights of a layer's units to numbers and a verdict: which units are the same, locked or dead."""

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.classes import equivalence_classes, rounding_tolerance
from keras_initkit.symmetry.liveness import Liveness, live_features
from keras_initkit.symmetry.network import Network
from keras_initkit.symmetry.null import is_informative, max_abs_quantile
from keras_initkit.symmetry.partition import Partition, lasting_classes
from keras_initkit.symmetry.similarity import Similarity, unit_similarity
from keras_initkit.units.reading import LayerUnits, UnitReader

# Units count as nearly the same if a random layer of that shape has so close a pair once in this many times.
_FALSE_ALARM = 1e-4
_NEARLY_EQUAL = 1e-2

# The null distribution of a shape is asked for at every measurement, and takes longer than the measurement itself.
_is_informative = functools.cache(is_informative)
_max_abs_quantile = functools.cache(max_abs_quantile)


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
    cut_off: bool = False

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


def judge_model(
    reader: UnitReader, previous: dict[str, LayerState], trained: bool, optimizer: Any = None
) -> list[LayerState]:
    """Read the present weights and judge every hidden layer.

    * `exploding`: some weight is NaN or infinite.
    * `dead`: every unit is dead. A unit is dead if no gradient can ever arrive at it, now or after some steps: zeros
      into ReLU, two layers of zeros in a row (see `live_features`). Units whose weights training did not move at all
      since the previous measurement, and that are zero or equal incoming to another unit then and now, are dead by
      observation. Units that differ and merely do not fire are not meant, nor are those that waited for zero outgoing
      weights to move first, or that dropout or noise may have hidden: there all units must be still.
    * `locked`: units have equal values and equal gradients for ever (see `lasting_classes`): equal incoming and
      outgoing weights, bias, scales and optimizer state, and neither dropout nor noise that acts on single units.
      Where the consumers are unknown, units that were equal at the previous measurement and are still equal after
      their weights moved are locked by observation. A locked layer that stands still is called locked too; its number
      of dead units says the rest.
    * `transient`: units are equal incoming, but something separates them.
    * `redundant`: units of a frozen layer are equal; a frozen layer is neither locked nor dead, since it is not meant
      to learn.
    * `plateau`: units are nearly equal, closer than a random layer of this shape has once in 10,000 times.
    * `uninformative`: too few inputs or units for similarity to mean anything.
    * `healthy`: none of these.

    Args:
        reader: the hidden layers of a model.
        previous: the states at the measurement before, by the path of the layer; empty at the first one.
        trained: whether training moved any weights of the model since then. If not, units that did not move say
            nothing.
        optimizer: the optimizer whose state counts. Defaults to the one the model is compiled with.

    Returns:
        The `LayerState` of every layer, in the order of the model.
    """
    reading = reader.read()
    analysis = _analyse(reading.network)
    optimizer = reader.optimizer if optimizer is None else optimizer
    if optimizer is not None and optimizer.built and any(_is_suspect(units, analysis) for units in reading.layers):
        reading = reader.read(optimizer)
        analysis = _analyse(reading.network)
    return [_judge(units, analysis, previous.get(units.layer), trained) for units in reading.layers]


@dataclass(frozen=True, eq=False)
class _Analysis:
    partition: Partition
    liveness: Liveness


def _analyse(network: Network) -> _Analysis:
    return _Analysis(lasting_classes(network), live_features(network))


def _is_suspect(units: LayerUnits, analysis: _Analysis) -> bool:
    """Return whether units may be locked or dead, so that what the optimizer holds for them matters."""
    return bool(_shared(_lasting(units, analysis)).any() or _without_gradient(units, analysis).any())


def _lasting(units: LayerUnits, analysis: _Analysis) -> NDArray[np.intp]:
    return analysis.partition.labels[units.spaces[0][0]]


def _without_gradient(units: LayerUnits, analysis: _Analysis) -> NDArray[np.bool_]:
    alive = [analysis.liveness.gradients[space] for spaces in units.spaces for space in spaces]
    return ~np.logical_or.reduce(alive)


def _judge(units: LayerUnits, analysis: _Analysis, previous: LayerState | None, trained: bool) -> LayerState:
    if not all(np.isfinite(part).all() for part in (units.kernel, units.bias, units.scales)):
        return LayerState(units, None, 0, 0, "exploding")
    similarity = unit_similarity(units.kernel, activation=units.activation)
    signs = analysis.partition.signs[units.spaces[0][0]]
    incoming = _incoming(units) * signs
    labels = _lasting(units, analysis)
    same_in = _shared(equivalence_classes(incoming, tolerance=_rounding(units))) | _shared(labels)
    none = np.zeros_like(same_in)
    locked = none if units.frozen else _shared(labels)
    if not units.frozen and not units.noise and units.outgoing is None and same_in.any():
        locked = locked | _locked_by_observation(units, previous)
    dead = none if units.frozen else _without_gradient(units, analysis)
    left = none if units.frozen or not trained else _left_behind(units, previous) & ~dead
    verdict = _verdict(units, incoming, signs, same_in, locked, dead, left)
    return LayerState(
        units,
        similarity,
        locked=int(locked.sum()),
        dead=int((dead | left).sum()),
        verdict=verdict,
        observed=bool(left.any()),
        opposite=_has_opposite(labels, signs),
        classes=labels,
        locked_units=np.flatnonzero(locked),
        dead_units=np.flatnonzero(dead | left),
        equal_units=np.flatnonzero(same_in),
        cut_off=bool(np.isfinite(analysis.liveness.values[units.spaces[0][0]]).all()),
    )


def _verdict(
    units: LayerUnits,
    incoming: NDArray[Any],
    signs: NDArray[np.float64],
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
    return "plateau" if not units.frozen and _nearly_equal(units, incoming, signs) else "healthy"


def _rounding(units: LayerUnits) -> float:
    return rounding_tolerance(units.kernel.dtype)


def _shared(labels: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which units have company in their class."""
    return np.bincount(labels)[labels] > 1


def _locked_by_observation(units: LayerUnits, previous: LayerState | None) -> NDArray[np.bool_]:
    if previous is None or previous.similarity is None:
        return np.zeros(units.kernel.shape[1], dtype=bool)
    moved = (previous.units.kernel != units.kernel).any(axis=0)
    both = _balanced(_incoming(previous.units), _incoming(units))
    return moved & _shared(equivalence_classes(both, tolerance=_rounding(units)))


def _has_opposite(labels: NDArray[np.intp], signs: NDArray[np.float64]) -> bool:
    """Return whether some class holds units of either sign."""
    least = np.ones(int(labels.max()) + 1)
    np.minimum.at(least, labels, signs)
    most = -np.ones_like(least)
    np.maximum.at(most, labels, signs)
    return bool((least < most).any())


def _incoming(units: LayerUnits) -> NDArray[Any]:
    return _balanced(units.kernel, units.bias, units.scales)


def _balanced(*blocks: NDArray[Any]) -> NDArray[Any]:
    """Stack blocks of weights, each in units of its own largest entry, so that none hides another."""
    largest = [float(np.abs(block).max(initial=0.0)) for block in blocks]
    return np.concatenate([block / (size or 1.0) for block, size in zip(blocks, largest, strict=True)])


def _left_behind(units: LayerUnits, previous: LayerState | None) -> NDArray[np.bool_]:
    """Return which units did not move, and are zero or equal to another one then and now."""
    none = np.zeros(units.kernel.shape[1], dtype=bool)
    if previous is None or previous.similarity is None:
        return none
    before = previous.units
    still = (before.kernel == units.kernel).all(axis=0) & (before.bias == units.bias).all(axis=0)
    if units.noise and not still.all():
        return none
    if before.outgoing is not None and units.outgoing is not None:
        still &= before.outgoing.any(axis=0) | ~units.outgoing.any(axis=0)
    if not still.any():
        return none
    both = _balanced(_incoming(before), _incoming(units))
    alike = _shared(equivalence_classes(both, tolerance=_rounding(units)))
    return still & (alike | ~units.kernel.any(axis=0))


def _nearly_equal(units: LayerUnits, incoming: NDArray[Any], signs: NDArray[np.float64]) -> bool:
    inputs, count = units.kernel.shape
    closest_by_chance = math.sqrt(2 * (1 - _max_abs_quantile(count, inputs, _FALSE_ALARM)))
    tolerance = min(_NEARLY_EQUAL, closest_by_chance)
    joint = incoming if units.outgoing is None else _balanced(incoming, units.outgoing * signs)
    return bool(np.isfinite(joint).all() and _shared(equivalence_classes(joint, tolerance=tolerance)).any())
