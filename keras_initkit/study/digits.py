"""The problem of `keras-initkit compare` without arguments: scikit-learn's handwritten digits, without download."""

from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

TARGET = "val_accuracy >= 0.9"


def initializers() -> dict[str, Any]:
    """Return the initializers that are compared if none are named."""
    return {
        "zeros": "zeros",
        "ones": "ones",
        "constant_0.5": keras.initializers.Constant(0.5),
        "normal_0.01": keras.initializers.RandomNormal(stddev=0.01),
        "glorot_uniform": "glorot_uniform",
        "he_normal": "he_normal",
        "lecun_normal": "lecun_normal",
        "orthogonal": "orthogonal",
        "ZerO": "keras_initkit>ZerO",
    }


def load() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Return `(x, y), (x_validation, y_validation)`: 1,437 and 360 images of 8 x 8 pixels in [0, 1], ten classes."""
    images, labels = load_digits(return_X_y=True)
    x, x_validation, y, y_validation = train_test_split(
        (images / 16).astype(np.float32), labels, test_size=0.2, stratify=labels, random_state=0
    )
    return (x, y), (x_validation, y_validation)


def build_model(kernel_initializer: Any) -> Any:
    """Return a compiled perceptron with three hidden layers of 64 ReLU units, all kernels initialised alike."""
    dense = keras.layers.Dense
    hidden = [dense(64, "relu", kernel_initializer=kernel_initializer, name=f"hidden_{n}") for n in (1, 2, 3)]
    output = dense(10, "softmax", kernel_initializer=kernel_initializer, name="output")
    model = keras.Sequential([keras.Input((64,)), *hidden, output])
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
