"""Whether the stacked engine can give what `fit` gives for a model, and why not."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.study.engines.computation import foreign_state, own_training
from keras_initkit.study.engines.group import Training
from keras_initkit.study.engines.pure_step import PureStep
from keras_initkit.units.arrays import to_numpy

# Both ways do the same operations, in an order that may differ.
_TOLERANCE = 1e-3
# Of a step, for one half of the weights at least.
_TYPICAL_TOLERANCE = 1e-3
# Gradients that are zero but for rounding become whole steps with Adam, in whatever direction.
_STEP_TOLERANCE = 0.3


def reason_against_stacking(model: Any, training: Training) -> str:
    """Return why replicas of a model cannot be trained as one program with the results of `fit`; "" if they can.

    Args:
        model: a built and compiled model of the study.
        training: what the replicas share.
    """
    optimizer, backend = model.optimizer, keras.backend.backend()
    own, foreign = own_training(model), foreign_state(model)
    checks = {
        f"the {backend} backend has no way to map a training step over replicas": backend not in ("tensorflow", "jax"),
        "`callbacks` are called with one model at a time": bool(training.callbacks),
        f"the model has its own {_listed(own)}": bool(own),
        "the model is compiled with run_eagerly=True": bool(model.run_eagerly),
        f"the layer {_listed(foreign)} holds a variable that Keras does not know": bool(foreign),
        "the data are texts": _has_texts(training),
        "the model has no trainable weights": not model.trainable_variables,
        "the weights are distributed over devices": _is_distributed(),
        "gradients are accumulated over steps": backend == "tensorflow"
        and bool(getattr(optimizer, "gradient_accumulation_steps", None)),
        "averaged weights are written back during training": backend == "tensorflow"
        and bool(getattr(optimizer, "ema_overwrite_frequency", None)),
    }
    return next((reason for reason, holds in checks.items() if holds), "")


def first_step_differs(model: Any, step: PureStep, batch: Any) -> str:
    """Return what differs after one step of Keras' own `train_step` and one of `step`; "" if nothing does.

    Custom layers, losses and optimizers can do what a function of the variables cannot, and the first step shows it.
    The variables of the model are changed. On JAX Keras' own step is a function of the variables already.

    Args:
        model: the model, its variables at the values to begin with.
        step: its step.
        batch: a few samples `(x, y, sample_weight)`.
    """
    if keras.backend.backend() != "tensorflow":
        return ""
    before = _values_that_show_everything(step)
    tensors = keras.tree.map_structure(lambda a: None if a is None else keras.ops.convert_to_tensor(a), batch)
    ours, _ = step.train([keras.ops.convert_to_tensor(value) for value in before], tensors)
    model.train_step(tensors)
    theirs = [to_numpy(variable) for variable in step.variables]
    trained = slice(0, step.trainable)
    ours = [keras.ops.convert_to_numpy(value) for value in ours]
    steps = [_difference(after[trained], before[trained]) for after in (theirs, ours)]
    if _size(_difference(steps[0], steps[1])) > _STEP_TOLERANCE * _size(steps[0]) + _TOLERANCE * _size(before[trained]):
        return "the weights after the first step"
    if _most_differ(steps[0], steps[1], before[trained]):
        return "the step of most weights"
    for variable, one, other in list(zip(step.variables, ours, theirs, strict=True))[step.trainable :]:
        if not np.allclose(one, other, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True):
            return f"{variable.path} after the first step"
    return ""


def _values_that_show_everything(step: PureStep) -> list[NDArray[Any]]:
    """Return the variables' values, after weights that are all alike were made different: at zeros nothing shows."""
    random = np.random.default_rng(0)
    for variable in step.variables[: step.trainable]:
        value = to_numpy(variable)
        noise = 0.1 * random.standard_normal(value.shape)
        if value.size and np.all(value == value.flat[0]):
            variable.assign((value + noise).astype(value.dtype))
    return [to_numpy(variable) for variable in step.variables]


def _most_differ(one: list[NDArray[Any]], other: list[NDArray[Any]], before: list[NDArray[Any]]) -> bool:
    """Return whether more than half of the steps differ by more than rounding: a decay that is missed is small."""
    excess = []
    for a, b, value in zip(one, other, before, strict=True):
        unit = 2.0**-7 if value.dtype.itemsize == 2 else float(np.finfo(value.dtype).eps)
        allowed = _TYPICAL_TOLERANCE * np.abs(a) + 8 * unit * np.abs(value.astype(np.float64))
        moved = (a != 0) | (b != 0)
        excess.append((np.abs(a - b) - allowed)[moved])
    every = np.concatenate([np.ravel(part) for part in excess])
    return bool(every.size and np.median(every) > 0)


def _difference(one: list[NDArray[Any]], other: list[NDArray[Any]]) -> list[NDArray[Any]]:
    return [a.astype(np.float64) - b.astype(np.float64) for a, b in zip(one, other, strict=True)]


def _size(parts: list[NDArray[Any]]) -> float:
    return float(np.sqrt(sum(np.sum(np.square(np.asarray(part, np.float64))) for part in parts)))


def _has_texts(training: Training) -> bool:
    return any(
        np.asarray(part).dtype.kind in "OSU"
        for part in keras.tree.flatten(training.data.few_samples)
        if part is not None
    )


def _is_distributed() -> bool:
    if keras.distribution.distribution() is not None:
        return True
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.distribute.has_strategy())


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names))
