"""Activations as Keras users write them, made into functions of NumPy arrays; what a configuration keeps of them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_initkit._checks import check_choice, check_number, describe
from keras_initkit.theory.activations import ACTIVATIONS, Activation, Array
from keras_initkit.theory.elementwise import Elementwise

_MIXING = ("softmax", "log_softmax", "sparsemax", "glu")


class NamedActivation(NamedTuple):
    """An activation and what to call it.

    Attributes:
        name: a name in `ACTIVATIONS`, or a label that stands for a function no name leads back to.
        function: the function on NumPy arrays, an `Elementwise`; None if only the label is left.
        known: whether the name leads back to the function.
    """

    name: str
    function: Any
    known: bool


def named_activation(activation: Any, number: float | None = None) -> NamedActivation:
    """Return an activation given by name, as a function or as a Keras layer.

    Args:
        activation: a name in `keras_initkit.theory.ACTIVATIONS`, one of Keras' functions, an activation layer of Keras
            such as `keras.layers.LeakyReLU(0.3)`, or an elementwise function written in NumPy or in `keras.ops`.
        number: what was computed from the activation, if it is known; any name will do then.

    Raises:
        ValueError: if the name is unknown, or the function is not elementwise or cannot be evaluated.
    """
    if isinstance(activation, keras.layers.Activation):
        activation = activation.activation
    if isinstance(activation, str):
        if number is None or activation in ACTIVATIONS:
            return NamedActivation(_checked_name(activation), ACTIVATIONS[activation], True)
        return NamedActivation(activation, None, False)
    if not callable(activation) or isinstance(activation, type):
        raise ValueError(
            "Expected `activation` to be a name, an elementwise function or an activation layer. "
            f"Received: activation={describe(activation)}. {_hint(activation)}"
        )
    name = getattr(activation, "__name__", type(activation).__name__)
    if name in ACTIVATIONS and getattr(keras.activations, name, None) is activation:
        return NamedActivation(name, ACTIVATIONS[name], True)
    function = Elementwise.of(_on_arrays(activation, name), name) if number is None else None
    return NamedActivation(name, function, False)


def kept_number(name: str, number: float | None, named: NamedActivation, compute: Callable[[Any], float]) -> float:
    """Return the number that is made from an activation: as given, or computed from the function."""
    if number is not None:
        return check_number(name, number, minimum=0.0, exclusive=True)
    return compute(named.name if named.known else named.function)


def _checked_name(name: str) -> str:
    if name in _MIXING:
        raise ValueError(
            f"Expected `activation` to be elementwise. Received: activation={name!r}, whose outputs depend on several "
            "inputs, so that it has no gain. For the layer before it take 'linear'."
        )
    return check_choice("activation", name, sorted(ACTIVATIONS))


def _hint(activation: Any) -> str:
    if isinstance(activation, type):
        return f"Give an instance: {activation.__name__}()."
    return "None is not an activation; for a linear layer write 'linear'." if activation is None else ""


def _on_arrays(activation: Callable[[Any], Any], name: str) -> Activation:
    """Return the activation as a function of float64 arrays, whatever numbers it computes with itself."""
    if isinstance(activation, keras.layers.Layer):
        activation = _in_float32(activation)
    failure: Exception | None = None
    for convert in (np.asarray, _tensor):
        try:
            values = activation(convert(np.linspace(-1.0, 1.0, 5)))
        except Exception as error:  # the user's own function may fail with anything
            failure = error
        else:
            return activation if isinstance(values, np.ndarray) else partial(_evaluate, activation, convert)
    raise ValueError(
        "Expected `activation` to be an elementwise function of one array, in NumPy or `keras.ops`. "
        f"Received: {name}, which fails on an array of shape (5,): {type(failure).__name__}: {failure}"
    ) from failure


def _tensor(values: Any) -> Any:
    return ops.convert_to_tensor(values, dtype="float32")


def _evaluate(activation: Callable[[Any], Any], convert: Callable[[Any], Any], z: Array) -> Array:
    """Return f(z) by way of tensors, of few different sizes, since backends may compile f anew for each."""
    padded = np.zeros(max(2**10, 2 ** (z.size - 1).bit_length()))
    padded[: z.size] = z
    values = np.asarray(ops.convert_to_numpy(activation(convert(padded))))
    return values[: z.size] if values.shape == padded.shape else values


def _in_float32(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Return a copy of an activation layer that does not round to the dtype of a mixed policy."""
    copy = type(layer).from_config({**layer.get_config(), "dtype": "float32"})
    copy(np.zeros(5))
    if copy.weights:
        raise ValueError(
            f"Expected `activation` to be a layer without weights. Received: {type(layer).__name__}, whose function "
            "changes in training. Name the function that it starts from, as 'relu' for a PReLU of zeros."
        )
    return copy
