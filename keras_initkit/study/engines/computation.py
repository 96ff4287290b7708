"""Whether two models of a study differ in nothing but the values of their variables."""

import re
from typing import Any

import keras
import numpy as np

from keras_initkit.study.data import StudyData
from keras_initkit.tracking.fingerprint import model_sha256

OWN_TRAINING = ("train_step", "test_step", "compute_loss", "compute_metrics", "make_train_function", "fit")


def same_computation(one: Any, other: Any) -> bool:
    """Return whether the compiled training function of one model serves the other, once it has its variables.

    Required are the same architecture, optimizer and compile arguments, and no training step of the user's own, nor
    state that Keras does not know, since neither can be compared.
    """
    if type(one) is not type(other) or own_training(one) or foreign_state(one):
        return False
    return _facts(one) == _facts(other)


def same_function(one: Any, other: Any, data: StudyData) -> bool:
    """Return whether the outputs of two models of the same computation agree once they have the same variables.

    What is no variable and in no config, such as a constant drawn while a model was built, shows here alone. Neither
    model is changed: random states that a call advances stay.
    """
    inputs, values = data.one_batch(), [variable.value for variable in other.variables]
    with keras.StatelessScope(list(zip(one.variables, values, strict=True))):
        ours = keras.tree.flatten(one(inputs, training=False))
    with keras.StatelessScope(list(zip(other.variables, values, strict=True))):
        theirs = keras.tree.flatten(other(inputs, training=False))
    pairs = zip(map(keras.ops.convert_to_numpy, ours), map(keras.ops.convert_to_numpy, theirs), strict=True)
    return all(np.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True) for a, b in pairs)


def own_training(model: Any) -> list[str]:
    """Return the methods of training that the user's class has of its own."""
    return [name for name in OWN_TRAINING if getattr(type(model), name, None) is not getattr(keras.Model, name, None)]


def foreign_state(model: Any) -> list[str]:
    """Return the names of the layers that hold a variable of the backend itself."""
    return [
        layer.name
        for layer in [model, *model._flatten_layers(include_self=False)]
        for value in vars(layer).values()
        if type(value).__name__ in ("ResourceVariable", "Parameter") and not isinstance(value, keras.Variable)
    ]


def _facts(model: Any) -> tuple[Any, ...]:
    compiled = {
        name: repr(getattr(model, name, None)) for name in ("jit_compile", "run_eagerly", "steps_per_execution")
    }
    # Keras numbers variables without a name per process.
    variables = [(re.sub(r"_\d+$", "", v.name), tuple(v.shape), v.dtype, v.trainable) for v in model.variables]
    optimizer = without_names(model.optimizer.get_config())
    return model_sha256(model), type(model.optimizer), repr(optimizer), compiled, variables


def without_names(config: Any) -> Any:
    """Return the configuration of an optimizer without names, which Keras counts per process, inner ones too."""
    if isinstance(config, dict):
        return {key: without_names(value) for key, value in config.items() if key != "name"}
    return config
