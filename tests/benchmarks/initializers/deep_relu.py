"""A rectifier network of 30 layers: He's scheme learns where Glorot's stalls (He et al. 2015, section 2.2)."""

from collections.abc import Iterator

import keras
import numpy as np

import keras_initkit.initializers as kit
from tests.benchmarks.initializers.row import Row

DEPTH, WIDTH, INPUTS, STEPS, BATCH = 30, 64, 20, 600, 64


def problem() -> tuple[np.ndarray, np.ndarray]:
    """Return points of 20 dimensions and on which side of a curved surface each lies."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((4096, INPUTS)).astype("float32")
    hidden = np.tanh(x @ draw.standard_normal((INPUTS, 8)) / np.sqrt(INPUTS) * 2)
    return x, (hidden @ draw.standard_normal(8) > 0).astype("int32")


def network(initializer: object) -> keras.Model:
    """Return the network, compiled with plain SGD of rate 0.05."""
    hidden = [keras.layers.Dense(WIDTH, "relu", kernel_initializer=initializer) for _ in range(DEPTH)]
    model = keras.Sequential([keras.Input((INPUTS,)), *hidden, keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05), loss, metrics=["accuracy"])
    return model


def rows(quick: bool) -> Iterator[Row]:
    """Train each scheme with three seeds."""
    x, y = problem()
    steps = 20 if quick else STEPS
    schemes = {
        "glorot_uniform": "glorot_uniform",
        "he_normal": "he_normal",
        "ScaledOrthogonal('relu')": kit.ScaledOrthogonal("relu"),
    }
    for name, scheme in schemes.items():
        losses, accuracies = [], []
        for seed in range(1 if quick else 3):
            model = network(kit.Distinct(scheme, seed=seed))
            order = np.random.default_rng(seed).integers(0, len(x), steps * BATCH)
            model.fit(x[order], y[order], batch_size=BATCH, shuffle=False, verbose=0)
            loss, accuracy = model.evaluate(x, y, batch_size=1024, verbose=0)
            losses.append(loss)
            accuracies.append(accuracy)
        found = f"loss {min(losses):.4f} to {max(losses):.4f}, accuracy {min(accuracies):.0%} to {max(accuracies):.0%}"
        published = "stalls (loss log 2 = 0.6931)" if name.startswith("glorot") else "converges"
        yield Row(f"30-layer ReLU, {steps} steps: {name}", published, found)
