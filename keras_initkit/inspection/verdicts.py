"""From the weights of a layer's units to numbers and a verdict: which units are the same, locked or dead."""

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.inspection.observation import left_behind, locked_by_observation
from keras_initkit.inspection.state import LayerState as LayerState
from keras_initkit.inspection.state import inputs_of
from keras_initkit.inspection.unit_vectors import balanced, first_of_class, rounding, shared
from keras_initkit.inspection.unit_vectors import incoming as incoming_vectors
from keras_initkit.symmetry.classes import equivalence_classes
from keras_initkit.symmetry.liveness import Liveness, live_features
from keras_initkit.symmetry.network import Network
from keras_initkit.symmetry.null import is_informative, max_abs_quantile, mean_square_z
from keras_initkit.symmetry.partition import Partition, lasting_classes
from keras_initkit.symmetry.similarity import Similarity, unit_similarity
from keras_initkit.units.reading import LayerUnits, Reading, UnitReader

# Units count as nearly the same if a random layer of that shape has so close a pair once in this many times.
_FALSE_ALARM = 1e-4
# Beyond a tenth of their size the difference of two units no longer grows exponentially: they have separated.
_NEARLY_EQUAL = 0.1
# Equal weights have the cosine 1 up to the rounding of a sum in float32.
PARALLEL = 1 - 1e-3

# The null distribution of a shape is asked for at every measurement, and takes longer than the measurement itself.
says_something = functools.cache(is_informative)
_max_abs_quantile = functools.cache(max_abs_quantile)


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
    reading, analysis = analysed_reading(reader, optimizer)
    return judge_reading(reading, analysis, previous, trained)


def judge_reading(
    reading: Reading, analysis: "Analysis", previous: dict[str, LayerState], trained: bool
) -> list[LayerState]:
    """Judge every layer of weights that are read already; see `judge_model`."""
    return [_judge(units, analysis, previous.get(units.layer), trained) for units in reading.layers]


@dataclass(frozen=True, eq=False)
class Analysis:
    """What the network of a model says about all its features.

    Attributes:
        partition: which stay equal.
        liveness: which get a gradient, and which vary with the data.
    """

    partition: Partition
    liveness: Liveness

    @classmethod
    def of(cls, network: Network) -> "Analysis":
        """Analyse a network."""
        return cls(lasting_classes(network), live_features(network))

    def is_at_fault(self, units: LayerUnits) -> bool:
        """Return whether units are locked or dead by their weights."""
        return bool(shared(_lasting(units, self)).any() or _without_gradient(units, self).any())


def analysed_reading(reader: UnitReader, optimizer: Any = None) -> tuple[Reading, Analysis]:
    """Read a model and analyse its network; what the optimizer holds is read only where it can matter."""
    optimizer = reader.optimizer if optimizer is None else optimizer
    holds = optimizer is not None and optimizer.built
    return analysed(lambda with_slots: reader.read(optimizer) if with_slots else reader.read(), optimizer_holds=holds)


def analysed(
    read: Callable[[bool], Reading],
    *,
    optimizer_holds: bool,
    analyse: Callable[[Network], Analysis] = Analysis.of,
) -> tuple[Reading, Analysis]:
    """Read and analyse a network, once more with what the optimizer holds if that can matter.

    Args:
        read: gives the reading, called with whether what the optimizer holds is to be read along.
        optimizer_holds: whether the optimizer holds anything.
        analyse: analyses a network.
    """
    reading = read(False)
    analysis = analyse(reading.network)
    if optimizer_holds and any(map(analysis.is_at_fault, reading.layers)):
        reading = read(True)
        analysis = analyse(reading.network)
    return reading, analysis


def _lasting(units: LayerUnits, analysis: Analysis) -> NDArray[np.intp]:
    return analysis.partition.labels[units.spaces[0][0]]


def _without_gradient(units: LayerUnits, analysis: Analysis) -> NDArray[np.bool_]:
    alive = [analysis.liveness.gradients[space] for spaces in units.spaces for space in spaces]
    return ~np.logical_or.reduce(alive)


