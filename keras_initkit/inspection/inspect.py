"""inspect: a verdict on every hidden layer before the first step; nothing is trained, nothing is changed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.inspection.checking import check_batch, check_model
from keras_initkit.inspection.finding import SEVERITIES, Finding
from keras_initkit.inspection.findings import layer_findings
from keras_initkit.inspection.gradient_verdicts import judge_by_gradients
from keras_initkit.inspection.gradients import gradient_disagreement, gradients, unit_gradients
from keras_initkit.inspection.own_randomness import draws_numbers
from keras_initkit.inspection.remedy import fewest_changes
from keras_initkit.inspection.report import Inspection
from keras_initkit.inspection.separation_forecast import separation_forecast
from keras_initkit.inspection.signal import forward_signal
from keras_initkit.inspection.signal_findings import loss_note, signal_findings
from keras_initkit.inspection.start_loss import start_loss
from keras_initkit.inspection.state import LayerState
from keras_initkit.inspection.synthetic_batch import synthetic_batch
from keras_initkit.inspection.twin_findings import twin_finding
from keras_initkit.inspection.twins import find_twins
from keras_initkit.inspection.verdicts import analysed_reading, judge_reading
from keras_initkit.units.reading import UnitReader

_BATCH = 32


def inspect(model: Any, x: Any = None, y: Any = None, *, optimizer: Any = None) -> Inspection:
    """Tell which hidden layers of a model can learn as they are, which cannot, why, and what to change.

    Without data, the weights and what the optimizer holds for them decide. Write W for the weights into a layer, b for
    its biases, V for the weights that read it, and let C run over classes of equal units of the layer before, D over
    those of the layer behind. Two units i and j are *locked*, equal for ever, if

        bᵢ = bⱼ,   Σ_{k ∈ C} W_ki = Σ_{k ∈ C} W_kj for all C,   Σ_{m ∈ D} V_im = Σ_{m ∈ D} V_jm for all D,

    with equal optimizer state and neither dropout nor noise between them; the coarsest classes that fulfil this in the
    whole network are found. A unit is *dead* if no gradient can arrive at it, now or after any number of steps. Both
    are forecasts of what training will do, not guesses from a cosine. *Twins* are weights of different layers with
    equal values.

    With a batch `x`, the scale of the signal is measured too: `exploding`, `vanishing`, `saturated`, and ReLU units
    that give zero for the whole batch. With `y` as well, the loss at the start is compared with that of a model that
    knows nothing, a trial of some training steps, undone again, shows whether a lock is exact or holds up to rounding
    only, and gradients are those of the loss. Layers for which the model does not tell what reads them are
    judged by the gradients of the batch, or of one that is made up if none is given.

    The model is left as it was, bit for bit: weights, optimizer, moving statistics, random states, attributes.

    Example:

    >>> import keras, keras_initkit as ik
    >>> layers = [keras.layers.Dense(8, "relu", kernel_initializer="ones", name="hidden"), keras.layers.Dense(1)]
    >>> model = keras.Sequential([keras.Input((4,)), *layers])
    >>> inspection = ik.inspect(model)
    >>> [(finding.layer, finding.verdict, finding.severity) for finding in inspection.findings]
    [('hidden', 'transient', 'warning')]
    >>> inspection.ok
    True

    Args:
        model: a built Keras model: Sequential, functional or subclassed.
        x: one batch of inputs, in the structure that the model takes, e.g. an array `(batch, inputs)`. Defaults to
            `None`.
        y: the targets of that batch, in the structure that the loss takes. Defaults to `None`.
        optimizer: the optimizer whose state counts, e.g. the one of a training loop of your own. Defaults to `None`:
            the one the model is compiled with.

    Returns:
        An `Inspection` with `findings`, `rows`, `notes` and `ok`; printed, it is a table.

    Raises:
        TypeError: if `model` is not a Keras model.
        ValueError: if it is not built, or `x` does not fit it or holds values that are not finite.

    Reference:
        - [Fukumizu and Amari, 2000, Local minima and plateaus in hierarchical structures of multilayer
          perceptrons](https://doi.org/10.1016/S0893-6080(00)00009-5)
        - [Simsek et al., 2021, Geometry of the loss landscape in overparameterized neural
          networks](https://arxiv.org/abs/2105.12221)
    """
    check_model(model)
    if x is not None:
        check_batch(model, x, y)
    reader = UnitReader(model)
    reading, analysis = analysed_reading(reader, optimizer)
    states = judge_reading(reading, analysis, {}, False)
    moves = _unit_gradients(reader, states, x, y)
    states, notes = _judged_by_gradients(reader, states, moves)
    locked = {state.units.layer: state.classes for state in states if state.locked and state.classes is not None}
    forecasts = separation_forecast(model, reader, locked, x, y) if locked and y is not None else {}
    findings = layer_findings(reader, states, fewest_changes(reading, analysis), forecasts)
    apart = _disagreements(states, moves)
    for finding in findings:
        if finding.layer in apart:
            finding.evidence["gradient_disagreement"] = apart[finding.layer]
    findings += _twin_findings(model, x, y)
    if x is not None:
        findings += _beside(findings, signal_findings(reader, states, forward_signal(model, x)))
        loss = None if y is None else loss_note(start_loss(model, x, y))
        notes += [] if loss is None else [loss]
    unread = reader.unread_layers()
    if unread:
        notes.append(f"Not judged, since what their weights do is not known: {', '.join(unread)}.")
    if not states:
        notes.append("The model has no hidden layers with units that are known: there is nothing to judge.")
    return Inspection(model.name, tuple(findings), _rows(states, findings), tuple(notes))


def _unit_gradients(
    reader: UnitReader, states: Sequence[LayerState], x: Any, y: Any
) -> dict[str, NDArray[np.floating]] | None:
    """Return the gradients of the units on the batch, or where they decide on one that is made up; None if not had."""
    alike = [state for state in states if len(state.equal_units)]
    if not alike:
        return {}
    if x is None and all(state.units.consumers_known for state in alike):
        return {}
    batch = synthetic_batch(reader.model, _BATCH) if x is None else x
    return None if batch is None else unit_gradients(reader.model, reader, gradients(reader.model, batch, y))


def _judged_by_gradients(
    reader: UnitReader, states: list[LayerState], found: dict[str, NDArray[np.floating]] | None
) -> tuple[list[LayerState], list[str]]:
    """Judge layers whose consumers are not known by the gradients of their units."""
    unknown = [state.units.layer for state in states if not state.units.consumers_known]
    if not unknown:
        return states, []
    unread = f"What reads the units of {', '.join(unknown)} is not known"
    if draws_numbers(reader.model):
        own = "a layer of your own draws random numbers, which may separate equal units"
        return states, [f"{unread}, and {own}: judged by incoming weights."]
    notes = [f"{unread}: judged by incoming weights and gradients."]
    if found is None:
        return states, [*notes, "No batch could be made up for this model: give `x`, so that there are gradients."]
    judged = [
        judge_by_gradients(state, found[state.units.layer]) if state.units.layer in found else state for state in states
    ]
    return judged, notes


def _disagreements(states: Sequence[LayerState], found: dict[str, NDArray[np.floating]] | None) -> dict[str, float]:
    """Return the largest disagreement of gradients within the classes of equal units, by layer."""
    largest = {}
    for state in states:
        gradient = (found or {}).get(state.units.layer)
        if gradient is None or state.equal_classes is None or state.opposite:
            continue
        values = gradient_disagreement(gradient, state.equal_classes)
        if np.isfinite(values).any():
            largest[state.units.layer] = float(np.nanmax(values))
    return largest


def _twin_findings(model: Any, x: Any, y: Any) -> list[Finding]:
    twins = find_twins(model)
    batch = synthetic_batch(model, _BATCH) if twins and x is None else x
    found = gradients(model, batch, y, noise=True) if twins and batch is not None else None
    return [twin_finding(model, one, found) for one in twins]


def _beside(findings: Sequence[Finding], further: Sequence[Finding]) -> list[Finding]:
    """Return the further findings that do not repeat what is known: a dead layer gives nothing, of course."""
    known = {finding.layer for finding in findings if finding.verdict in ("dead", "exploding")}
    return [finding for finding in further if finding.layer not in known]


def _rows(states: Sequence[LayerState], findings: Sequence[Finding]) -> list[dict[str, Any]]:
    rows = []
    for state in states:
        row = state.row(0)
        del row["epoch"]
        mine = [finding for finding in findings if finding.layer == row["layer"]]
        worst = min(mine, key=lambda finding: SEVERITIES.index(finding.severity), default=None)
        if worst is not None and row["verdict"] in ("healthy", "uninformative"):
            row["verdict"] = worst.verdict
        rows.append({**row, "severity": "" if worst is None else worst.severity})
    return rows
