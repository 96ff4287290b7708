"""From the states of layers to findings: why, how bad, and the smallest change that mends it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_initkit.inspection.finding import Finding
from keras_initkit.inspection.layer_code import (
    layer_expression,
    main_variable,
    new_values,
    small_noise,
    suggested_initializer,
)
from keras_initkit.inspection.state import LayerState
from keras_initkit.inspection.weight_origin import is_made_of_copies, origin_of

_SEVERITY = {"exploding": "error", "locked": "error", "transient": "warning", "plateau": "warning", "redundant": "info"}


def layer_findings(
    model: Any, states: Sequence[LayerState], layers: dict[str, Any], changes: tuple[str, ...] | None
) -> list[Finding]:
    """Return a finding for every layer that is neither healthy nor without information.

    Args:
        model: the model, for lines of code that reach its layers.
        states: what was judged.
        layers: the layers by path.
        changes: paths of the layers whose weights have to be drawn anew (see `fewest_changes`); None if not known.
    """
    return [
        _finding(model, state, layers[state.units.layer], changes, states)
        for state in states
        if state.verdict not in ("healthy", "uninformative")
    ]


def severity_of(state: LayerState) -> str:
    """Return how bad the verdict of a layer is; empty if it is not worth a finding."""
    if state.verdict == "dead":
        return "error" if state.dead == state.units.kernel.shape[1] else "warning"
    return _SEVERITY.get(state.verdict, "")


def _finding(
    model: Any, state: LayerState, layer: Any, changes: tuple[str, ...] | None, states: Sequence[LayerState]
) -> Finding:
    cause = {
        "exploding": _exploding,
        "locked": _locked,
        "dead": _dead,
        "transient": _transient,
        "plateau": _plateau,
        "redundant": _redundant,
    }[state.verdict](state, layer, changes)
    return Finding(
        layer=state.units.layer,
        verdict=state.verdict,
        severity=severity_of(state),
        units=tuple(int(unit) for unit in _units(state)),
        cause=cause.strip()[0].upper() + cause.strip()[1:],
        fix=_fix(model, state, layer, changes, states),
        evidence=_evidence(state, changes),
    )


def _units(state: LayerState) -> np.ndarray:
    if state.verdict == "exploding":
        columns = np.concatenate([state.units.kernel, state.units.bias])
        return np.flatnonzero(~np.isfinite(columns).all(axis=0))
    chosen = {"locked": state.locked_units, "dead": state.dead_units, "plateau": np.zeros(0, np.intp)}
    return chosen.get(state.verdict, state.equal_units)


def _counted(count: int, state: LayerState) -> str:
    total, kind = state.units.kernel.shape[1], state.units.kind
    return f"all {total} {kind}s" if count == total else f"{count} of {total} {kind}s"


def _locked(state: LayerState, layer: Any, changes: tuple[str, ...] | None) -> str:
    sign = " up to sign" if state.opposite else ""
    sizes = class_sizes(state)
    groups = f"one group of {sizes[0]}" if len(sizes) == 1 else f"{len(sizes)} groups of {_listed(sizes)}"
    return (
        f"{_counted(state.locked, state)} are copies ({groups}): incoming and outgoing weights are equal{sign}, so they "
        f"get the same gradients and stay equal for ever. {origin_of(state, layer)}"
    )


def _dead(state: LayerState, layer: Any, changes: tuple[str, ...] | None) -> str:
    which = _counted(state.dead, state)
    if state.observed:
        return f"{which} did not move in training, and their weights are zero or equal. {origin_of(state, layer)}"
    if changes and state.units.layer not in changes and not _is_zero(state):
        by = " and ".join(changes)
        if state.cut_off:
            return f"{which} get no gradient: behind {by} nothing varies with the data any more."
        return f"{which} get no gradient: nothing comes back through {by}."
    if _is_zero(state):
        name = state.units.activation or "the activation"
        return (
            f"{which} have zero incoming weights, and no gradient can reach them ({name} is flat there, or the "
            f"outgoing weights are zero too). {origin_of(state, layer)}"
        )
    return f"{which} get no gradient: every way to the loss is closed by zeros or a flat activation."


def _transient(state: LayerState, layer: Any, changes: tuple[str, ...] | None) -> str:
    noise = "dropout or noise separates them" if state.units.noise else "their outgoing weights differ"
    later = "they separate with the first step" if state.units.outgoing is not None else "whether they separate is open"
    reason = noise if state.units.outgoing is not None or state.units.noise else "what reads them is not known"
    return (
        f"{_counted(len(state.equal_units), state)} begin as copies (equal incoming weights); {reason}, so {later}. "
        f"{origin_of(state, layer)}"
    )


def _plateau(state: LayerState, layer: Any, changes: tuple[str, ...] | None) -> str:
    return (
        "Some units are nearly equal, incoming and outgoing, closer than chance gives once in 10,000 layers of this "
        "shape: they separate slowly."
    )


def _redundant(state: LayerState, layer: Any, changes: tuple[str, ...] | None) -> str:
    return f"{_counted(len(state.equal_units), state)} of this frozen layer are equal; they carry the same feature."


def _exploding(state: LayerState, layer: Any, changes: tuple[str, ...] | None) -> str:
    arrays = (state.units.kernel, state.units.bias, state.units.scales)
    count = sum(int((~np.isfinite(part)).sum()) for part in arrays)
    return f"{count} of the weights are NaN or infinite."


def _fix(
    model: Any, state: LayerState, layer: Any, changes: tuple[str, ...] | None, states: Sequence[LayerState]
) -> str:
    path = state.units.layer
    if changes and path not in changes and state.verdict in ("locked", "dead"):
        root = next((other for other in states if other.units.layer in changes), None)
        if root is not None:
            return f"# mended with {' and '.join(changes)}"
    if state.verdict == "redundant":
        return f"# nothing to mend, unless it is to be trained: {layer_expression(model, path)}.trainable = True"
    name = main_variable(layer)
    expression = layer_expression(model, path)
    if name is None:
        return f"# draw the weights of {expression} at random"
    if state.verdict in ("locked", "plateau", "transient") and is_made_of_copies(state):
        return small_noise(expression, name)
    initializer = suggested_initializer(state.units.activation)
    line = new_values(expression, name, initializer)
    argument = f"{name.rpartition('.')[2]}_initializer"
    if name.startswith(("kernel", "embeddings")) and hasattr(layer, argument):
        line += f'  # or {argument}="{initializer}" where the layer is made'
    return line


def _evidence(state: LayerState, changes: tuple[str, ...] | None) -> dict[str, Any]:
    evidence: dict[str, Any] = {"units": state.units.kernel.shape[1], "inputs": state.units.kernel.shape[0]}
    if state.similarity is not None:
        evidence["distinct"] = state.similarity.distinct
        evidence["rms_cosine"] = state.similarity.rms
        evidence["gain"] = float(np.sqrt(np.square(state.units.kernel, dtype=np.float64).sum(axis=0).mean()))
    if state.verdict == "locked":
        evidence["class_sizes"] = class_sizes(state)
    if state.verdict in ("locked", "dead"):
        evidence |= {"locked": state.locked, "dead": state.dead}
        if changes:
            evidence["released_by"] = list(changes)
    return evidence


def class_sizes(state: LayerState) -> list[int]:
    """Return the sizes of the classes of locked units, largest first."""
    if state.classes is None or not len(state.locked_units):
        return []
    sizes = np.bincount(state.classes[state.locked_units])
    found = sorted((int(size) for size in sizes if size > 1), reverse=True)
    return found or [len(state.locked_units)]  # locked by observation: the classes are not known


def _listed(sizes: list[int], most: int = 4) -> str:
    shown = ", ".join(map(str, sizes[:most]))
    return f"{shown}, ..." if len(sizes) > most else shown


def _is_zero(state: LayerState) -> bool:
    return not state.units.kernel[:, state.dead_units].any()
