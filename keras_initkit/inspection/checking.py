"""Whether a model can be inspected at all."""

from typing import Any

import keras

from keras_initkit._checks import describe


def check_model(model: Any) -> None:
    """Raise unless this is a built Keras model."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"Expected `model` to be a Keras model. Received: model={describe(model)}.")
    if not model.built or (not model.variables and any(not layer.built for layer in model.layers)):
        raise ValueError(
            f"Expected a built model. Received: model={model.name!r}, which has no weights yet. Give it an `Input`, or "
            "call it on one batch first."
        )
