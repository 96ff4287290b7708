"""The data of a study as stacked replicas eat it: on the device once, or batch by batch for all replicas together."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.study.data import EVALUATION_BATCH, StudyData
from keras_initkit.study.engines.batches import BatchLayout
from keras_initkit.study.engines.program import Program


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
        layout = BatchLayout(data.few_samples)
        self._trainer, self._tester, self._layout = program.trainer(layout), program.tester(layout), layout
        self._arrays = None if data.arrays is None else program.place(layout.flatten(data.arrays))
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
        if self._arrays is not None:
            return _test_arrays(self._tester.data, state, self._arrays)
        return _test_batches(
            self._program, self._tester.batch, self._layout, state, self._data.training_batches_in_order()
        )


class ValidationFeed:
    """The validation data."""

    def __init__(self, program: Program, data: StudyData):
        self._program, self._data = program, data
        arrays = data.validation if isinstance(data.validation, tuple) else None
        first = next(iter(data.validation_batches())) if arrays is None else (*arrays, None)[:3]
        layout = BatchLayout(first)
        self._tester, self._layout = program.tester(layout), layout
        self._arrays = None if arrays is None else program.place(layout.flatten(arrays))

    def test(self, state: list[Any]) -> list[Any]:
        """Return the state with loss and metrics of all validation data."""
        if self._arrays is not None:
            return _test_arrays(self._tester.data, state, self._arrays)
        return _test_batches(self._program, self._tester.batch, self._layout, state, self._data.validation_batches())


def _test_arrays(test: Callable[..., list[Any]], state: list[Any], arrays: list[Any]) -> list[Any]:
    return test(state, arrays, batch_size=min(EVALUATION_BATCH, arrays[0].shape[0]))


def _test_batches(
    program: Program, test: Callable[..., list[Any]], layout: BatchLayout, state: list[Any], batches: Iterable[Any]
) -> list[Any]:
    for batch in batches:
        state = test(state, program.place(layout.flatten(batch)))
    return state
