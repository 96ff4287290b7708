"""The sequential engine: one replica after the other through Keras' own `fit`, on any backend.

The computation of an initializer's replicas is traced once. The first replica's model is kept; for every further seed
`build_model` is called again, since only it knows the weights of that seed, and its weights, random states and fresh
optimizer state are put into the kept model, whose compiled training function goes on.
"""

import math
import numbers
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
from numpy.typing import NDArray

from keras_initkit.callbacks.symmetry_monitor import SymmetryMonitor
from keras_initkit.study.data import StudyData
from keras_initkit.study.engines.computation import same_computation, same_function
from keras_initkit.study.engines.group import Member, Outcome, Training
from keras_initkit.study.record import Replica
from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.reading import UnitReader


@dataclass(frozen=True)
class SequentialEngine:
    """Trains replicas one by one.

    Attributes:
        training: what all replicas share.
    """

    training: Training

    def train(self, members: list[Member], on_epochs: Callable[[int], None] = lambda _: None) -> Iterator[Outcome]:
        """Yield the outcome of every member, in their order; errors are outcomes too."""
        host, name = _Host(self.training.data), None
        for member in members:
            if member.name != name:
                host.forget()
                name = member.name
            yield self._train_one(member, host, on_epochs)

    def _train_one(self, member: Member, host: "_Host", on_epochs: Callable[[int], None]) -> Outcome:
        started = time.perf_counter()
        training = self.training
        try:
            built = training.build(member)
            initial_state = training.describe_model(built)
            model = host.take(built)
            curves, monitor = self._fit(model, member.seed, on_epochs)
        except Exception as error:
            host.forget()
            lines = traceback.format_exception_only(error)
            replica = Replica(member.name, member.seed, "failed", "".join(lines).strip(), time.perf_counter() - started)
            return Outcome(replica, error, alone=True)
        replica = Replica(
            member.name,
            member.seed,
            seconds=time.perf_counter() - started,
            curves=curves,
            symmetry=monitor.rows if monitor else [],
            initial_state=initial_state,
        )
        weights = [to_numpy(variable) for variable in model.variables]
        return Outcome(replica, pictures=_pictures(monitor) if monitor else {}, weights=weights, alone=True)

    def _fit(
        self, model: Any, seed: int, on_epochs: Callable[[int], None]
    ) -> tuple[dict[str, list[float]], SymmetryMonitor | None]:
        data, epochs = self.training.data, self.training.epochs
        curves = {name: [value] for name, value in data.evaluate(model).items()}
        monitor = SymmetryMonitor(on_locked="ignore", log=False) if UnitReader(model).paths else None
        keeper = _CurveKeeper(curves, on_epochs)
        own = [keeper] if monitor is None else [monitor, keeper]
        batches = data.training(seed, self.training.batch_size, epochs)
        callbacks = [*batches.pop("callbacks", []), *own, *self.training.callbacks]
        model.fit(**batches, **data.validating(), epochs=epochs, callbacks=callbacks, verbose=0)
        keeper.fill_up(epochs)
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
        kept = self._model
        if kept is None or not (same_computation(kept, model) and same_function(kept, model, self._data)):
            return self._keep(model)
        # Weights and random states; metrics are no part of `variables`, Keras resets them every epoch.
        for variable, fresh in zip(kept.variables, model.variables, strict=True):
            variable.assign(fresh)
        for variable, value in zip(self._model.optimizer.variables, self._optimizer_state, strict=True):
            variable.assign(value)
        return self._model

    def _keep(self, model: Any) -> Any:
        model.optimizer.build(model.trainable_variables)
        self._model = model
        self._optimizer_state = [to_numpy(v) for v in model.optimizer.variables]
        return model


class _CurveKeeper(keras.callbacks.Callback):
    """Keeps the logs of every epoch, and ends the training of a replica whose loss is not finite: it has diverged."""

    def __init__(self, curves: dict[str, list[float]], on_epochs: Callable[[int], None]):
        super().__init__()
        self._curves, self._on_epochs = curves, on_epochs
        self._diverged = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        seen = {name: value for name, value in (logs or {}).items() if isinstance(value, numbers.Real)}
        for name in seen:
            # What only training reports, such as a learning rate, has no value before it.
            self._curves.setdefault(name, [math.nan] * (epoch + 1))
        for name, curve in self._curves.items():
            curve.append(float(seen.get(name, math.nan)))
        self._on_epochs(1)
        if not math.isfinite(self._curves["loss"][-1]):
            self._diverged = self.model.stop_training = True

    def fill_up(self, epochs: int) -> None:
        """Let the curves of a replica that diverged go on as NaN."""
        if self._diverged:
            for curve in self._curves.values():
                curve += [math.nan] * (epochs + 1 - len(curve))


def _pictures(monitor: SymmetryMonitor) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    kept = monitor.pictures()
    first, last = kept.epochs[0], kept.epochs[-1]
    layers = [layer for layer in kept.layers(first) if layer in kept.layers(last)]
    return {layer: (kept.cosines(layer, first), kept.cosines(layer, last)) for layer in layers}
