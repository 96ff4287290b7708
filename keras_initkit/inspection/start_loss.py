"""The loss before the first step, against that of a model that knows nothing yet."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.inspection.gradients import as_tensors
from keras_initkit.inspection.noise import noise_as
from keras_initkit.inspection.restoring import preserved
from keras_initkit.units.arrays import to_numpy


@dataclass(frozen=True)
class StartLoss:
    """The loss of a batch before training.

    Attributes:
        value: the compiled loss of the batch, without regularisation.
        expected: the loss of a model that gives every sample the same, uninformed answer; None if it is not known.
        meaning: what the expected loss is, in words; empty if it is not known.
    """

    value: float
    expected: float | None
    meaning: str


# Loss: its value for a model that knows nothing, from targets (B, ...) and the number of classes; and what that is.
_Expectation = tuple[Callable[[NDArray[Any], int], float], str]
_EXPECTED: dict[str, _Expectation] = {
    "sparse_categorical_crossentropy": (lambda _, classes: math.log(classes), "log C: all C classes alike"),
    "categorical_crossentropy": (lambda _, classes: math.log(classes), "log C: all C classes alike"),
    "binary_crossentropy": (lambda *_: math.log(2), "log 2: both classes alike"),
    "mean_squared_error": (lambda y, _: float(y.var(axis=0).mean()), "the variance of y: always its mean"),
    "mean_absolute_error": (
        lambda y, _: float(np.abs(y - np.median(y, axis=0)).mean()),
        "the mean distance of y from its median: always that",
    ),
}


def start_loss(model: Any, x: Any, y: Any) -> StartLoss | None:
    """Return the loss of a batch before training, and the one to expect; the model is left as it was.

    A first loss well above the expected one says that the outputs are too large: the first steps are spent on undoing
    them. Known are cross-entropy over C classes (log C), binary cross-entropy (log 2), mean squared error (the variance
    of y) and mean absolute error, for models with one loss, not weighted, averaged over the batch.

    Args:
        model: a built Keras model.
        x: one batch of inputs.
        y: its targets.

    Returns:
        The `StartLoss`; None if the model is not compiled with a loss.

    Reference:
        Karpathy, 2019, "A Recipe for Training Neural Networks".
    """
    if not getattr(model, "compiled", False) or model._compile_loss is None:
        return None
    arguments = {"training": True} if model._call_has_training_arg else {}
    with preserved(model), noise_as(False, model):
        outputs = model(as_tensors(x), **arguments)
        value = float(to_numpy(model._compile_loss(as_tensors(y), outputs)))
        rule = _EXPECTED.get(_name_of_loss(model) or "")
        targets, predicted = keras.tree.flatten(y), keras.tree.flatten(outputs)
        if rule is None or len(targets) != 1 or len(predicted) != 1:
            return StartLoss(value, None, "")
        expected, meaning = rule
        known = to_numpy(keras.ops.convert_to_tensor(targets[0])).astype(np.float64)
        return StartLoss(value, expected(known, int(predicted[0].shape[-1])), meaning)


def _name_of_loss(model: Any) -> str | None:
    """Return Keras' name of the function behind the one loss of a model, None if there are several or it is another."""
    losses = keras.tree.flatten(model.loss)
    if len(losses) != 1 or model._compile_loss._user_loss_weights is not None:
        return None
    loss = keras.losses.get(losses[0])
    if getattr(loss, "reduction", "sum_over_batch_size") not in ("sum_over_batch_size", "mean"):
        return None
    function = getattr(loss, "fn", loss)
    name = getattr(function, "__name__", None)
    return name if name is not None and getattr(keras.losses, name, None) is function else None
