"""The sequential engine: one replica after the other through Keras' own `fit`, on any backend.

The computation of an initializer's replicas is traced once. The first replica's model is kept; for every further seed
`build_model` is called again, since only it knows the weights of that seed, and its weights, random states and fresh
optimizer state are put into the kept model, whose compiled training function goes on.
"""

import math
import numbers
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
from numpy.typing import NDArray

from keras_initkit._checks import describe
from keras_initkit.callbacks.symmetry_monitor import SymmetryMonitor
from keras_initkit.study.data import StudyData
from keras_initkit.study.engines.computation import same_computation
from keras_initkit.study.record import Replica
from keras_initkit.study.seeding import replica_randomness
from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.reading import UnitReader


class WrongModel(TypeError):
    """`build_model` returned something else than a compiled Keras model; no replica can be trained."""


@dataclass(frozen=True)
class Group:
    """Replicas of one initializer.

    Attributes:
        name: name of the initializer in the study.
        make_initializer: gives what `build_model` gets, called once per replica inside its randomness.
        seeds: seeds of the replicas.
    """

    name: str
    make_initializer: Callable[[], Any]
    seeds: Sequence[int]


@dataclass
class Outcome:
    """A trained replica and what the study draws of it.

    Attributes:
        replica: the record.
        exception: the error that ended it, or None.
        pictures: layer -> cosine matrices before and after training.
    """

    replica: Replica
    exception: Exception | None = None
    pictures: dict[str, tuple[NDArray[Any], NDArray[Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class SequentialEngine:
    """Trains replicas one by one.

    Attributes:
        build_model: the user's function from an initializer to a compiled model.
        data: the data of the study.
        epochs: budget of every replica.
        batch_size: samples per step.
        callbacks: the user's callbacks, given to every `fit`.
        describe_model: called with each model before its training; what it returns is kept in the record.
    """

    build_model: Callable[[Any], Any]
    data: StudyData
    epochs: int
    batch_size: int
    callbacks: Sequence[Any] = ()
    describe_model: Callable[[Any], dict[str, Any]] = lambda _: {}

    def train(self, group: Group, on_epoch: Callable[[], None] = lambda: None) -> Generator[Outcome]:
        """Yield the outcome of every replica of the group, in the order of its seeds; errors are outcomes too."""
        host = _Host(self.data)
        for seed in group.seeds:
            yield self._train_one(group, seed, host, on_epoch)

    def _train_one(self, group: Group, seed: int, host: "_Host", on_epoch: Callable[[], None]) -> Outcome:
        started = time.perf_counter()
        try:
            model = host.take(self.build(group, seed))
            initial_state = self.describe_model(model)
            curves, monitor = self._fit(model, seed, on_epoch)
        except Exception as error:
            host.forget()
            lines = traceback.format_exception_only(error)
            replica = Replica(group.name, seed, "failed", "".join(lines).strip(), time.perf_counter() - started)
            return Outcome(replica, error)
        replica = Replica(
            group.name,
            seed,
            seconds=time.perf_counter() - started,
            curves=curves,
            symmetry=monitor.rows if monitor else [],
            initial_state=initial_state,
        )
        return Outcome(replica, pictures=_pictures(monitor) if monitor else {})

    def build(self, group: Group, seed: int) -> Any:
        """Return the built and compiled model of one replica, before training."""
        with replica_randomness(seed):
            return self._build(group)

    def _build(self, group: Group) -> Any:
        model = self.build_model(group.make_initializer())
        if not isinstance(model, keras.Model) or not getattr(model, "compiled", False):
            what = "an uncompiled model" if isinstance(model, keras.Model) else describe(model)
            raise WrongModel(
                f"Expected `build_model(kernel_initializer)` to return a compiled keras.Model. Received: {what}. "
                "Call `model.compile(...)` in it and return the model."
            )
        if not model.built:
            model(self.data.one_batch(), training=False)
        return model

    def _fit(
        self, model: Any, seed: int, on_epoch: Callable[[], None]
    ) -> tuple[dict[str, list[float]], SymmetryMonitor | None]:
        curves = {name: [value] for name, value in self.data.evaluate(model).items()}
        monitor = SymmetryMonitor(on_locked="ignore", log=False) if UnitReader(model).paths else None
        keeper = _CurveKeeper(curves, on_epoch)
        own = [keeper] if monitor is None else [monitor, keeper]
        validation = {} if self.data.validation is None else {"validation_data": self.data.validation}
        training = self.data.training(seed, self.batch_size, self.epochs)
        callbacks = [*training.pop("callbacks", []), *own, *self.callbacks]
        model.fit(
            **training,
            **validation,
            epochs=self.epochs,
            callbacks=callbacks,
            verbose=0,
        )
        return curves, monitor


class _Host:
    """The model whose training function is already traced."""

    def __init__(self, data: StudyData) -> None:
        self._data = data
        self.forget()

    def forget(self) -> None:
        self._model: Any = None
        self._optimizer_state: list[NDArray[Any]] = []

    def take(self, model: Any) -> Any:
        """Return a model in the state of the given one, with its training function traced already if possible."""
        if self._model is None or not same_computation(self._model, model):
            return self._keep(model)
        # Weights and random states; metrics are no part of `variables`, Keras resets them every epoch.
        for kept, fresh in zip(self._model.variables, model.variables, strict=True):
            kept.assign(fresh)
        # What is no variable and in no config, such as a constant drawn while the model was built, shows in the output.
        if not self._data.same_outputs(self._model, model):
            return self._keep(model)
        for variable, value in zip(self._model.optimizer.variables, self._optimizer_state, strict=True):
            variable.assign(value)
        return self._model

    def _keep(self, model: Any) -> Any:
        model.optimizer.build(model.trainable_variables)
        self._model = model
        self._optimizer_state = [to_numpy(v) for v in model.optimizer.variables]
        return model


class _CurveKeeper(keras.callbacks.Callback):
    def __init__(self, curves: dict[str, list[float]], on_epoch: Callable[[], None]):
        super().__init__()
        self._curves, self._on_epoch = curves, on_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        seen = {name: value for name, value in (logs or {}).items() if isinstance(value, numbers.Real)}
        for name in seen:
            # What only training reports, such as a learning rate, has no value before it.
            self._curves.setdefault(name, [math.nan] * (epoch + 1))
        for name, curve in self._curves.items():
            curve.append(float(seen.get(name, math.nan)))
        self._on_epoch()


def _pictures(monitor: SymmetryMonitor) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    kept = monitor.pictures()
    first, last = kept.epochs[0], kept.epochs[-1]
    layers = [layer for layer in kept.layers(first) if layer in kept.layers(last)]
    return {layer: (kept.cosines(layer, first), kept.cosines(layer, last)) for layer in layers}
