"""Training without random weights: ZerO and IDInit reach the loss of He's scheme (Zhao et al. 2022, table 1)."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_initkit.initializers as kit
from tests.benchmarks.initializers.row import Row


def final(initializer: Any, epochs: int, seed: int) -> tuple[float, float]:
    """Return loss and accuracy on the held-out third of digits."""
    images, labels = load_digits(return_X_y=True)
    x = (images / 16).astype("float32")
    hidden = [keras.layers.Dense(64, "relu", kernel_initializer=initializer) for _ in range(4)]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10, kernel_initializer=initializer)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), loss, metrics=["accuracy"])
    order = np.random.default_rng(seed).permutation(1200)
    model.fit(x[order], labels[order], batch_size=32, epochs=epochs, shuffle=False, verbose=0)
    loss, accuracy = model.evaluate(x[1200:], labels[1200:], batch_size=597, verbose=0)
    return loss, accuracy


def rows(quick: bool) -> Iterator[Row]:
    """Train on digits with each scheme; the seeds of the deterministic ones are those of the batches alone."""
    schemes = {"he_normal": "he_normal", "ZerO": kit.ZerO(), "IDInit": kit.IDInit(), "Hadamard": kit.Hadamard()}
    for name, scheme in schemes.items():
        found = [final(kit.Distinct(scheme, seed=seed), 1 if quick else 20, seed) for seed in range(1 if quick else 5)]
        loss, accuracy = np.mean(found, axis=0)
        yield Row(f"digits, 64-64-64-64-64-10: {name}", "as good as He's", f"loss {loss:.3f}, accuracy {accuracy:.1%}")
