"""Why a layer has its verdict, in one or two sentences."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_initkit.inspection.separation_forecast import Forecast
from keras_initkit.inspection.state import LayerState
from keras_initkit.inspection.unit_vectors import rounding
from keras_initkit.inspection.weight_origin import origin_of
from keras_initkit.symmetry.separation import class_gap

_MOST_SIZES = 4
_FAR_OFF = 1e5  # steps; the growth was measured on a few of them


@dataclass(frozen=True, eq=False)
class Case:
    """One layer whose verdict is to be explained.

    Attributes:
        model: the model.
        state: what was judged.
        layer: the layer.
        layer_path: its path in the model.
        attribute: the attribute that holds the weights, where a layer of the user has them itself; else empty.
        changes: paths of the layers whose weights have to be drawn anew (see `fewest_changes`); None if not known.
        forecast: what some training steps did to its locked units; None if none were made.
    """

    model: Any
    state: LayerState
    layer: Any
    layer_path: str
    attribute: str
    changes: tuple[str, ...] | None
    forecast: Forecast | None = None

    @property
    def is_consequence(self) -> bool:
        """Whether a change of other layers alone mends this one."""
        return bool(self.changes) and self.state.units.layer not in (self.changes or ())

    def counted(self, count: int) -> str:
        """Return a number of units in words."""
        total, kind = self.state.units.kernel.shape[1], self.state.units.kind
        if count == total:
            return f"All {total} {kind}s" if total > 1 else f"The only {kind}"
        return f"{count} of {total} {kind}s"


def cause_of(case: Case) -> str:
    """Return the cause of the verdict of a layer."""
    return _CAUSES[case.state.verdict](case).strip()


def class_sizes(state: LayerState) -> list[int]:
    """Return the sizes of the classes of locked units, largest first."""
    if state.classes is None or not len(state.locked_units):
        return []
    sizes = np.bincount(state.classes[state.locked_units])
    found = sorted((int(size) for size in sizes if size > 1), reverse=True)
    return found or [len(state.locked_units)]  # locked by observation: the classes are not known


def _locked(case: Case) -> str:
    state = case.state
    sign = " up to sign" if state.opposite else ""
    sizes = class_sizes(state)
    shown = ", ".join(map(str, sizes[:_MOST_SIZES])) + (", ..." if len(sizes) > _MOST_SIZES else "")
    groups = f"one group of {shown}" if len(sizes) == 1 else f"{len(sizes)} groups of {shown}"
    copies = f"{case.counted(state.locked)} are copies ({groups})"
    if not state.units.consumers_known:
        return (
            f"{copies}: equal incoming weights and equal gradients, so they move alike. {origin_of(state, case.layer)}"
        )
    equal = f"incoming and outgoing weights are equal{sign}, so they get the same gradients and stay equal for ever"
    return f"{copies}: {equal}. {origin_of(state, case.layer)} {_by_training(case.forecast)}"


def _by_training(forecast: Forecast | None) -> str:
    """Return what some training steps showed: whether the lock is exact, or holds up to rounding."""
    if forecast is None or not math.isfinite(forecast.gap):
        return ""
    soon = (
        ""
        if forecast.steps_to_separate is None
        else f"about {float(f'{max(forecast.steps_to_separate, 1):.2g}'):g} steps"
    )
    if forecast.exact:
        parted = (
            f"a difference by rounding would set them apart in {soon}"
            if soon
            else "a small difference would not grow soon"
        )
        return f"A trial of some steps left them bit-equal; {parted}."
    grows = f"grows, and will set them apart in {soon}" if soon else "does not grow much"
    return f"In a trial of some steps the lock held up to rounding only: a gap of {forecast.gap:.1g}, which {grows}."


def _dead(case: Case) -> str:
    state = case.state
    which = case.counted(state.dead)
    if state.observed:
        return f"{which} did not move in training, and the weights are zero or equal. {origin_of(state, case.layer)}"
    if not state.units.kernel[:, state.dead_units].any():
        flat = state.units.activation or "the activation"
        return (
            f"{which} cannot get a gradient: the incoming weights are zero, and {flat} is flat there or the outgoing "
            f"weights are zero too. {origin_of(state, case.layer)}"
        )
    if case.is_consequence:
        others = " and ".join(case.changes or ())
        if state.cut_off:
            return f"{which} cannot get a gradient: behind {others} nothing varies with the data."
        return f"{which} cannot get a gradient: nothing comes back through {others}."
    return f"{which} cannot get a gradient: every way to the loss is closed by zeros or a flat activation."


def _transient(case: Case) -> str:
    state = case.state
    begin = f"{case.counted(len(state.equal_units))} begin as copies (equal incoming weights)"
    if state.units.noise:
        rest = "dropout or noise separates them"
    elif _have_equal_readers(state):
        rest = "what the optimizer holds for them, or what stands between them and their readers, separates them"
    elif state.units.consumers_known:
        rest = "their outgoing weights differ, so they separate with the first step"
    else:
        rest = "what reads them is not known, so whether they separate has to be measured"
    return f"{begin}; {rest}. {origin_of(state, case.layer)}"


def _have_equal_readers(state: LayerState) -> bool:
    """Return whether units that are equal incoming are read with equal weights too."""
    if state.units.outgoing is None or state.equal_classes is None:
        return False
    return bool(class_gap(state.units.outgoing, state.equal_classes) <= rounding(state.units))


def _plateau(case: Case) -> str:
    return (
        "Some units are nearly equal, incoming and outgoing, closer than chance gives once in 10,000 layers of this "
        f"shape: they separate slowly. {origin_of(case.state, case.layer)}"
    )


def _redundant(case: Case) -> str:
    return f"{case.counted(len(case.state.equal_units))} of this frozen layer are equal: they carry the same feature."


def _exploding(case: Case) -> str:
    arrays = (case.state.units.kernel, case.state.units.bias, case.state.units.scales)
    count = sum(int((~np.isfinite(part)).sum()) for part in arrays)
    return f"{count} of the weights are NaN or infinite: the training has diverged, or the weights were never set."


_CAUSES = {
    "locked": _locked,
    "dead": _dead,
    "transient": _transient,
    "plateau": _plateau,
    "redundant": _redundant,
    "exploding": _exploding,
}
