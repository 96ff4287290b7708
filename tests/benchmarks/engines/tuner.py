"""The same work by KerasTuner: one trial of one fixed choice, run `executions_per_trial` times."""

import importlib.util
import statistics
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.engines.fresh import in_fresh_process
from tests.benchmarks.engines.markdown import markdown
from tests.benchmarks.engines.problems import Problem, problem
from tests.benchmarks.engines.ways import BATCH, INITIALIZER, Trained, compared, disagreement

_PACKAGES = ("keras_tuner", "tensorboard")  # KerasTuner imports the second where it trains, and does not bring it
MISSING = "KerasTuner or TensorBoard is not installed, so it was not timed. Run `pip install keras-tuner tensorboard`."


@dataclass(frozen=True)
class TunerSpeed:
    """Seconds per replica of KerasTuner and of `compare`, and their mean final losses."""

    title: str
    replicas: int
    tuner: float
    ours: float
    tuner_loss: float
    loss: float
    engine: str
    disagreement: str


def has_tuner() -> bool:
    """Return whether KerasTuner and what it needs are installed."""
    return all(importlib.util.find_spec(name) for name in _PACKAGES)


def searched(chosen: Problem, replicas: int, epochs: int) -> Trained:
    """Train the replicas by KerasTuner; it keeps the weights of the best epoch on disk, as it always does.

    Raises:
        RuntimeError: if a training failed, which KerasTuner prints and goes on.
    """
    import keras_tuner

    histories: list[dict[str, list[float]]] = []

    class Fixed(keras_tuner.HyperModel):
        def build(self, hp: Any) -> Any:
            return chosen.build_model(hp.Fixed("initializer", INITIALIZER))

        def fit(self, hp: Any, model: Any, *arguments: Any, **options: Any) -> Any:
            history = super().fit(hp, model, *arguments, **options)
            histories.append(history.history)
            return history

    (x, y), validation = chosen.load()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        search = keras_tuner.RandomSearch(
            Fixed(), objective="val_loss", max_trials=1, executions_per_trial=replicas, directory=folder
        )
        search.search(x, y, batch_size=BATCH, epochs=epochs, validation_data=validation, verbose=0)
        seconds = time.perf_counter() - started
    if len(histories) != replicas:
        raise RuntimeError(f"Expected {replicas} trainings by KerasTuner. Received: {len(histories)}. See its errors.")
    losses, val_losses = ([history[name][-1] for history in histories] for name in ("loss", "val_loss"))
    return Trained([seconds], losses, val_losses, len(histories[0]["loss"]))


def beside_tuner(name: str, replicas: int, epochs: int) -> TunerSpeed:
    """Time both in this process, half of KerasTuner's replicas before and half after."""
    chosen = problem(name)
    half = max(1, replicas // 2)
    before = searched(chosen, half, epochs)
    ours = compared(chosen, replicas, epochs)
    theirs = before.joined(searched(chosen, max(1, replicas - half), epochs))
    return TunerSpeed(
        title=chosen.title,
        replicas=replicas,
        tuner=theirs.per_replica,
        ours=ours.per_replica,
        tuner_loss=statistics.fmean(theirs.losses),
        loss=statistics.fmean(ours.losses),
        engine=ours.engine,
        disagreement=disagreement(theirs, ours),
    )


def tuner_speed(quick: bool) -> TunerSpeed:
    """Return the digits MLP, from a process of its own."""
    return in_fresh_process(beside_tuner, "mlp", *((2, 2) if quick else (32, 20)))


def tuner_table(row: TunerSpeed) -> str:
    """Return the table."""
    header = (
        "model", "replicas", "KerasTuner, s per replica", "compare, s per replica", "ratio",
        "final loss: KerasTuner, compare",
    )  # fmt: skip
    losses = f"{row.tuner_loss:.3g}, {row.loss:.3g}" + (
        f": NOT THE SAME, {row.disagreement}" if row.disagreement else ""
    )
    return markdown(header, [[row.title, row.replicas, row.tuner, row.ours, row.tuner / row.ours, losses]])
