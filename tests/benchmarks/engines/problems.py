"""The models that are timed, with their data: small ones, as they are trained over many seeds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_initkit.study import digits

Data = tuple[tuple[Any, Any], tuple[Any, Any]]  # (x, y), (x_validation, y_validation)


@dataclass(frozen=True)
class Problem:
    """What a study gets.

    Attributes:
        title: what is trained, for the table.
        build_model: function from an initializer to a compiled model.
        load: gives training and validation data.
    """

    title: str
    build_model: Callable[[Any], Any]
    load: Callable[[], Data]


def problem(name: str) -> Problem:
    """Return a problem by its name: one of `PROBLEMS`, or `mlp-W` for hidden layers of W units."""
    if name in PROBLEMS:
        return PROBLEMS[name]
    width = int(name.removeprefix("mlp-"))
    return Problem(f"MLP 64-{width}-{width}-{width}-10", lambda initializer: _mlp(initializer, width), digits.load)


def _mlp(initializer: Any, width: int) -> Any:
    hidden = [keras.layers.Dense(width, "relu", kernel_initializer=initializer) for _ in range(3)]
    output = keras.layers.Dense(10, "softmax", kernel_initializer=initializer)
    model = keras.Sequential([keras.Input((64,)), *hidden, output])
    # Wide networks diverge with the rate of the narrow ones.
    model.compile(keras.optimizers.SGD(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _convolutions(initializer: Any) -> Any:
    layers = keras.layers
    shared = {"padding": "same", "activation": "relu", "kernel_initializer": initializer}
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, **shared),
            layers.Conv2D(16, 3, **shared),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, "softmax", kernel_initializer=initializer),
        ]
    )
    return _compiled(model)


def _attention(initializer: Any) -> Any:
    layers = keras.layers
    rows = keras.Input((8, 8))
    tokens = layers.Dense(32, kernel_initializer=initializer)(rows)
    mixed = layers.MultiHeadAttention(2, 16, kernel_initializer=initializer)(tokens, tokens)
    tokens = layers.LayerNormalization()(layers.Add()([tokens, mixed]))
    fed = layers.Dense(64, "relu", kernel_initializer=initializer)(tokens)
    fed = layers.Dense(32, kernel_initializer=initializer)(fed)
    tokens = layers.LayerNormalization()(layers.Add()([tokens, fed]))
    output = layers.Dense(10, "softmax", kernel_initializer=initializer)(layers.Flatten()(tokens))
    return _compiled(keras.Model(rows, output))


def _recurrent(initializer: Any) -> Any:
    layers = keras.layers
    output = layers.Dense(10, "softmax", kernel_initializer=initializer)
    return _compiled(keras.Sequential([keras.Input((8, 8)), layers.LSTM(32, kernel_initializer=initializer), output]))


def _wide(initializer: Any) -> Any:
    hidden = [keras.layers.Dense(512, "relu", kernel_initializer=initializer) for _ in range(2)]
    output = keras.layers.Dense(10, "softmax", kernel_initializer=initializer)
    return _compiled(keras.Sequential([keras.Input((784,)), *hidden, output]))


def _compiled(model: Any) -> Any:
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _shaped(*shape: int) -> Data:
    (x, y), (x_validation, y_validation) = digits.load()
    return (x.reshape(-1, *shape), y), (x_validation.reshape(-1, *shape), y_validation)


def _made() -> Data:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2560, 784)).astype(np.float32), rng.integers(0, 10, 2560)
    return (x[:2048], y[:2048]), (x[2048:], y[2048:])


PROBLEMS = {
    "mlp": Problem("MLP 64-64-64-64-10", digits.build_model, digits.load),
    "convolutions": Problem("two convolutions, 8x8x1", _convolutions, lambda: _shaped(8, 8, 1)),
    "attention": Problem("one attention block, 8 tokens", _attention, lambda: _shaped(8, 8)),
    "lstm": Problem("LSTM(32), 8 steps", _recurrent, lambda: _shaped(8, 8)),
    "wide": Problem("MLP 784-512-512-10, made data, Adam", _wide, _made),
}
