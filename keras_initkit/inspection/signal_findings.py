"""What the forward pass of one batch says about the scale of a start: exploding, vanishing, saturated, dead."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_initkit.inspection.finding import Finding
from keras_initkit.inspection.layer_code import layer_expression, main_variable, new_values, suggested_initializer
from keras_initkit.inspection.signal import LayerSignal, first_not_finite
from keras_initkit.inspection.start_loss import StartLoss
from keras_initkit.inspection.state import LayerState
from keras_initkit.units.reading import UnitReader, layer_paths

# A layer that keeps the scale has a ratio near 1; He and Glorot weights stay within a factor of two or three of it.
_LARGEST_RATIO = 10.0
_SMALLEST_RATIO = 0.1
# Activations are made for values around 1; raw inputs in the hundreds need very small weights.
_LARGEST_FIRST = 30.0
# Of values at unit scale 1 % lie where tanh is saturated; half of them do at five times that scale.
_MOST_SATURATED = 0.5
_MOST_DEAD = 0.5
# Ten times the loss of not knowing: outputs of the right scale stay within a small factor of it.
_LARGEST_LOSS = 10.0


def signal_findings(reader: UnitReader, states: Sequence[LayerState], signals: dict[str, LayerSignal]) -> list[Finding]:
    """Return findings about layers that pass on much more, much less, or nothing of what they get.

    A hidden layer is `exploding` if what reaches its activation is more than 10 times as large (root mean square) as
    what reaches the layer, or if it is the first one and large inputs bring it beyond 30; `vanishing` if it is
    less than a tenth of that; `saturated` if more than half of its outputs lie where a bounded activation is flat. Any
    layer is `dead` if more than half of its ReLU units, other than those without any weights, which the network itself
    tells of, give zero for the whole batch; if all of them do, nothing passes, which is an error.

    Args:
        reader: the hidden layers of the model.
        states: what their weights say.
        signals: what `forward_signal` measured.
    """
    broken = first_not_finite(signals)
    if broken is not None:
        return [_not_finite(reader, broken, signals[broken])]
    layers = dict(layer_paths(reader.model))
    found, first = [], True
    silent = {state.units.layer: set(np.flatnonzero(~state.units.kernel.any(axis=0)).tolist()) for state in states}
    for path, signal in signals.items():
        if not layers[path].trainable_variables and layers[path].variables:
            continue  # frozen: it is not meant to learn
        found += _dead_units(reader, signal, silent.get(path, set()))
        reached, before = signal.pre_activation_rms, signal.input_rms
        # Tokens have no size, and a layer of zeros is judged by what the network does with it.
        tokens = isinstance(layers[path], keras.layers.Embedding)
        if path in reader.paths and before and not tokens and signal.mean_square > 0:
            size = signal.mean_square**0.5 if reached is None else reached
            found += _scale(reader, signal, size, before, first)
            first = False
    return found


def loss_note(loss: StartLoss | None) -> str | None:
    """Return a sentence about a first loss far above that of a model that knows nothing, None if it is in order."""
    if loss is None or loss.expected is None or not loss.expected > 0:
        return None
    if loss.value <= _LARGEST_LOSS * loss.expected:
        return None
    return (
        f"The loss of this batch is {loss.value:.4g}; a model that knows nothing has {loss.expected:.4g} "
        f"({loss.meaning}). The outputs are too large."
    )


def _scale(reader: UnitReader, signal: LayerSignal, size: float, before: float, first: bool) -> list[Finding]:
    found = []
    ratio = size / before
    evidence = {"ratio": ratio, "pre_activation_rms": size}
    if ratio > _LARGEST_RATIO:
        text = f"What reaches the activation is {ratio:.3g} times as large as what reaches the layer."
        found.append(_finding(reader, signal.layer, "exploding", (), text, evidence))
    elif ratio < _SMALLEST_RATIO:
        text = f"What reaches the activation is only {ratio:.2g} times as large as what reaches the layer."
        found.append(_finding(reader, signal.layer, "vanishing", (), text, evidence))
    elif first and size > _LARGEST_FIRST:
        text = f"The inputs are of size {before:.3g} (root mean square), and bring the activation to {size:.3g}."
        fix = "x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-7)  # or a keras.layers.Normalization layer in front"
        found.append(Finding(signal.layer, "exploding", "warning", (), text, fix, evidence))
    if signal.saturated_values is not None and signal.saturated_values > _MOST_SATURATED:
        text = f"{signal.saturated_values:.0%} of the outputs lie where the activation is flat: gradients vanish there."
        units = signal.saturated_units or ()
        found.append(_finding(reader, signal.layer, "saturated", units, text, {"share": signal.saturated_values}))
    return found


def _dead_units(reader: UnitReader, signal: LayerSignal, silent: set[int]) -> list[Finding]:
    dead = [unit for unit in signal.dead_units or () if unit not in silent]
    if len(dead) <= _MOST_DEAD * signal.units:
        return []
    text = f"{len(dead)} of {signal.units} units give zero for every sample of the batch: no gradient there."
    evidence = {"share": len(dead) / signal.units}
    severity = "error" if len(dead) == signal.units else "warning"
    return [_finding(reader, signal.layer, "dead", tuple(dead), text, evidence, severity)]


def _finding(
    reader: UnitReader,
    path: str,
    verdict: str,
    units: tuple[int, ...],
    cause: str,
    evidence: dict[str, Any],
    severity: str = "warning",
) -> Finding:
    return Finding(path, verdict, severity, units, cause, _fix(reader, path), evidence)


def _not_finite(reader: UnitReader, path: str, signal: LayerSignal) -> Finding:
    cause = f"{signal.not_finite} of the outputs for this batch are NaN or infinite; they begin in this layer."
    return _finding(reader, path, "exploding", (), cause, {"not_finite": signal.not_finite}, "error")


def _fix(reader: UnitReader, path: str) -> str:
    layer = dict(layer_paths(reader.model)).get(path)
    name = None if layer is None else main_variable(layer)
    if name is None:
        return "# scale the inputs to unit variance, or draw the weights before this layer at another scale"
    initializer = suggested_initializer(getattr(getattr(layer, "activation", None), "__name__", None))
    line = new_values(layer_expression(reader.model, path), name, initializer)
    return f"{line}  # or scale the inputs to unit variance"
