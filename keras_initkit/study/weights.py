"""Weights of samples and of classes, with the meaning that `keras.Model.fit` gives them."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import check_number, describe
from keras_initkit.study.arrays import checked_arrays


def checked_sample_weight(name: str, sample_weight: Any, y: Any) -> Any:
    """Return sample weights in the type that Keras computes with, nested like the targets.

    Args:
        name: how the weights are called in errors.
        sample_weight: array with the samples on axis 0, or one such array (or None) per output, nested like `y`. One
            array of shape `(samples,)` or `(samples, 1)` holds for all outputs.
        y: targets, which are checked already.

    Raises:
        ValueError: for weights without targets, another nest than that of the targets, or NaN or infinite values.
            Negative weights are allowed, as in Keras.
    """
    if sample_weight is None:
        return None
    if y is None:
        raise ValueError(f"Expected targets beside `{name}`. Received: {name} without y.")
    if keras.tree.is_nested(sample_weight):
        _check_same_nest(name, sample_weight, y)
        # An output without weights has weight 1.
        sample_weight = keras.tree.map_structure_up_to(
            y, lambda target, weight: np.ones(len(target)) if weight is None else weight, y, sample_weight
        )
    converted = checked_arrays(name, sample_weight)
    converted = keras.tree.map_structure(lambda array: array.astype(keras.config.floatx(), copy=False), converted)
    if not keras.tree.is_nested(y) or keras.tree.is_nested(converted):
        return converted
    if converted.ndim > 2 or (converted.ndim == 2 and converted.shape[1] != 1):
        raise ValueError(
            f"Expected `{name}` to be of shape (samples,) where it holds for several outputs. "
            f"Received: {describe(converted)}. Give one array per output, nested like y."
        )
    return keras.tree.map_structure(lambda _: converted, y)


def checked_class_weight(class_weight: Any) -> dict[int, float] | None:
    """Return class weights as plain numbers.

    Raises:
        ValueError: for anything but a dict from class numbers to finite weights.
    """
    if class_weight is None:
        return None
    is_dict = isinstance(class_weight, Mapping) and len(class_weight) > 0
    if not is_dict or not all(isinstance(key, (int, np.integer)) and key >= 0 for key in class_weight):
        raise ValueError(
            "Expected `class_weight` to be a dict from classes (integers from 0) to weights. "
            f"Received: class_weight={describe(class_weight)}."
        )
    return {int(key): check_number(f"class_weight[{key}]", weight) for key, weight in class_weight.items()}


def check_targets_of_classes(y: Any, sample_weight: Any) -> None:
    """Raise where class weights have no meaning: beside sample weights, without targets, for several outputs."""
    if sample_weight is not None:
        raise ValueError(
            "Expected class weights or sample weights. Received: both. Multiply the sample weights by those of the "
            "classes and give `sample_weight` alone."
        )
    if y is None or keras.tree.is_nested(y):
        received = "no targets" if y is None else f"{len(keras.tree.flatten(y))} arrays of targets"
        raise ValueError(
            f"Expected one array of targets for `class_weight`. Received: {received}. "
            "Give `sample_weight`, for several outputs nested like y."
        )


def sample_weight_of_classes(y: NDArray[Any], class_weight: dict[int, float]) -> NDArray[Any]:
    """Return the weight of every sample: w_i = class_weight[c_i], and 1 for classes that the dict does not name.

    The class c_i is the target itself for shape `(samples,)` or `(samples, 1)`, rounded to an integer, and the place
    of the largest value in the last axis for targets such as one-hot vectors, of shape `(samples, classes)`. These are
    the rules of Keras.

    Args:
        y: targets of shape `(samples,)`, `(samples, 1)` or `(samples, classes)`.
        class_weight: class to weight.

    Returns:
        An array of shape `(samples,)` of type `keras.config.floatx()`.

    Raises:
        ValueError: for text, or targets that hold more than one class per sample.

    Example:

    >>> sample_weight_of_classes(np.array([2, 0, 1]), {0: 3.0, 1: 0.5}).tolist()
    [1.0, 3.0, 0.5]
    """
    classes = y
    if y.ndim > 1:
        classes = y[..., 0] if y.shape[-1] == 1 else np.argmax(y, axis=-1)
    if classes.ndim != 1 or y.dtype.kind not in "biuf":
        raise ValueError(
            "Expected targets of shape (samples,), (samples, 1) or (samples, classes) and a numeric type for "
            f"`class_weight`. Received: y={describe(y)}. Give `sample_weight`."
        )
    found, place = np.unique(np.round(classes).astype(np.int64), return_inverse=True)
    return np.array([class_weight.get(int(c), 1.0) for c in found], keras.config.floatx())[place.reshape(-1)]


def _check_same_nest(name: str, sample_weight: Any, y: Any) -> None:
    try:
        keras.tree.assert_same_structure(y, keras.tree.map_structure(lambda _: 0, sample_weight))
    except (ValueError, TypeError):
        raise ValueError(
            f"Expected `{name}` to be one array, or nested like y with one array per output. Received: {name} of "
            f"structure {_structure(sample_weight)} for y of structure {_structure(y)}."
        ) from None


def _structure(nest: Any) -> Any:
    return keras.tree.map_structure(lambda array: np.shape(array) if array is not None else None, nest)
