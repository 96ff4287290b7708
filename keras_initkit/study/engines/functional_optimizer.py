"""Keras optimizers as functions on TensorFlow, where they change variables in place."""

import functools
from typing import Any

import keras
from keras.src.optimizers.base_optimizer import BaseOptimizer

# The norm of the gradient of an embedding counts a row as often as it was looked up; the base class takes the sum.
_RIGHT_ON_VALUES = ("_clip_by_norm",)


def functional_optimizer(optimizer: Any) -> Any:
    """Return an optimizer whose `stateless_apply` and `finalize_variable_values` work on any backend.

    The result shares the variables of the given one, which is not changed. On TensorFlow `stateless_apply` is refused
    otherwise.

    Args:
        optimizer: a built Keras optimizer.
    """
    if keras.backend.backend() != "tensorflow":
        return optimizer
    kind = type(optimizer)
    functional = type(kind.__name__, (kind, _on_values()), {})
    # Not through `copy`, for which Keras writes and reads a file, and new variables come out.
    twin: Any = object.__new__(functional)
    vars(twin).update(vars(optimizer))
    trained = optimizer._trainable_variables
    _set(twin, "_trainable_variables_indices", {id(variable): place for place, variable in enumerate(trained)})
    # TensorFlow's optimizers know variables by a key of TensorFlow's; values have none.
    excluded = getattr(optimizer, "_exclude_from_weight_decay", ())
    _set(twin, "_exclude_from_weight_decay", {id(v) for v in trained if optimizer._var_key(v) in excluded})
    _set(twin, "_exclude_from_weight_decay_cache", {})
    if hasattr(optimizer, "inner_optimizer"):
        _set(twin, "inner_optimizer", functional_optimizer(optimizer.inner_optimizer))
    return twin


def _set(optimizer: Any, name: str, value: Any) -> None:
    # Keras' own __setattr__ would track the value, in containers that the original shares.
    object.__setattr__(optimizer, name, value)


@functools.cache
def _on_values() -> type:
    """Return a class that stands right before Keras' TensorFlow optimizer and undoes what it overrides.

    What it overrides goes through tf.distribute, which takes nothing but TensorFlow variables; the base class works on
    values. Methods that an optimizer has of its own stand before both and stay.
    """
    from keras.src.backend.tensorflow.optimizer import TFOptimizer

    inherited = {
        name: getattr(BaseOptimizer, name)
        for name in vars(TFOptimizer)
        if not name.startswith("__") and hasattr(BaseOptimizer, name) and name not in _RIGHT_ON_VALUES
    }
    return type("OptimizerOnValues", (TFOptimizer,), inherited)
