"""What a compiled model is: architecture and optimizer as params."""

from typing import Any

import numpy as np

from keras_initkit.tracking.fingerprint import model_sha256
from keras_initkit.tracking.text import plain


def model_params(model: Any) -> dict[str, Any]:
    """Return class, architecture digest, number of weights and loss of a compiled model."""
    return {
        "model/class": type(model).__name__,
        "model/sha": model_sha256(model),
        "model/n_params": int(model.count_params()) if model.built else "not built",
        "model/loss": _label(model.loss),
    }


def optimizer_params(optimizer: Any) -> dict[str, Any]:
    """Return `optimizer/name`, `optimizer/lr` and the rest of the optimizer's config, in the precision Keras keeps."""
    import keras

    if not isinstance(optimizer, keras.optimizers.Optimizer):
        return {"optimizer/name": _label(optimizer)}
    config = optimizer.get_config()
    rate = config.pop("learning_rate", None)
    if not isinstance(rate, dict):
        rate = np.asarray(optimizer.learning_rate.numpy())
    config.pop("name", None)
    params = {"optimizer/name": type(optimizer).__name__, "optimizer/lr": rate}
    return params | {f"optimizer/{key}": plain(value) for key, value in config.items() if value is not None}


def _label(value: Any) -> Any:
    """Return a name for a loss or optimizer given as text, function, class, object, or a structure of these."""
    if isinstance(value, dict):
        return {key: _label(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_label(entry) for entry in value]
    if value is None or isinstance(value, str):
        return value
    return getattr(value, "__name__", type(value).__name__)
