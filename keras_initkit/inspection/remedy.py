"""The fewest layers whose weights have to be drawn anew so that nothing is locked or dead any more."""

import dataclasses
import itertools

import numpy as np

from keras_initkit.inspection.verdicts import Analysis
from keras_initkit.symmetry.network import Link, Mix, Network, Values
from keras_initkit.units.reading import LayerUnits, Reading

# Each trial analyses the whole network; beyond this the obvious answer is given without trying.
_MOST_LAYERS = 24
_MOST_WEIGHTS = 20_000_000


def fewest_changes(reading: Reading, analysis: Analysis) -> tuple[str, ...] | None:
    """Find a smallest set of layers that release all others when their kernels are drawn at random.

    Beginning with all layers at fault, every layer that is not needed is taken out again, those whose own weights are
    sound first; each set is tried on the network itself, so the answer holds for this model.

    Args:
        reading: the model at one moment.
        analysis: what its network says.

    Returns:
        Paths of layers, none of which can be left out. None if no such set was found: random weights into these
        layers do not help, or the model is too large to try.
    """
    faulty = [units for units in reading.layers if not units.frozen and analysis.is_at_fault(units)]
    weights = sum(units.kernel.size for units in reading.layers)
    if not faulty or len(faulty) > _MOST_LAYERS or len(faulty) * weights > _MOST_WEIGHTS:
        return None

    def cured(chosen: list[LayerUnits]) -> bool:
        changed = Analysis.of(_with_random_weights(reading.network, chosen))
        return not any(changed.is_at_fault(units) for units in faulty)

    if not cured(faulty):
        return None
    needed = list(faulty)
    for units in sorted(faulty, key=_soundness, reverse=True):
        fewer = [other for other in needed if other is not units]
        if fewer and cured(fewer):
            needed = fewer
    return tuple(units.layer for units in needed)


def _soundness(units: LayerUnits) -> float:
    """Return the share of units whose weights differ from those of all units before and are not zero."""
    columns = {column.tobytes() for column in units.kernel.T if column.any()}
    return len(columns) / units.kernel.shape[1]


def _with_random_weights(network: Network, layers: list[LayerUnits]) -> Network:
    """Return the network with random weights into these units, as after a new start with an untouched optimizer."""
    spaces = {space for units in layers for call in units.spaces for space in call}
    seeds = itertools.count(1)

    def renewed(link: Link) -> Link:
        if isinstance(link, Mix) and link.target in spaces and link.trainable:
            drawn = np.random.default_rng(next(seeds)).standard_normal(link.weights.shape).astype(link.weights.dtype)
            if link.present is not None:
                drawn *= link.present[:, :, None]
            return dataclasses.replace(link, weights=drawn, momentum=(), state=())
        if isinstance(link, Values) and link.space in spaces:
            return dataclasses.replace(link, momentum=(), state=())
        return link

    return Network(network.spaces, [renewed(link) for link in network.links])
