"""Training replicas of one computation together: their variables stacked, one compiled program for all."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.study.engines.exactness import first_step_differs
from keras_initkit.study.engines.feeding import TrainingFeed, validation_feed
from keras_initkit.study.engines.group import Member, Outcome, Training
from keras_initkit.study.engines.group_symmetry import GroupSymmetry
from keras_initkit.study.engines.program import backend_program
from keras_initkit.study.engines.pure_step import NotAsFit, PureStep
from keras_initkit.study.record import Replica
from keras_initkit.units.arrays import to_numpy

# Mean over the steps of an epoch; there is none before training.
GRADIENT_NORM = "grad/norm"


class Computation:
    """What all stacks of one computation share: the compiled program, and the data on the device.

    Args:
        training: what the replicas share.
        model: a built and compiled model of that computation, its optimizer unused. Its variables lend their places,
            their values change.

    Raises:
        NotAsFit: if the first step does not give what Keras' own gives.
    """

    def __init__(self, training: Training, model: Any):
        self.training, self.model = training, model
        _build_all(model, training.data.few_samples)
        self.step = PureStep(model)
        self.fresh = [to_numpy(variable) for variable in self.step.variables]
        difference = first_step_differs(model, self.step, training.data.few_samples)
        if difference:
            raise NotAsFit(f"{difference} differs from what Keras' own training step gives")
        self.program = backend_program(self.step)
        self.training_feed = TrainingFeed(self.program, training.data, training.batch_size)
        self.validation_feed = validation_feed(self.program, training.data)


class Stack:
    """Replicas that share a computation and differ in nothing but the values of their variables.

    Args:
        computation: what they share.
        members: the replicas.
        values: what gives, for each of them, the values of `model.variables` before training.
        described: for each of them what the record keeps of the initial state.
    """

    def __init__(
        self,
        computation: Computation,
        members: Sequence[Member],
        values: Sequence[Callable[[], Sequence[NDArray[Any]]]],
        described: Sequence[dict[str, Any]],
    ):
        self._started = time.perf_counter()
        self._training, self._model, self._step = computation.training, computation.model, computation.step
        self._program, self._fresh = computation.program, computation.fresh
        self._training_feed, self._validation_feed = computation.training_feed, computation.validation_feed
        self._members, self._described = members, described
        self._seeds = [member.seed for member in members]
        self._state = self._placed(values)
        self._curves: list[dict[str, list[float]]] = [{} for _ in members]
        self._active = np.ones(len(members), dtype=bool)
        self._frozen: dict[int, list[NDArray[Any]]] = {}

    def train(self, on_epochs: Callable[[int], None]) -> list[Outcome]:
        """Train all replicas for the budget and return their outcomes, in the order of the members.

        A replica whose loss is not finite at the end of an epoch has diverged: it is frozen there, its curves go on as
        NaN, and the others are not concerned.
        """
        symmetry = GroupSymmetry(self._model, len(self._members))
        self._evaluate_before_training()
        self._measure(symmetry, 0)
        for epoch in range(self._training.epochs):
            self._train_epoch(epoch)
            self._measure(symmetry, epoch + 1)
            self._freeze_diverged()
            on_epochs(len(self._members))
            if not self._active.any():
                break
        self._state = self._program.finished(self._state)
        weights = self._program.fetch([self._state[place] for place in self._step.model_variables])
        outcomes = [self._outcome(place, symmetry, weights) for place in range(len(self._members))]
        # One replica of an initializer is enough to look at.
        for outcome, place in {o.replica.initializer: (o, p) for p, o in reversed([*enumerate(outcomes)])}.values():
            outcome.pictures = symmetry.pictures(place)
        return outcomes

    def _evaluate_before_training(self) -> None:
        self._reset_metrics()
        self._state = self._training_feed.test(self._state)
        self._record(self._program.results(self._state) | self._validation_results(), epoch=0)

    def _train_epoch(self, epoch: int) -> None:
        self._reset_metrics()
        self._state, norms = self._training_feed.train(self._state, self._seeds, epoch)
        found = self._program.results(self._state) | self._validation_results()
        self._record(found | {GRADIENT_NORM: norms}, epoch + 1)

    def _validation_results(self) -> dict[str, NDArray[np.float64]]:
        if self._validation_feed is None:
            return {}
        self._reset_metrics()
        self._state = self._validation_feed.test(self._state)
        return {f"val_{name}": values for name, values in self._program.results(self._state).items()}

    def _record(self, found: dict[str, NDArray[np.float64]], epoch: int) -> None:
        for place in np.flatnonzero(self._active).tolist():
            for name, values in found.items():
                self._curves[place].setdefault(name, [math.nan] * epoch).append(float(values[place]))

    def _measure(self, symmetry: GroupSymmetry, epoch: int) -> None:
        step = self._step
        variables = self._program.fetch([self._state[place] for place in step.model_variables])
        optimizer = self._program.fetch([self._state[place] for place in step.optimizer_variables])
        symmetry.measure(epoch, variables, optimizer, self._active)

    def _freeze_diverged(self) -> None:
        for place in np.flatnonzero(self._active).tolist():
            if not math.isfinite(self._curves[place]["loss"][-1]):
                own = [self._state[variable][place] for variable in self._step.model_variables]
                self._frozen[place] = self._program.fetch(own)
                self._active[place] = False

    def _reset_metrics(self) -> None:
        for place in self._step.metric_variables:
            self._state[place] = self._program.place([self._repeated(self._fresh[place])])[0]

    def _placed(self, values: Sequence[Callable[[], Sequence[NDArray[Any]]]]) -> list[Any]:
        """Return the first state, without holding the values of all replicas more than once beside it."""
        places = self._step.model_variables
        stacked = {place: self._repeated(self._fresh[place]) for place in places}
        for number, given_values in enumerate(values):
            for place, value in zip(places, given_values(), strict=True):
                stacked[place][number] = value
        state = []
        for place, fresh in enumerate(self._fresh):
            given = stacked.pop(place) if place in stacked else self._repeated(fresh)
            state += self._program.place([given])
        return state

    def _repeated(self, value: NDArray[Any]) -> NDArray[Any]:
        return np.broadcast_to(value, (len(self._members), *value.shape)).copy()

    def _outcome(self, place: int, symmetry: GroupSymmetry, weights: list[NDArray[Any]]) -> Outcome:
        member, budget = self._members[place], self._training.epochs + 1
        curves = {name: [*c, *[math.nan] * (budget - len(c))] for name, c in self._curves[place].items()}
        replica = Replica(
            member.name,
            member.seed,
            seconds=(time.perf_counter() - self._started) / len(self._members),
            curves=curves,
            symmetry=symmetry.rows(place),
            initial_state=self._described[place],
        )
        final = self._frozen.get(place) or [stacked[place] for stacked in weights]
        return Outcome(replica, weights=final)


def _build_all(model: Any, batch: Any) -> None:
    """Create the variables of the optimizer, the loss and the metrics, as the first step of `fit` would."""
    model.optimizer.build(model.trainable_variables)
    if keras.backend.backend() == "jax":
        model._symbolic_build(data_batch=batch)  # where every operation outside a program is compiled by itself
    else:
        x, y, weight = batch
        predicted = model(x, training=False) if model._call_has_training_arg else model(x)
        model._compute_loss(x=x, y=y, y_pred=predicted, sample_weight=weight, training=False)
        model.compute_metrics(x, y, predicted, sample_weight=weight)
    model.reset_metrics()
