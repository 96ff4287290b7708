"""Whether two models of a study differ in nothing but the values of their variables."""

from typing import Any

import keras

from keras_initkit.tracking.fingerprint import model_sha256

_TRAINING = ("train_step", "test_step", "compute_loss", "compute_metrics", "make_train_function")


def same_computation(one: Any, other: Any) -> bool:
    """Return whether the compiled training function of one model serves the other, once it has its variables.

    Required are the same architecture, optimizer and compile arguments, and no training step of the user's own, nor
    state that Keras does not know, since neither can be compared.
    """
    if type(one) is not type(other) or _has_own_training(one) or _has_foreign_state(one):
        return False
    return _facts(one) == _facts(other)


def _facts(model: Any) -> tuple[Any, ...]:
    compiled = {
        name: repr(getattr(model, name, None)) for name in ("jit_compile", "run_eagerly", "steps_per_execution")
    }
    variables = [(v.name, tuple(v.shape), v.dtype) for v in model.variables]
    optimizer = model.optimizer.get_config()
    optimizer.pop("name", None)
    return model_sha256(model), type(model.optimizer), repr(optimizer), compiled, variables


def _has_own_training(model: Any) -> bool:
    return any(getattr(type(model), name, None) is not getattr(keras.Model, name, None) for name in _TRAINING)


def _has_foreign_state(model: Any) -> bool:
    """Return whether some layer holds a variable of the backend itself."""
    return any(
        type(value).__name__ in ("ResourceVariable", "Parameter") and not isinstance(value, keras.Variable)
        for layer in [model, *model._flatten_layers(include_self=False)]
        for value in vars(layer).values()
    )
