"""Steps of many replicas as XLA programs of JAX: one call an epoch, `jax.vmap` over the replicas in a scan."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from keras_initkit.study.engines.batches import BatchLayout
from keras_initkit.study.engines.program import Step, Tester, Trainer
from keras_initkit.study.engines.pure_step import PureStep

# A convolution whose kernel is mapped becomes a grouped one, which XLA runs several times slower on processors.
_NOT_VECTORISED = {"conv_general_dilated": "the whole step because of convolutions"}


class JaxProgram:
    """Trains and evaluates stacked replicas; a state is a list of arrays `(R, ...)`.

    Args:
        step: the steps of one replica.

    Attributes:
        one_by_one: what is run for one replica after the other, and why; known once a step was traced.
    """

    def __init__(self, step: PureStep):
        self._step = step
        self.one_by_one: set[str] = set()
        self._names: list[str] = []
        self._results = jax.jit(jax.vmap(self._one_result))
        self._finished = jax.jit(jax.vmap(step.finished))

    def trainer(self, layout: BatchLayout) -> Trainer:
        """Return what trains on batches of that structure."""
        step = layout.taking(self._step.train)
        return Trainer(
            epoch=jax.jit(partial(self._train_epoch, step), static_argnames="batch_size", donate_argnums=0),
            batch=jax.jit(partial(self._on_batch, step), donate_argnums=0),
        )

    def tester(self, layout: BatchLayout) -> Tester:
        """Return what evaluates on batches of that structure."""
        return jax.jit(partial(self._on_batch, layout.taking(self._step.test)))

    def place(self, arrays: Sequence[Any]) -> list[Any]:
        """Return the arrays on the device."""
        return [jnp.asarray(array) for array in arrays]

    def fetch(self, tensors: Sequence[Any]) -> list[NDArray[Any]]:
        """Return arrays of the device as arrays of NumPy, which stay when the device's are given away."""
        return [np.array(tensor) for tensor in tensors]

    def results(self, state: Sequence[Any]) -> dict[str, NDArray[Any]]:
        """Return what `fit` would log, one value per replica."""
        found = self._results([state[place] for place in self._step.metric_variables])
        return {name: np.asarray(value, np.float64) for name, value in zip(self._names, found, strict=True)}

    def finished(self, state: Sequence[Any]) -> list[Any]:
        """Return the state after the last epoch."""
        return list(self._finished(list(state))) if self._step.averages_weights else list(state)

    def _one_result(self, metrics: Sequence[Any]) -> list[Any]:
        found = self._step.results(metrics)
        self._names = list(found)  # in the order of Keras' logs; JAX sorts the keys of a dict
        return list(found.values())

    def _train_epoch(
        self, step: Step, state: list[Any], data: list[Any], order: Any, batch_size: int
    ) -> tuple[list[Any], Any]:
        samples = order.shape[1]
        steps, rest = divmod(samples, batch_size)
        batches = order[:, : steps * batch_size].reshape(len(order), steps, batch_size)

        def one_epoch(state: list[Any], batches: Any, last: Any) -> tuple[list[Any], Any]:
            def one(state: list[Any], chosen: Any) -> tuple[list[Any], Any]:
                return step(state, [array[chosen] for array in data])

            state, norms = jax.lax.scan(one, state, batches)
            total = norms.sum()
            if rest:
                state, norm = one(state, last)
                total += norm
            return state, total / (steps + bool(rest))

        return self._map(one_epoch, state, batches, order[:, steps * batch_size :])

    def _on_batch(self, step: Step, state: list[Any], batch: list[Any]) -> Any:
        """Take a step on one batch, the same for all replicas."""
        return self._map(lambda own: step(own, batch), state)

    def _map(self, function: Any, *arguments: Any) -> Any:
        slow = _operations(function, arguments) & _NOT_VECTORISED.keys()
        self.one_by_one |= {_NOT_VECTORISED[name] for name in slow}
        if slow:
            return jax.lax.map(lambda own: function(*own), arguments)
        return jax.vmap(function)(*arguments)


def _operations(function: Any, arguments: Any) -> set[str]:
    """Return the names of the operations that a function of one replica is made of."""
    one = jax.tree.map(lambda stacked: jax.ShapeDtypeStruct(stacked.shape[1:], stacked.dtype), arguments)
    return set(_names(jax.make_jaxpr(function)(*one).jaxpr))


def _names(program: Any) -> Any:
    for equation in program.eqns:
        yield equation.primitive.name
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from _names(inner)
