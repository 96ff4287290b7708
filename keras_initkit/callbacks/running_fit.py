"""What Keras does not tell its callbacks about the `fit` that is running: batch size and shapes of the data.

Both are known to the iterator over the data, a local variable of `fit` in every backend.
"""

import inspect
from typing import Any

import keras


def running_batch_size() -> int | None:
    """Return the batch size of the `fit` that is running in a caller, None if there is none or it is not fixed."""
    size = getattr(getattr(_running_iterator(), "data_adapter", None), "batch_size", None)
    return int(size) if size else None


def build_for_running_fit(model: Any) -> bool:
    """Build a model on the shapes of the data it is about to be trained on, without taking a batch of them.

    On TensorFlow, a model without `Input` gets its weights only inside the first step, which changes them at once.
    Built here they are the same, since initializers draw their seeds when the layers are made.

    Returns:
        Whether the model is built now.
    """
    spec = getattr(getattr(_running_iterator(), "_distributed_dataset", None), "element_spec", None)
    if not model.built and isinstance(spec, tuple) and spec:
        inputs = keras.tree.map_structure(
            lambda part: keras.KerasTensor(tuple(part.shape), keras.backend.standardize_dtype(part.dtype)), spec[0]
        )
        model(inputs)
    return bool(model.built)


def _running_iterator() -> Any:
    frame = inspect.currentframe()
    while frame is not None:
        if "epoch_iterator" in frame.f_locals:
            return frame.f_locals["epoch_iterator"]
        frame = frame.f_back
    return None
