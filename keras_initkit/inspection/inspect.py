"""inspect: a verdict on every hidden layer before the first step; nothing is trained, nothing is changed."""

from typing import Any

from keras_initkit.inspection.checking import check_model
from keras_initkit.inspection.findings import layer_findings, severity_of
from keras_initkit.inspection.gradient_verdicts import judge_by_gradients
from keras_initkit.inspection.gradients import gradients, unit_gradients
from keras_initkit.inspection.remedy import fewest_changes
from keras_initkit.inspection.report import Inspection
from keras_initkit.inspection.state import LayerState
from keras_initkit.inspection.synthetic_batch import synthetic_batch
from keras_initkit.inspection.twin_findings import twin_finding
from keras_initkit.inspection.twins import find_twins
from keras_initkit.inspection.verdicts import analysed_reading, judge_reading
from keras_initkit.units.reading import UnitReader

_BATCH = 32


def inspect(model: Any, x: Any = None, y: Any = None, *, optimizer: Any = None) -> Inspection:
    """Tell which hidden layers of a model can learn as they are, which cannot, why, and what to change.

    Args:
        model: a built Keras model.
        x: one batch.
        y: its targets.
        optimizer: the optimizer.
    """
    check_model(model)
    reader = UnitReader(model)
    reading, analysis = analysed_reading(reader, optimizer)
    states, notes = _with_gradients(model, reader, judge_reading(reading, analysis, {}, False), x, y)
    layers = {path: reader.layer(path) for path in reader.paths}
    findings = layer_findings(model, states, layers, fewest_changes(reading, analysis))
    findings += [twin_finding(model, twins) for twins in find_twins(model)]
    rows = []
    for state in states:
        row = state.row(0)
        del row["epoch"]
        rows.append({**row, "severity": severity_of(state)})
    if not rows:
        notes.append("The model has no hidden layers whose units are known: there is nothing to judge.")
    return Inspection(model.name, tuple(findings), rows, tuple(notes))


def _with_gradients(
    model: Any, reader: UnitReader, states: list[LayerState], x: Any, y: Any
) -> tuple[list[LayerState], list[str]]:
    """Judge layers whose consumers are not known by the gradients of a batch, made up if none is given."""
    unknown = [state.units.layer for state in states if state.units.outgoing is None]
    if not unknown:
        return states, []
    notes = [f"What reads the units of {', '.join(unknown)} is not known: judged by incoming weights and gradients."]
    if any(state.units.outgoing is None and len(state.equal_units) for state in states):
        batch = synthetic_batch(model, _BATCH) if x is None else x
        if batch is None:
            notes.append("No batch could be made up for this model: give `x`, so that the gradients can be looked at.")
        else:
            found = unit_gradients(model, reader, gradients(model, batch, y))
            states = [
                judge_by_gradients(state, found[state.units.layer]) if state.units.layer in found else state
                for state in states
            ]
    return states, notes
