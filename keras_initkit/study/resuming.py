"""The groups of a study that may be resumed: what is left to train of them; what came of them is on disk before all."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from keras_initkit.study.engines.group import Member, Note, Outcome
from keras_initkit.study.journal import GroupJournal
from keras_initkit.study.shipping import WorkerLost


@dataclass(frozen=True)
class Left:
    """What is left to train of a group.

    Attributes:
        index: number of the group in the study.
        members: its members, or those that are missing.
        engine: the study's engine; `"sequential"` if only members are missing that were to be trained one by one.
    """

    index: int
    members: list[Member]
    engine: str


class ResumableGroups:
    """The groups of a study, of which some are in its journal.

    A group is trained whole, since its numbers depend on who is in it. If it was interrupted after all that is trained
    together in it was done, those that are missing are trained one by one, as they would have been.

    Args:
        journal: journal of the study.
        groups: its groups.
        engine: the study's engine.
        catch: errors of replicas that do not end the study. Replicas that failed with others are trained again.

    Attributes:
        before: the outcomes that the journal has.
        left: what is left to train.
    """

    def __init__(
        self,
        journal: GroupJournal,
        groups: Sequence[list[Member]],
        engine: str,
        catch: tuple[type[Exception], ...] = (),
    ):
        self._journal, self._catch = journal, catch
        self._kept = [journal.kept(index) for index in range(len(groups))]
        self._notes = [list(kept.notes) for kept in self._kept]
        self.before: list[Outcome] = []
        self.left: list[Left] = []
        for index, (group, kept) in enumerate(zip(groups, self._kept, strict=True)):
            missing = [member for member in group if (member.name, member.seed) not in kept.outcomes]
            self.before += kept.outcomes.values()
            if missing:
                self.left.append(Left(index, missing, "sequential" if kept.outcomes else engine))

    @property
    def notes(self) -> list[Note]:
        """How the groups were trained, in their order."""
        return [note for notes in self._notes for note in notes]

    def keep(self, index: int, outcomes: Iterable[Outcome], notes: Sequence[Note]) -> Iterator[Outcome]:
        """Yield the outcomes of a group, with the pictures of one replica per initializer, once they are on disk.

        Args:
            index: number of the group.
            outcomes: outcomes of what was left to train of it.
            notes: how; it may grow while the outcomes are taken.
        """
        kept = self._kept[index].outcomes.values()
        drawn = {outcome.replica.initializer for outcome in kept if outcome.pictures}
        waiting: list[Outcome] = []
        for outcome in outcomes:
            name = outcome.replica.initializer
            # One seed is enough to look at; the numbers of all are in the rows.
            waiting.append(replace(outcome, pictures={} if name in drawn else outcome.pictures, weights=[]))
            drawn |= {name} if outcome.pictures else set()
            if outcome.alone:  # all that is trained together is done by then
                yield from self._keep(index, waiting, notes)
                waiting = []
        yield from self._keep(index, waiting, notes)

    def _keep(self, index: int, outcomes: list[Outcome], notes: Sequence[Note]) -> list[Outcome]:
        # The notes of a group that was interrupted count those that were missing.
        new = [] if self._kept[index].outcomes else list(notes[len(self._notes[index]) :])
        self._notes[index] += new
        self._journal.keep(index, [o for o in outcomes if o.exception is None or self._is_final(o.exception)], new)
        return outcomes

    def _is_final(self, error: Exception) -> bool:
        return isinstance(error, self._catch) and not isinstance(error, WorkerLost)
