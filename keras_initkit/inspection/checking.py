"""Whether a model can be inspected, and whether a batch fits it."""

from typing import Any

import keras
import numpy as np

from keras_initkit._checks import check_finite, describe


def check_model(model: Any) -> None:
    """Raise unless this is a built Keras model."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"Expected `model` to be a Keras model. Received: model={describe(model)}.")
    if not model.built or (not model.variables and any(not layer.built for layer in model.layers)):
        raise ValueError(
            f"Expected a built model. Received: model={model.name!r}, which has no weights yet. Give it an `Input`, or "
            "call it on one batch first."
        )


def check_batch(model: Any, x: Any, y: Any) -> None:
    """Raise unless the arrays of a batch have as many samples each, and the shapes that a functional model takes."""
    arrays = keras.tree.flatten((x, y))
    lengths = {len(part) for part in arrays if getattr(part, "shape", ()) != ()}
    if any(part is not None and not hasattr(part, "shape") for part in arrays) or len(lengths) != 1 or 0 in lengths:
        shapes = ", ".join(str(np.shape(part)) for part in arrays if part is not None)
        raise ValueError(
            "Expected `x` and `y` to hold arrays with the same number of samples, at least one. Received: arrays of "
            f"shapes {shapes}."
        )
    for part in keras.tree.flatten(x):
        check_finite("x", np.asarray(keras.ops.convert_to_numpy(part)), "Take them out, or replace them.")
    specs, given = getattr(model, "inputs", None), keras.tree.flatten(x)
    if not specs:
        return
    expected = [tuple(spec.shape) for spec in keras.tree.flatten(specs)]
    received = [tuple(part.shape) for part in given]
    if len(expected) != len(received) or not all(map(_fits, expected, received)):
        raise ValueError(
            f"Expected `x` to have the shapes that the model takes: {_listed(expected)}. Received: {_listed(received)}."
        )


def _fits(expected: tuple[Any, ...], received: tuple[Any, ...]) -> bool:
    return len(expected) == len(received) and all(
        wanted is None or wanted == size for wanted, size in zip(expected, received, strict=True)
    )


def _listed(shapes: list[tuple[Any, ...]]) -> str:
    return ", ".join(str(shape).replace("None", "any") for shape in shapes)
