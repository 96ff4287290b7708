"""From the states of layers to findings: how bad, why, and the smallest change that mends it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_initkit.inspection.causes import Case, cause_of, class_sizes
from keras_initkit.inspection.finding import Finding
from keras_initkit.inspection.layer_code import (
    layer_expression,
    main_variable,
    new_values,
    small_noise,
    suggested_initializer,
)
from keras_initkit.inspection.separation_forecast import Forecast
from keras_initkit.inspection.state import LayerState
from keras_initkit.inspection.weight_origin import is_made_of_copies
from keras_initkit.units.reading import UnitReader

_SEVERITY = {"exploding": "error", "locked": "error", "transient": "warning", "plateau": "warning", "redundant": "info"}


def layer_findings(
    reader: UnitReader,
    states: Sequence[LayerState],
    changes: tuple[str, ...] | None,
    forecasts: Mapping[str, Forecast] | None = None,
) -> list[Finding]:
    """Return a finding for every layer that is neither healthy nor without information.

    Args:
        reader: the hidden layers of the model.
        states: what was judged.
        changes: paths of the layers whose weights have to be drawn anew (see `fewest_changes`); None if not known.
        forecasts: by path, what some training steps did to locked units. Defaults to none.
    """
    forecasts = forecasts or {}
    cases = [
        Case(
            reader.model,
            state,
            reader.layer(state.units.layer),
            reader.layer_path(state.units.layer),
            reader.attribute(state.units.layer),
            changes,
            forecasts.get(state.units.layer),
        )
        for state in states
    ]
    return [_finding(case) for case in cases if severity_of(case.state)]


def severity_of(state: LayerState) -> str:
    """Return how bad the verdict of a layer is; empty if it is not worth a finding."""
    if state.verdict == "dead":
        return "error" if state.dead == state.units.kernel.shape[1] else "warning"
    return _SEVERITY.get(state.verdict, "")


def _finding(case: Case) -> Finding:
    state = case.state
    return Finding(
        layer=state.units.layer,
        verdict=state.verdict,
        severity=severity_of(state),
        units=tuple(int(unit) for unit in _units(state)),
        cause=cause_of(case),
        fix=_fix(case),
        evidence=_evidence(case),
    )


def _units(state: LayerState) -> np.ndarray:
    if state.verdict == "exploding":
        columns = np.concatenate([state.units.kernel, state.units.bias])
        return np.flatnonzero(~np.isfinite(columns).all(axis=0))
    if state.verdict == "plateau":
        return np.zeros(0, np.intp)
    return {"locked": state.locked_units, "dead": state.dead_units}.get(state.verdict, state.equal_units)


def _fix(case: Case) -> str:
    state = case.state
    expression = layer_expression(case.model, case.layer_path)
    if state.verdict == "redundant":
        return f"# nothing to mend, unless the layer is to be trained: {expression}.trainable = True"
    if state.verdict in ("locked", "dead") and case.is_consequence:
        return f"# mended with {' and '.join(case.changes or ())}"
    name = case.attribute or main_variable(case.layer)
    if name is None:
        return f"# draw the weights of {expression} at random"
    if state.verdict in ("locked", "plateau", "transient") and is_made_of_copies(state):
        return small_noise(expression, name)
    initializer = suggested_initializer(state.units.activation)
    line = new_values(expression, name, initializer)
    argument = f"{name.rpartition('.')[2]}_initializer"
    if hasattr(case.layer, argument):
        line += f'  # or {argument}="{initializer}" where the layer is made'
    return line


def _evidence(case: Case) -> dict[str, Any]:
    state = case.state
    inputs, units = state.units.kernel.shape
    evidence: dict[str, Any] = {"units": units, "inputs": inputs}
    if state.similarity is not None:
        evidence["distinct"] = state.similarity.distinct
        evidence["gain"] = float(np.sqrt(np.square(state.units.kernel, dtype=np.float64).sum(axis=0).mean()))
    if state.verdict == "locked":
        evidence["class_sizes"] = class_sizes(state)
    if state.verdict in ("locked", "dead"):
        evidence |= {"locked": state.locked, "dead": state.dead}
        if case.forecast is not None:
            evidence |= {f"trial_{name}": value for name, value in dataclasses.asdict(case.forecast).items()}
        if case.changes:
            evidence["released_by"] = list(case.changes)
    return evidence