def _judge(units: LayerUnits, analysis: Analysis, previous: LayerState | None, trained: bool) -> LayerState:
    if not all(np.isfinite(part).all() for part in (units.kernel, units.bias, units.scales)):
        return LayerState(units, None, 0, 0, "exploding")
    similarity = _similarity(units)
    signs = analysis.partition.signs[units.spaces[0][0]]
    labels = _lasting(units, analysis)
    equal = _equal_incoming(units, similarity, signs)
    same_in = shared(equal) | shared(labels)
    none = np.zeros_like(same_in)
    locked = none if units.frozen else shared(labels)
    if not units.frozen and not units.noise and not units.consumers_known and same_in.any():
        observed = locked_by_observation(units, previous) & ~locked
        locked = locked | observed
        labels = np.unique(np.where(observed, equal, labels + len(equal)), return_inverse=True)[1]
    dead = none if units.frozen else _without_gradient(units, analysis)
    left = none if units.frozen or not trained else left_behind(units, previous) & ~dead
    verdict = _verdict(units, similarity, signs, same_in, locked, dead, left)
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
        equal_classes=equal,
        cut_off=bool(np.isfinite(analysis.liveness.values[units.spaces[0][0]]).all()),
    )


def _similarity(units: LayerUnits) -> Similarity:
    found = unit_similarity(units.kernel, activation=units.activation)
    inputs = inputs_of(units)
    if inputs == found.inputs:
        return found
    # The rows are coordinates in which the cosines are right; chance works with the weights behind them.
    chance = mean_square_z(found.rms**2, found.units, inputs) if found.units > 1 else math.nan
    return dataclasses.replace(found, inputs=inputs, null_z=chance)


def _verdict(
    units: LayerUnits,
    similarity: Similarity,
    signs: NDArray[np.float64],
    same_in: NDArray[np.bool_],
    locked: NDArray[np.bool_],
    dead: NDArray[np.bool_],
    left: NDArray[np.bool_],
) -> str:
    inputs, count = inputs_of(units), units.kernel.shape[1]
    if (locked & ~dead).any():
        return "locked"
    if (dead | left).any():
        return "dead"
    if same_in.any():
        return "redundant" if units.frozen else "transient"
    if not says_something(count, inputs):
        return "uninformative"
    watched = units.comparable and not units.frozen
    return "plateau" if watched and nearly_equal(units, similarity.nearest, signs) else "healthy"


def _has_opposite(labels: NDArray[np.intp], signs: NDArray[np.float64]) -> bool:
    """Return whether some class holds units of either sign."""
    least = np.ones(int(labels.max()) + 1)
    np.minimum.at(least, labels, signs)
    most = -np.ones_like(least)
    np.maximum.at(most, labels, signs)
    return bool((least < most).any())


def _equal_incoming(units: LayerUnits, similarity: Similarity, signs: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return classes of units with equal weights, biases and scales; only units of equal direction are compared."""
    labels = np.arange(units.kernel.shape[1])
    parallel = np.flatnonzero(similarity.nearest >= PARALLEL)
    if len(parallel):
        vectors = incoming_vectors(units, parallel) * signs[parallel]
        labels[parallel] = parallel[first_of_class(equivalence_classes(vectors, tolerance=rounding(units)))]
    return np.unique(labels, return_inverse=True)[1]


def nearly_equal(units: LayerUnits, nearest: NDArray[np.float64], signs: NDArray[np.float64]) -> bool:
    """Return whether some units are nearly equal, incoming and outgoing, closer than chance has them.

    Args:
        units: the units.
        nearest: `(units,)`, |cosine| of each unit to the one closest to it.
        signs: `(units,)` of 1 and -1, on which side each unit lies.
    """
    tolerance = nearness(units)
    near = np.flatnonzero(nearest >= least_cosine(units.kernel, tolerance))
    if len(near) < 2:
        return False
    joint = incoming_vectors(units, near) * signs[near]
    if units.outgoing is not None:
        joint = np.concatenate([joint, balanced(units.outgoing, columns=near) * signs[near]])
    return bool(np.isfinite(joint).all() and shared(equivalence_classes(joint, tolerance=tolerance)).any())


def nearness(units: LayerUnits) -> float:
    """Return the tolerance within which units count as nearly equal."""
    closest_by_chance = math.sqrt(2 * (1 - _max_abs_quantile(units.kernel.shape[1], inputs_of(units), _FALSE_ALARM)))
    return min(_NEARLY_EQUAL, closest_by_chance)


def least_cosine(kernel: NDArray[Any], tolerance: float) -> float:
    """Return the |cosine| below which two columns differ somewhere by more than the tolerance.

    If no entry differs by more than t, measured in units of the largest entry of all, then |a - b|² ≤ d t², and
    cos ≥ 1 - |a - b|²/(2|a||b|) ≥ 1 - d t²/(2m²) with m the length of the shortest column that is not zero.
    """
    squares = np.einsum("ij,ij->j", kernel, kernel, dtype=np.float64)
    shortest = float(squares[squares > 0].min(initial=math.inf)) / (float(np.abs(kernel).max(initial=0.0)) ** 2 or 1.0)
    return 1.0 - len(kernel) * tolerance**2 / (2 * shortest) - (1.0 - PARALLEL)
