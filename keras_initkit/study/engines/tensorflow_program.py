"""Steps of many replicas as TensorFlow graphs: one call an epoch, `tf.vectorized_map` over the replicas."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_initkit.study.engines.batches import BatchLayout
from keras_initkit.study.engines.program import Step, Tester, Trainer
from keras_initkit.study.engines.pure_step import NotAsFit, PureStep
from keras_initkit.study.engines.tensorflow_map import TensorFlowMap


class TensorFlowProgram:
    """Trains and evaluates stacked replicas; a state is a list of tensors `(R, ...)`.

    Args:
        step: the steps of one replica.

    Attributes:
        one_by_one: what TensorFlow cannot vectorise and runs for one replica after the other, known once a step was
            traced.
    """

    def __init__(self, step: PureStep):
        self._step = step
        self._map = TensorFlowMap()
        self.one_by_one = self._map.one_by_one
        self._results = tf.function(partial(self._all_results), autograph=False)
        self._finished = tf.function(partial(self._all_finished), autograph=False)

    def trainer(self, layout: BatchLayout) -> Trainer:
        """Return what trains on batches of that structure."""
        step = layout.taking(self._step.train)
        return Trainer(
            epoch=tf.function(partial(self._train_epoch, step), autograph=False),
            batch=_any_batch(partial(self._on_batch, step)),
        )

    def tester(self, layout: BatchLayout) -> Tester:
        """Return what evaluates on batches of that structure."""
        return _any_batch(partial(self._on_batch, layout.taking(self._step.test)))

    def place(self, arrays: Sequence[Any]) -> list[Any]:
        """Return the arrays as tensors."""
        return [tf.convert_to_tensor(array) for array in arrays]

    def fetch(self, tensors: Sequence[Any]) -> list[NDArray[Any]]:
        """Return tensors as arrays."""
        return [_array(tensor) for tensor in tensors]

    def results(self, state: Sequence[Any]) -> dict[str, NDArray[Any]]:
        """Return what `fit` would log, one value per replica."""
        found = self._results([state[place] for place in self._step.metric_variables])
        return {name: np.asarray(value.numpy(), np.float64) for name, value in found.items()}

    def finished(self, state: Sequence[Any]) -> list[Any]:
        """Return the state after the last epoch."""
        return list(self._finished(list(state))) if self._step.averages_weights else list(state)

    def _train_epoch(
        self, step: Step, state: list[Any], data: list[Any], order: Any, batch_size: int
    ) -> tuple[list[Any], Any]:
        replicas, samples = order.shape
        steps = -(-samples // batch_size)

        def body(index: Any, state: list[Any], norms: Any) -> Any:
            # The last batch may be smaller. Tracing it apart would double the time to compile.
            chosen = order[:, index * batch_size : (index + 1) * batch_size]
            state, more = self._map(step, state, [tf.gather(array, chosen) for array in data])
            return index + 1, state, norms + more

        start = (tf.constant(0), state, tf.zeros([replicas]))
        _, state, norms = tf.while_loop(lambda index, *_: index < steps, body, start, parallel_iterations=1)
        return state, norms / steps

    def _on_batch(self, step: Step, state: list[Any], batch: list[Any]) -> Any:
        """Take a step on one batch, the same for all replicas."""
        return self._map(lambda own: step(own, batch), state)

    def _all_results(self, metrics: list[Any]) -> dict[str, Any]:
        return self._map(self._step.results, metrics)

    def _all_finished(self, state: list[Any]) -> list[Any]:
        return self._map(self._step.finished, state)


def _any_batch(function: Any) -> Any:
    """Return the compiled function of a state and a batch, traced once for batches of all sizes."""
    compiled: dict[int, Any] = {}  # by the number of replicas
    shapes: list[Any] = []

    def call(state: list[Any], batch: list[Any]) -> Any:
        replicas = state[0].shape[0]
        if replicas not in compiled:
            shapes[:] = [part.shape[1:] for part in batch]
            specs = [tf.TensorSpec([None, *part.shape[1:]], part.dtype) for part in batch]
            states = [tf.TensorSpec(part.shape, part.dtype) for part in state]
            compiled[replicas] = tf.function(function, autograph=False, input_signature=(states, specs))
        if [part.shape[1:] for part in batch] != shapes:
            raise NotAsFit("the batches of the dataset differ in more than the number of samples")
        return compiled[replicas](list(state), list(batch))

    return call


def _array(tensor: Any) -> NDArray[Any]:
    """Return a tensor as an array: its own memory where the device is the processor, which is not to be written to."""
    try:
        return np.asarray(memoryview(tensor))
    except (TypeError, ValueError, BufferError):  # bfloat16, or another device
        return np.asarray(tensor.numpy())
