"""The two ways to train a model over seeds: a loop of `fit` as users write it, and `compare`."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import keras
import numpy as np

import keras_initkit as ik
from tests.benchmarks.engines.problems import Problem

BATCH = 32
INITIALIZER = "he_normal"
_TARGET = 0.3  # of the training loss; given, so that no time is spent on finding one


@dataclass(frozen=True)
class Trained:
    """Seeds trained in one of the ways.

    Attributes:
        seconds: wall time of each seed in a loop; in `compare`, of all of them.
        losses: training loss of the last epoch of each seed.
        val_losses: the same on the validation data.
        epochs: epochs that were trained.
        engine: what `compare` says of how the replicas were trained.
    """

    seconds: list[float]
    losses: list[float]
    val_losses: list[float]
    epochs: int
    engine: str = ""

    @property
    def per_replica(self) -> float:
        """Seconds per seed."""
        return sum(self.seconds) / len(self.losses)

    def joined(self, other: "Trained") -> "Trained":
        """Return both loops as one."""
        return Trained(
            self.seconds + other.seconds, self.losses + other.losses, self.val_losses + other.val_losses, self.epochs
        )


def loop_of_fit(problem: Problem, seeds: Iterable[int], epochs: int) -> Trained:
    """Train one model after the other; whatever is paid once, such as starting the backend, the first one pays."""
    (x, y), validation = problem.load()
    seconds, losses, val_losses, done = [], [], [], 0
    for seed in seeds:
        started = time.perf_counter()
        keras.utils.set_random_seed(seed)
        model = problem.build_model(INITIALIZER)
        history = model.fit(x, y, batch_size=BATCH, epochs=epochs, validation_data=validation, verbose=0).history
        seconds.append(time.perf_counter() - started)
        losses.append(history["loss"][-1])
        val_losses.append(history["val_loss"][-1])
        done = len(history["loss"])
    return Trained(seconds, losses, val_losses, done)


def compared(problem: Problem, replicas: int, epochs: int) -> Trained:
    """Train all seeds with `compare`: building, compiling and measuring included."""
    (x, y), validation = problem.load()
    started = time.perf_counter()
    results = ik.compare(
        problem.build_model,
        x,
        y,
        validation_data=validation,
        initializers=[INITIALIZER],
        seeds=replicas,
        epochs=epochs,
        batch_size=BATCH,
        target=_TARGET,
        engine="auto",
        verbose=0,
    )
    seconds = time.perf_counter() - started
    loss, val_loss = (results.curves[name][INITIALIZER] for name in ("loss", "val_loss"))
    return Trained([seconds], loss[:, -1].tolist(), val_loss[:, -1].tolist(), loss.shape[1] - 1, results.engine)


def disagreement(one: Trained, other: Trained) -> str:
    """Return how the two differ in what they trained, empty if they do not.

    The orders of the batches differ, so losses of one seed do too; their means over seeds must agree within five
    standard errors and 5 %.
    """
    if one.epochs != other.epochs:
        return f"{one.epochs} and {other.epochs} epochs"
    for name in ("losses", "val_losses"):
        a, b = np.array(getattr(one, name)), np.array(getattr(other, name))
        spread = np.sqrt((a.var() * len(a) + b.var() * len(b)) / max(len(a) + len(b) - 2, 1))
        allowed = 5 * spread * np.sqrt(1 / len(a) + 1 / len(b)) + 0.05 * abs(a.mean())
        if not abs(a.mean() - b.mean()) <= allowed:
            return f"mean final {name} {a.mean():.3g} and {b.mean():.3g}"
    return ""
