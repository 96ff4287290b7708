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
from keras_initkit.study.journal import GroupJournal
from keras_initkit.study.naming import colours
from keras_initkit.study.progress import StudyProgress
from keras_initkit.study.record import Replica
from keras_initkit.study.results import StudyResults
from keras_initkit.study.resuming import ResumableGroups
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
        journal: GroupJournal,
    ) -> list[Outcome]:
        """Train all replicas that are not known yet; each is scored and tracked as soon as the journal has it."""
        old = {(m.name, m.seed): known[key] for m in self.members if (key := keys.get((m.name, m.seed), "")) in known}
        own = journal.own(old.keys())
        old = {place: record for place, record in old.items() if place not in own}
        done = {place: self._known(Replica.from_dict(record), place[0]) for place, record in old.items()}
        self._add_pictures(done, tracker)
        drawn = {name for (name, _), outcome in done.items() if outcome.pictures}
        left = [member for member in self.members if (member.name, member.seed) not in done]
        workers = workers_of(self.executor)
        cut = journal.groups(left, lambda new: groups_of(new, self.first_model, self.training, workers))
        groups = ResumableGroups(journal, cut, self.engine, self.catch)
        with self.progress:
            self.progress.reached(len(done) * self.training.epochs)
            with closing(self._trained(groups)) as trained:
                for outcomes in trained:
                    for outcome in outcomes:
                        name = outcome.replica.initializer
                        shown = replace(outcome, pictures={}) if name in drawn else outcome
                        done[name, outcome.replica.seed] = self._finish(shown, tracker, keys)
                    self.progress.reached(len(done) * self.training.epochs)
        self.notes.extend(groups.notes)
        return [done[member.name, member.seed] for member in self.members]

    def _trained(self, groups: ResumableGroups) -> Generator[Iterable[Outcome]]:
        """Yield the outcomes of each group; here in the order of the groups, elsewhere as they get finished."""
        yield groups.before
        started = time.perf_counter()
        for number, outcomes in enumerate(self._here(groups) if self.executor is None else self._elsewhere(groups)):
            yield outcomes
            if number == 0 and len(groups.left) > 1:
                self.progress.estimate(time.perf_counter() - started, len(groups.left) - 1)

    def _here(self, groups: ResumableGroups) -> Generator[Iterable[Outcome]]:
        for left in groups.left:
            notes: list[Note] = []
            outcomes = train_group(left.engine, self.training, left.members, self.progress.epochs, notes.append)
            yield groups.keep(left.index, outcomes, notes)

    def _elsewhere(self, groups: ResumableGroups) -> Generator[Iterable[Outcome]]:
        assert self.executor is not None
        # One by one are those that are left of a group, unless the whole study is.
        for engine in dict.fromkeys(left.engine for left in groups.left):
            left = [left for left in groups.left if left.engine == engine]
            members = [one.members for one in left]
            arriving = trained_elsewhere(self.executor, self.training, engine, members, self.progress.epochs)
            with closing(arriving):
                for number, outcomes, notes in arriving:
                    yield groups.keep(left[number].index, outcomes, notes)

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
