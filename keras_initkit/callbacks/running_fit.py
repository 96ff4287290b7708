"""What Keras does not tell its callbacks about the `fit` that is running: batch size, first epoch, shapes of the data.

All are local variables of `fit` in every backend.
"""

import inspect
from typing import Any

import keras


def running_batch_size() -> int | None:
    """Return the batch size of the `fit` that is running in a caller, None if there is none or it is not fixed."""
    size = getattr(getattr(_running_fit().get("epoch_iterator"), "data_adapter", None), "batch_size", None)
    return int(size) if size else None


def running_first_epoch() -> int:
    """Return the epochs that the `fit` that is running in a caller takes as done: its `initial_epoch`."""
    return int(_running_fit().get("initial_epoch") or 0)


def running_callbacks() -> list[Any]:
    """Return all callbacks of the `fit` that is running in a caller, those that Keras adds included."""
    callbacks = _running_fit().get("callbacks")
    return list(callbacks.callbacks) if isinstance(callbacks, keras.callbacks.CallbackList) else []


def build_for_running_fit(model: Any) -> bool:
    """Build a model on the shapes of the data it is about to be trained on, without taking a batch of them.

    On TensorFlow, a model without `Input` gets its weights only inside the first step, which changes them at once.
    Built here they are the same, since initializers draw their seeds when the layers are made.

    Returns:
        Whether the model is built now.
    """
    iterator = _running_fit().get("epoch_iterator")
    spec = getattr(getattr(iterator, "_distributed_dataset", None), "element_spec", None)
    if not model.built and isinstance(spec, tuple) and spec:
        inputs = keras.tree.map_structure(
            lambda part: keras.KerasTensor(tuple(part.shape), keras.backend.standardize_dtype(part.dtype)), spec[0]
        )
        model(inputs)
    return bool(model.built)


def _running_fit() -> dict[str, Any]:
    """Return the local variables of the innermost `fit` in a caller, none if there is none."""
    frame = inspect.currentframe()
    while frame is not None:
        if "epoch_iterator" in frame.f_locals:
            return dict(frame.f_locals)
        frame = frame.f_back
    return {}
