"""The data of a study as stacked replicas eat it: on the device once, or batch by batch for all replicas together."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.study.data import EVALUATION_BATCH, StudyData
from keras_initkit.study.engines.batches import BatchLayout
from keras_initkit.study.engines.program import Program


class EvaluationFeed:
    """Data that all replicas are evaluated on, in order.

    Args:
        program: the program that eats.
        layout: the structure of the batches.
        arrays: the data if they lie on the device, None for what gives its own batches.
        one_pass: gives the batches of one pass if they do not.
    """

    def __init__(
        self,
        program: Program,
        layout: BatchLayout,
        arrays: Sequence[Any] | None,
        one_pass: Callable[[], Iterable[Any]],
    ):
        self._program, self._layout, self._arrays, self._one_pass = program, layout, arrays, one_pass
        self._tester = program.tester(layout)

    def test(self, state: list[Any]) -> list[Any]:
        """Return the state with loss and metrics of all the data."""
        for batch in self._batches():
            state = self._tester(state, batch)
        return state

    def _batches(self) -> Iterator[list[Any]]:
        if self._arrays is None:
            for batch in self._one_pass():
                yield self._program.place(self._layout.flatten(batch))
            return
        for first in range(0, len(self._arrays[0]), EVALUATION_BATCH):
            yield [array[first : first + EVALUATION_BATCH] for array in self._arrays]


def validation_feed(program: Program, data: StudyData) -> EvaluationFeed | None:
    """Return the validation data, None if there are none."""
    if data.validation is None:
        return None
    if not isinstance(data.validation, tuple):
        layout = BatchLayout(next(iter(data.validation_batches())))
        return EvaluationFeed(program, layout, None, data.validation_batches)
    arrays = (*data.validation, None)[:3]
    layout = BatchLayout(arrays)
    return EvaluationFeed(program, layout, program.place(layout.flatten(arrays)), data.validation_batches)


class TrainingFeed:
    """The training data.

    Arrays lie on the device once, and every replica gathers its batches in the order of its seed. Datasets give their
    batches by themselves, and each of them goes to all replicas.

    Args:
        program: the program that eats.
        data: the data of the study.
        batch_size: samples per step, for arrays.
    """

    def __init__(self, program: Program, data: StudyData, batch_size: int):
        self._program, self._data = program, data
        self._layout = layout = BatchLayout(data.few_samples)
        self._trainer = program.trainer(layout)
        self._arrays = None if data.arrays is None else program.place(layout.flatten(data.arrays))
        self._evaluation = EvaluationFeed(program, layout, self._arrays, data.training_batches_in_order)
        self._batch_size = min(batch_size, data.samples) if data.samples else batch_size

    def train(self, state: list[Any], seeds: Sequence[int], epoch: int) -> tuple[list[Any], NDArray[np.float64]]:
        """Return the state after an epoch (0 is the first), and the mean gradient norm of each replica.

        Args:
            state: the state of the replicas; on JAX it is used up.
            seeds: their seeds.
            epoch: the epoch.
        """
        if self._arrays is not None:
            orders = {seed: self._data.order(seed, epoch).astype(np.int32) for seed in dict.fromkeys(seeds)}
            (order,) = self._program.place([np.stack([orders[seed] for seed in seeds])])
            state, norms = self._trainer.epoch(state, self._arrays, order, batch_size=self._batch_size)
            return state, np.asarray(self._program.fetch([norms])[0], np.float64)
        total, steps = np.zeros(len(seeds)), 0
        for batch in self._data.pass_batches(epoch):
            state, norms = self._trainer.batch(state, self._program.place(self._layout.flatten(batch)))
            total += self._program.fetch([norms])[0]
            steps += 1
        return state, total / max(steps, 1)

    def test(self, state: list[Any]) -> list[Any]:
        """Return the state with loss and metrics of all training data."""
        return self._evaluation.test(state)
