"""What a compiled program of stacked replicas offers, whatever the backend."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import keras
from numpy.typing import NDArray

from keras_initkit.study.engines.batches import BatchLayout
from keras_initkit.study.engines.pure_step import PureStep

# A step of one replica: its state and the arrays of a batch in, what the step returns out.
Step = Callable[[Sequence[Any], Sequence[Any]], Any]


class Trainer(NamedTuple):
    """Training of all replicas.

    Attributes:
        epoch: `(state, data, order, batch_size) -> (state, norms)`: all batches of an epoch, gathered from data that
            lies on the device once, in the order `(R, samples)` of each replica; with the mean norms of the gradients.
        batch: `(state, batch) -> (state, norms)`: one step on a batch that all replicas share.
    """

    epoch: Callable[..., tuple[list[Any], Any]]
    batch: Callable[..., tuple[list[Any], Any]]


# Evaluation of all replicas on one batch: `(state, batch) -> state`.
Tester = Callable[[list[Any], list[Any]], list[Any]]


class Program(Protocol):
    """Steps of stacked replicas, compiled; a state is a list of tensors `(R, ...)` in the order of `step.variables`."""

    one_by_one: set[str]

    def trainer(self, layout: BatchLayout) -> Trainer:
        """Return what trains on batches of that structure."""
        ...

    def tester(self, layout: BatchLayout) -> Tester:
        """Return what evaluates on batches of that structure."""
        ...

    def place(self, arrays: Sequence[Any]) -> list[Any]:
        """Return arrays on the device."""
        ...

    def fetch(self, tensors: Sequence[Any]) -> list[NDArray[Any]]:
        """Return arrays of the device as arrays of NumPy."""
        ...

    def results(self, state: Sequence[Any]) -> dict[str, NDArray[Any]]:
        """Return what `fit` would log since the metrics were reset, one value per replica."""
        ...

    def finished(self, state: Sequence[Any]) -> list[Any]:
        """Return the state after the last epoch."""
        ...


def backend_program(step: PureStep) -> Program:
    """Return the program of the present backend, TensorFlow or JAX."""
    if keras.backend.backend() == "jax":
        from keras_initkit.study.engines.jax_program import JaxProgram

        return JaxProgram(step)
    from keras_initkit.study.engines.tensorflow_program import TensorFlowProgram

    return TensorFlowProgram(step)
