"""Peak memory of many replicas, above that of one, beside what their numbers themselves take."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tests.benchmarks.engines.fresh import in_fresh_process, peak_bytes
from tests.benchmarks.engines.markdown import markdown
from tests.benchmarks.engines.problems import problem
from tests.benchmarks.engines.ways import BATCH, INITIALIZER, compared

_MB = 1e6


@dataclass(frozen=True)
class Sizes:
    """What one replica holds, and the data, in bytes.

    Attributes:
        weights: variables of the model.
        slots: variables of the optimizer.
        gradients: one value for each trainable weight.
        batch: inputs and targets of a batch.
        outputs: what the layers give for that batch, which the backward pass needs.
        data: all training and validation data; held once, so in the peak of one replica too.
    """

    weights: int
    slots: int
    gradients: int
    batch: int
    outputs: int
    data: int

    @property
    def bound(self) -> int:
        """What one more replica may take."""
        return self.weights + self.slots + self.gradients + self.batch


@dataclass(frozen=True)
class Memory:
    """Peaks of fresh processes, in bytes, one for each round.

    Attributes:
        title: what was trained.
        replicas: how many together.
        sizes: of one replica.
        alone: peaks with one replica.
        together: peaks with all.
        engine: what `compare` says of how they were trained.
    """

    title: str
    replicas: int
    sizes: Sizes
    alone: list[int]
    together: list[int]
    engine: str

    @property
    def more(self) -> float:
        """Median peak of all replicas less that of one."""
        return statistics.median(self.together) - statistics.median(self.alone)

    @property
    def bound(self) -> int:
        """What the replicas beyond the first may take."""
        return (self.replicas - 1) * self.sizes.bound


def peak_of_study(name: str, replicas: int, epochs: int) -> tuple[int, str]:
    """Return the peak of this process after a study, and what `compare` said of it."""
    trained = compared(problem(name), replicas, epochs)
    return peak_bytes(), trained.engine


def sizes_of(name: str) -> Sizes:
    """Return what a replica of a problem holds."""
    chosen = problem(name)
    (x, y), validation = chosen.load()
    model = chosen.build_model(INITIALIZER)
    model.optimizer.build(model.trainable_variables)
    sample = (x.nbytes + y.nbytes) // len(x)
    outputs = sum(math.prod(layer.output.shape[1:]) for layer in model.layers)
    return Sizes(
        weights=_bytes(model.variables),
        slots=_bytes(model.optimizer.variables),
        gradients=_bytes(model.trainable_variables),
        batch=BATCH * sample,
        outputs=4 * BATCH * outputs,
        data=x.nbytes + y.nbytes + sum(part.nbytes for part in validation),
    )


def memories(quick: bool) -> Iterator[Memory]:
    """Yield a small and a wider perceptron."""
    replicas, epochs, rounds = (8, 1, 1) if quick else (128, 2, 3)
    for name in ("mlp", "wide"):
        alone, together, engine = [], [], ""
        for _ in range(rounds):
            alone.append(in_fresh_process(peak_of_study, name, 1, epochs)[0])
            peak, engine = in_fresh_process(peak_of_study, name, replicas, epochs)
            together.append(peak)
        yield Memory(problem(name).title, replicas, in_fresh_process(sizes_of, name), alone, together, engine)


def memory_table(rows: Sequence[Memory]) -> str:
    """Return the table, in MB."""
    header = (
        "model", "replicas", "weights", "slots", "gradients", "one batch", "bound", "measured", "measured / bound",
        "measured / weights", "layer outputs", "data", "peak of one replica", "engine",
    )  # fmt: skip
    return markdown(header, [_row(row) for row in rows])


def _row(row: Memory) -> list[Any]:
    sizes, others = row.sizes, row.replicas - 1
    parts = [others * part / _MB for part in (sizes.weights, sizes.slots, sizes.gradients, sizes.batch)]
    measured = [row.bound / _MB, row.more / _MB, row.more / row.bound, row.more / (others * sizes.weights)]
    once = [others * sizes.outputs / _MB, sizes.data / _MB, statistics.median(row.alone) / _MB]
    return [row.title, row.replicas, *parts, *measured, *once, row.engine]


def _bytes(variables: Sequence[Any]) -> int:
    return sum(math.prod(v.shape) * np.dtype(keras.backend.standardize_dtype(v.dtype)).itemsize for v in variables)
