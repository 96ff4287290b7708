"""What the forward pass of one batch says about the scale of a start: exploding, vanishing, saturated, dead."""

from typing import Any

from keras_initkit.inspection.finding import Finding
from keras_initkit.inspection.layer_code import layer_expression, main_variable, new_values, suggested_initializer
from keras_initkit.inspection.signal import LayerSignal, first_not_finite
from keras_initkit.inspection.start_loss import StartLoss
from keras_initkit.units.reading import UnitReader

# A layer that keeps the scale has a ratio near 1; He and Glorot weights stay within a factor of two or three of it.
_LARGEST_RATIO = 10.0
_SMALLEST_RATIO = 0.1
# Of values at unit scale 1 % lie where tanh is saturated; half of them do at five times that scale.
_MOST_SATURATED = 0.5
_MOST_DEAD = 0.5
# Ten times the loss of not knowing: outputs of the right scale stay within a small factor of it.
_LARGEST_LOSS = 10.0


def signal_findings(reader: UnitReader, signals: dict[str, LayerSignal], input_rms: float) -> list[Finding]:
    """Return findings about hidden layers that pass on much more, much less, or nothing of what they get.

    A layer is `exploding` if what reaches its activation is more than 10 times as large (root mean square) as what the
    layer before gives, `vanishing` if it is less than a tenth of it; `saturated` if more than half of its outputs lie
    where a bounded activation is flat; `dead` if more than half of its ReLU units give zero for the whole batch.

    Args:
        reader: the hidden layers of the model.
        signals: what `forward_signal` measured.
        input_rms: root mean square of the inputs of the model.
    """
    broken = first_not_finite(signals)
    if broken is not None:
        return [_not_finite(reader, broken, signals[broken])]
    found, before = [], input_rms
    for path, signal in signals.items():
        if path in reader.paths and before > 0:
            reached = signal.pre_activation_rms
            ratio = (signal.mean_square**0.5 if reached is None else reached) / before
            found += _layer_findings(reader, signal, ratio)
        before = signal.mean_square**0.5
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


def _layer_findings(reader: UnitReader, signal: LayerSignal, ratio: float) -> list[Finding]:
    found = []
    if ratio > _LARGEST_RATIO:
        text = f"What reaches the activation is {ratio:.3g} times as large as what the layer before gives."
        found.append(_finding(reader, signal, "exploding", (), text, {"ratio": ratio}))
    elif ratio < _SMALLEST_RATIO:
        text = f"What reaches the activation is only {ratio:.2g} times as large as what the layer before gives."
        found.append(_finding(reader, signal, "vanishing", (), text, {"ratio": ratio}))
    if signal.saturated_values is not None and signal.saturated_values > _MOST_SATURATED:
        text = f"{signal.saturated_values:.0%} of the outputs lie where the activation is flat: gradients vanish there."
        units = signal.saturated_units or ()
        found.append(_finding(reader, signal, "saturated", units, text, {"share": signal.saturated_values}))
    if signal.dead is not None and signal.dead > _MOST_DEAD:
        units = signal.dead_units or ()
        text = f"{len(units)} of {signal.units} units give zero for every sample of the batch: no gradient there."
        found.append(_finding(reader, signal, "dead", units, text, {"share": signal.dead}))
    return found


def _finding(
    reader: UnitReader, signal: LayerSignal, verdict: str, units: tuple[int, ...], cause: str, evidence: dict[str, Any]
) -> Finding:
    return Finding(signal.layer, verdict, "warning", units, cause, _fix(reader, signal.layer), evidence)


def _not_finite(reader: UnitReader, path: str, signal: LayerSignal) -> Finding:
    cause = f"{signal.not_finite} of the outputs for this batch are NaN or infinite; they begin in this layer."
    fix = _fix(reader, path) if path in reader.paths else "# look at the scale of the inputs and of the weights before"
    return Finding(path, "exploding", "error", (), cause, fix, {"not_finite": signal.not_finite})


def _fix(reader: UnitReader, path: str) -> str:
    layer = reader.layer(path)
    name = main_variable(layer)
    expression = layer_expression(reader.model, path)
    if name is None:
        return f"# scale the inputs to unit variance, or draw the weights of {expression} at another scale"
    initializer = suggested_initializer(getattr(getattr(layer, "activation", None), "__name__", None))
    return new_values(expression, name, initializer) + "  # or scale the inputs to unit variance"
