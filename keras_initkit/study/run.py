"""compare(): initializers x seeds, trained on the same batches, compared with intervals, kept in MLflow."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from keras_initkit import initializers as kit_initializers
from keras_initkit._checks import check_choice, check_integer, describe
from keras_initkit.convergence import Target, parse_target
from keras_initkit.study.data import StudyData
from keras_initkit.study.engines.group import Member, Outcome, Training, WrongModel
from keras_initkit.study.engines.sequential import SequentialEngine
from keras_initkit.study.engines.stacked import StackedEngine, joined_notes
from keras_initkit.study.grouping import groups_of
from keras_initkit.study.identity import StudyIdentity
from keras_initkit.study.naming import colours, named_initializers
from keras_initkit.study.progress import StudyProgress
from keras_initkit.study.record import Replica
from keras_initkit.study.results import StudyResults
from keras_initkit.study.scoring import FROM_STUDY, check_metric, scored, target_of_study
from keras_initkit.study.seeding import untouched_randomness
from keras_initkit.study.tracked import StudyTracker
from keras_initkit.tracking.initial_state import initial_params, initial_state


@untouched_randomness()
def compare(
    build_model: Callable[[Any], Any],
    x: Any,
    y: Any = None,
    *,
    validation_data: Any = None,
    initializers: Any,
    seeds: int | Sequence[int] = 10,
    epochs: int = 20,
    batch_size: int = 32,
    sample_weight: Any = None,
    class_weight: dict[int, float] | None = None,
    target: float | str | Target | None = None,
    engine: str = "auto",
    experiment: str | None = None,
    callbacks: Sequence[Any] = (),
    resume: bool = True,
    catch: type[Exception] | tuple[type[Exception], ...] = (),
    verbose: str | int = "auto",
) -> StudyResults:
    """Train a model with each initializer and seed, and compare how fast they learn.

    Every replica gets the same budget of epochs, and replicas with the same seed see the same batches in the same
    order, so initializers are compared in pairs. A seed fixes everything random while the model is built, as
    `keras.utils.set_random_seed(seed)` before `build_model` would, and the order of the data; no global state is
    changed. Loss and metrics are measured before training too (epoch 0), and the alikeness of the hidden units at
    every epoch.

    Example:

    ```python
    def build_model(kernel_initializer):
        model = keras.Sequential([
            keras.layers.Dense(64, "relu", kernel_initializer=kernel_initializer),
            keras.layers.Dense(10, "softmax", kernel_initializer=kernel_initializer),
        ])
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    results = ik.compare(build_model, x, y, initializers=["zeros", "he_normal", ik.initializers.ZerO()], seeds=5)
    print(results.summary())
    ```

    Args:
        build_model: function from an initializer to a compiled Keras model. It is called once per replica, with what
            was given: a name for a name of Keras, else an instance that gives new values to every layer.
        x: training inputs: an array of shape `(samples, ...)`, a dict or list of such arrays; or what gives its own
            batches in its own order: a `tf.data.Dataset`, a `keras.utils.PyDataset`, a function without arguments that
            returns an iterator of batches, or a generator, which is read once.
        y: training targets in the same form. Defaults to `None`.
        validation_data: `(x, y)`, `(x, y, sample_weight)` or a dataset. Defaults to `None`.
        initializers: list of initializers, or dict `{name: initializer}`; whatever `ik.initializers.get` takes. Seeds
            they have are replaced by those of the study.
        seeds: number n of seeds (0 to n - 1), or the seeds. Defaults to 10.
        epochs: budget of every replica. Defaults to 20.
        batch_size: samples per step. Defaults to 32.
        sample_weight: weights of the training samples, as in `fit`. Defaults to `None`.
        class_weight: dict from class to weight, as in `fit`. Defaults to `None`.
        target: what counts as having learned: a number (the training loss to reach) or a text such as
            `"val_accuracy >= 0.95"`. Defaults to `None`: 90 % of the way from the lowest median loss before training
            of an initializer to the lowest mean final loss of one, taken from the same study, as its summary says.
        engine: `"stacked"` trains the replicas together as one program (TensorFlow and JAX), with the results of
            `fit`; `"sequential"` trains them one by one through `fit`; `"auto"` stacks where that is exact, and says
            in `results.engine` what was done and why. Defaults to `"auto"`.
        experiment: name of the MLflow experiment. Defaults to `None`: nothing is tracked.
        callbacks: Keras callbacks that are given to every `fit`.
        resume: whether replicas that the experiment already has (same data, code of `build_model` and of what it uses,
            model, initializer, seed, budget and versions) are read instead of trained. Defaults to `True`; never done
            with `callbacks`, or where code or data cannot be compared.
        catch: exception class, or tuple of them, of a replica that do not end the study. A failed replica is recorded
            in any case. Defaults to `()`: the first error is raised.
        verbose: 0 for silence, 1 for a progress bar, `"auto"` for one if the output is a terminal. Defaults to
            `"auto"`.

    Returns:
        A `StudyResults`.

    Raises:
        ValueError: for an unknown initializer or metric, no seeds, no epochs, data that are NaN, empty or of different
            lengths.
        TypeError: if `build_model` does not return a compiled Keras model.
        TrackingError: if the MLflow store cannot be used; before any training.
    """
    check_choice("engine", engine, ("auto", "stacked", "sequential"))
    check_integer("epochs", epochs, 1)
    check_integer("batch_size", batch_size, 1)
    if not callable(build_model) or hasattr(build_model, "layers"):
        raise TypeError(
            "Expected `build_model` to be a function from an initializer to a compiled model. "
            f"Received: build_model={describe(build_model)}."
        )
    named = named_initializers(initializers)
    data = StudyData.of(x, y, validation_data, sample_weight=sample_weight, class_weight=class_weight)
    study = _Study(
        training=Training(build_model, data, epochs, batch_size, _callback_list(callbacks), _describe_model),
        engine=engine,
        named=named,
        seeds=_seed_list(seeds),
        target=None if target is None else parse_target(target),
        catch=catch if isinstance(catch, tuple) else (catch,),
        progress=StudyProgress(verbose, len(named) * len(_seed_list(seeds)) * epochs),
    )
    if experiment is None:
        study.probe()
        return study.results(study.train(None, {}, {}))
    with StudyTracker(experiment) as tracker:
        identity = study.probe()
        reusable = resume and not callbacks and identity.reproducible
        tracker.open(identity.study_id if reusable else uuid.uuid4().hex[:12], identity.params)
        keys = {(n, s): identity.replica_key(i, s) for n, i in named.items() for s in study.seeds}
        known = tracker.finished(list(keys.values())) if reusable else {}
        return tracker.complete(study.results(study.train(tracker, keys, known)))


@dataclass(frozen=True)
class _Study:
    training: Training
    engine: str
    named: dict[str, Any]
    seeds: list[int]
    target: Target | None
    catch: tuple[type[Exception], ...]
    progress: StudyProgress
    notes: list[str] = field(default_factory=list)

    @property
    def colours(self) -> dict[str, str]:
        return colours(list(self.named))

    @cached_property
    def members(self) -> list[Member]:
        """All replicas, in the order of the initializers."""
        return [Member(name, _maker(identifier), s) for name, identifier in self.named.items() for s in self.seeds]

    @cached_property
    def first_model(self) -> Any:
        """The model of the first initializer that can be built; failures that are caught come up in training."""
        failure: Exception | None = None
        for name, identifier in self.named.items():
            try:
                return self.training.build(Member(name, _maker(identifier), self.seeds[0]))
            except self.catch as error:
                if isinstance(error, WrongModel):
                    raise
                failure = error
        assert failure is not None
        raise failure

    def probe(self) -> StudyIdentity:
        """Build one model, to refuse what cannot work before anything is trained or tracked."""
        training = self.training
        if self.target is not None:
            check_metric(self.target, training.data.metric_names(self.first_model))
        return StudyIdentity.of(
            training.build_model, self.first_model, training.data, training.epochs, training.batch_size
        )

    def train(
        self,
        tracker: StudyTracker | None,
        keys: dict[tuple[str, int], str],
        known: dict[str, dict[str, Any]],
    ) -> list[Outcome]:
        """Train all replicas that are not known yet; each is scored and tracked as soon as it is finished."""
        old = {(m.name, m.seed): known[key] for m in self.members if (key := keys.get((m.name, m.seed), "")) in known}
        done = {place: self._known(Replica.from_dict(record), place[0]) for place, record in old.items()}
        self._add_pictures(done, tracker)
        drawn = {name for (name, _), outcome in done.items() if outcome.pictures}
        left = [member for member in self.members if (member.name, member.seed) not in done]
        with self.progress:
            self.progress.reached(len(done) * self.training.epochs)
            for group in groups_of(left, self.first_model, self.training):
                for outcome in self._trained(group):
                    name = outcome.replica.initializer
                    # One seed is enough to look at; the numbers of all are in the rows.
                    pictures = {} if name in drawn else outcome.pictures
                    drawn |= {name} if pictures else set()
                    done[name, outcome.replica.seed] = self._finish(replace(outcome, pictures=pictures), tracker, keys)
                    self.progress.reached(len(done) * self.training.epochs)
        return [done[member.name, member.seed] for member in self.members]

    def _trained(self, group: list[Member]) -> Iterator[Outcome]:
        if self.engine == "sequential":
            self.notes.append(f"{len(group)} replicas one after the other through `fit`")
            yield from SequentialEngine(self.training).train(group, self.progress.epochs)
            return
        engine = StackedEngine(self.training, strict=self.engine == "stacked")
        yield from engine.train(group, self.progress.epochs)
        self.notes.extend(engine.notes)

    def _finish(self, outcome: Outcome, tracker: StudyTracker | None, keys: dict[tuple[str, int], str]) -> Outcome:
        replica = scored(outcome.replica, self.target, self.training.epochs)
        if tracker is not None:
            key, colour = keys[replica.initializer, replica.seed], self.colours[replica.initializer]
            tracker.record(replica, key, colour, outcome.pictures)
        if outcome.exception is not None and not isinstance(outcome.exception, self.catch):
            raise outcome.exception
        return replace(outcome, replica=replica, weights=[])

    def _known(self, replica: Replica, name: str) -> Outcome:
        """Return the outcome of a replica that need not be trained; in this study it may go by another name."""
        return Outcome(scored(replace(replica, initializer=name), self.target, self.training.epochs))

    def _add_pictures(self, done: dict[tuple[str, int], Outcome], tracker: StudyTracker | None) -> None:
        """Add to the first known replica of each initializer the pictures that its run keeps."""
        first = {name: outcome for (name, _), outcome in reversed(list(done.items()))}
        for outcome in first.values():
            if tracker is not None:
                outcome.pictures.update(tracker.pictures(outcome.replica.run_id))

    def results(self, outcomes: list[Outcome]) -> StudyResults:
        replicas = [outcome.replica for outcome in outcomes]
        target = self.target or target_of_study(replicas)
        pictures: dict[str, Any] = {}
        for outcome in outcomes:
            if outcome.pictures:
                pictures.setdefault(outcome.replica.initializer, outcome.pictures)
        return StudyResults(
            records=tuple(scored(replica, target, self.training.epochs) for replica in replicas),
            budget=self.training.epochs,
            target=target,
            target_source="given" if self.target else FROM_STUDY,
            colours=self.colours,
            pictures=pictures,
            engine=joined_notes(self.notes),
        )


def _maker(identifier: Any) -> Callable[[], Any]:
    """Return what gives `build_model` its argument: a name of Keras as it is, else a new instance."""
    if isinstance(identifier, str) and type(kit_initializers.get(identifier)).__module__.startswith("keras."):
        return lambda: identifier
    return lambda: kit_initializers.fresh_per_call(identifier)


def _callback_list(callbacks: Any) -> tuple[Any, ...]:
    if not isinstance(callbacks, (list, tuple)):
        raise ValueError(f"Expected `callbacks` to be a list. Received: callbacks={describe(callbacks)}.")
    return tuple(callbacks)


def _seed_list(seeds: int | Sequence[int]) -> list[int]:
    if not isinstance(seeds, Iterable) or isinstance(seeds, (str, bytes)):
        return list(range(check_integer("seeds", seeds, 1)))
    given = [check_integer("seeds", seed, 0) for seed in seeds]
    if not given or len(set(given)) != len(given):
        raise ValueError(f"Expected `seeds` to be different seeds, at least one. Received: seeds={describe(seeds)}.")
    return given


def _describe_model(model: Any) -> dict[str, Any]:
    layers = initial_state(model)
    return {"layers": layers, "params": initial_params(layers)}
