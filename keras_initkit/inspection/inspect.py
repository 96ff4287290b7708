"""inspect: a verdict on every hidden layer before the first step; nothing is trained, nothing is changed."""

from typing import Any

from keras_initkit.inspection.checking import check_model
from keras_initkit.inspection.finding import Finding
from keras_initkit.inspection.findings import layer_findings, severity_of
from keras_initkit.inspection.remedy import fewest_changes
from keras_initkit.inspection.report import Inspection
from keras_initkit.inspection.twin_findings import twin_finding
from keras_initkit.inspection.twins import find_twins
from keras_initkit.inspection.verdicts import analysed_reading, judge_reading
from keras_initkit.units.reading import UnitReader


def inspect(model: Any, x: Any = None, y: Any = None, *, optimizer: Any = None) -> Inspection:
    """Tell which hidden layers of a model can learn as they are, which cannot, why, and what to change.

    Args:
        model: a built Keras model.
    """
    check_model(model)
    reader = UnitReader(model)
    reading, analysis = analysed_reading(reader, optimizer)
    states = judge_reading(reading, analysis, {}, False)
    layers = {path: reader.layer(path) for path in reader.paths}
    findings: list[Finding] = layer_findings(model, states, layers, fewest_changes(reading, analysis))
    findings += [twin_finding(model, twins) for twins in find_twins(model)]
    rows = []
    for state in states:
        row = state.row(0)
        del row["epoch"]
        rows.append({**row, "severity": severity_of(state)})
    return Inspection(model.name, tuple(findings), rows, ())
