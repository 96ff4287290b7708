"""A study while it runs: which replicas there are, which are known, what becomes of each."""

import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from keras_initkit import initializers as kit_initializers
from keras_initkit.convergence import Target
from keras_initkit.study.engines.group import Member, Note, Outcome, Training, WrongModel, joined_notes
from keras_initkit.study.grouping import groups_of, workers_of
from keras_initkit.study.identity import StudyIdentity
from keras_initkit.study.naming import colours
from keras_initkit.study.progress import StudyProgress
from keras_initkit.study.record import Replica
from keras_initkit.study.results import StudyResults
from keras_initkit.study.scoring import FROM_STUDY, check_metric, scored, target_of_study
from keras_initkit.study.shipping import trained_elsewhere
from keras_initkit.study.tracked import StudyTracker
from keras_initkit.study.worker import train_group


@dataclass(frozen=True)
class RunningStudy:
    """The replicas of a study, from the first model to the results.

    Attributes:
        training: what all replicas share.
        engine: `"auto"`, `"stacked"` or `"sequential"`.
        named: name in the study -> initializer.
        seeds: seeds of the replicas.
        target: what counts as having learned, None to take it from the study.
        catch: errors of replicas that do not end the study.
        progress: shows how far it is.
        executor: where groups of replicas are trained, None for here.
        notes: how the groups were trained, and why.
    """

    training: Training
    engine: str
    named: dict[str, Any]
    seeds: list[int]
    target: Target | None
    catch: tuple[type[Exception], ...]
    progress: StudyProgress
    executor: Executor | None = None
    notes: list[Note] = field(default_factory=list)

    @property
    def colours(self) -> dict[str, str]:
        """Initializer name -> colour."""
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
        left = [member for member in self.members if (member.name, member.seed) not in done]
        groups = groups_of(left, self.first_model, self.training, workers_of(self.executor))
        with self.progress:
            self.progress.reached(len(done) * self.training.epochs)
            with closing(self._trained(groups)) as trained:
                for outcomes in trained:
                    for outcome in outcomes:
                        place = outcome.replica.initializer, outcome.replica.seed
                        done[place] = self._finish(self._with_one_picture(outcome, done), tracker, keys)
                    self.progress.reached(len(done) * self.training.epochs)
        return [done[member.name, member.seed] for member in self.members]

    def _trained(self, groups: list[list[Member]]) -> Generator[Iterable[Outcome]]:
        """Yield the outcomes of each group; here in the order of the groups, elsewhere as they get finished."""
        started = time.perf_counter()
        for number, outcomes in enumerate(self._here(groups) if self.executor is None else self._elsewhere(groups)):
            yield outcomes
            if number == 0 and len(groups) > 1:
                self.progress.estimate(time.perf_counter() - started, len(groups) - 1)

    def _here(self, groups: list[list[Member]]) -> Generator[Iterable[Outcome]]:
        for group in groups:
            yield train_group(self.engine, self.training, group, self.progress.epochs, self.notes.append)

    def _elsewhere(self, groups: list[list[Member]]) -> Generator[Iterable[Outcome]]:
        assert self.executor is not None
        arriving = trained_elsewhere(self.executor, self.training, self.engine, groups, self.progress.epochs)
        with closing(arriving):
            for _, outcomes, notes in arriving:
                self.notes.extend(notes)
                yield outcomes

    def _with_one_picture(self, outcome: Outcome, done: dict[tuple[str, int], Outcome]) -> Outcome:
        """Return the outcome, without pictures if the initializer has some: one seed is enough to look at."""
        name = outcome.replica.initializer
        drawn = any(earlier.pictures for (other, _), earlier in done.items() if other == name)
        return replace(outcome, pictures={}) if drawn else outcome

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
        """Return the results of a study whose replicas are all trained."""
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
