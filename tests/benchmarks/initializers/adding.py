"""The adding problem: identity recurrent networks and chrono biases remember over hundreds of steps.

A sequence holds T pairs of a number from U(0, 1) and a marker, which is 1 at two places and 0 elsewhere. The network
has to give the sum of the two marked numbers. Always answering 1 has a mean squared error of 1 / 6.
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

import keras_initkit.initializers as kit
from tests.benchmarks.initializers.row import Row

UNITS, BATCH = 64, 100
SOLVED = 0.05


def sequences(steps: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` sequences of `steps` pairs and their sums."""
    draw = np.random.default_rng(seed)
    x = np.zeros((count, steps, 2), "float32")
    x[..., 0] = draw.random((count, steps))
    first, second = draw.integers(0, steps // 2, count), draw.integers(steps // 2, steps, count)
    x[np.arange(count), first, 1] = x[np.arange(count), second, 1] = 1
    return x, (x[..., 0] * x[..., 1]).sum(axis=1, keepdims=True)


class Solved(keras.callbacks.Callback):
    """Notes the first step at which the mean loss of the last 20 batches is below 0.05."""

    def __init__(self) -> None:
        super().__init__()
        self.step: int | None = None
        self._losses: list[float] = []
        self._seen = 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        # Keras reports the mean over the epoch so far.
        total = logs["loss"] * (batch + 1)
        self._losses.append(total - self._seen)
        self._seen = total
        if self.step is None and batch >= 20 and np.mean(self._losses[-20:]) < SOLVED:
            self.step = batch + 1


def train(layer: Callable[[], Any], length: int, steps: int, rate: float) -> str:
    """Train one network and say what became of it."""
    model = keras.Sequential([keras.Input((length, 2)), layer(), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=1.0), "mse")
    x, y = sequences(length, steps * BATCH, seed=1)
    solved = Solved()
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[solved])
    error = model.evaluate(*sequences(length, 1000, seed=2), batch_size=250, verbose=0)
    return f"mse {error:.4f}" + (f", below {SOLVED} from step {solved.step}" if solved.step else "")


def rows(quick: bool) -> Iterator[Row]:
    """Train identity recurrent networks at T = 100 and LSTMs at T = 200."""
    length, steps = (20, 30) if quick else (100, 1000)
    glorot = keras.initializers.GlorotUniform(seed=1)
    plain = keras.initializers.RandomNormal(stddev=UNITS**-0.5, seed=2)
    networks = {
        "identity, relu": ("relu", glorot, "identity"),
        "orthogonal, tanh": ("tanh", glorot, keras.initializers.Orthogonal(seed=2)),
        "Gaussian, tanh": ("tanh", glorot, plain),
    }
    for name, (activation, kernel, recurrent) in networks.items():
        found = train(
            lambda a=activation, k=kernel, r=recurrent: keras.layers.SimpleRNN(
                UNITS, a, kernel_initializer=k, recurrent_initializer=r
            ),
            length,
            steps,
            1e-3,
        )
        published = "solves it" if name.startswith("identity") else "stays at 1/6 = 0.1667"
        yield Row(f"adding, T = {length}, SimpleRNN(64), {steps} steps: {name}", published, found)
    length, steps = (40, 30) if quick else (200, 1000)
    biases = {
        "forget bias 0": ("zeros", False),
        "forget bias 1": ("zeros", True),
        "ChronoBias(200)": (kit.ChronoBias(length, seed=3), False),
    }
    for name, (bias, unit_forget_bias) in biases.items():
        found = train(
            lambda b=bias, u=unit_forget_bias: keras.layers.LSTM(
                UNITS,
                kernel_initializer=keras.initializers.GlorotUniform(seed=1),
                recurrent_initializer=keras.initializers.Orthogonal(seed=2),
                bias_initializer=b,
                unit_forget_bias=u,
            ),
            length,
            steps,
            2e-3,
        )
        published = "solves it" if name.startswith("Chrono") else "plateau"
        yield Row(f"adding, T = {length}, LSTM(64), {steps} steps: {name}", published, found)
