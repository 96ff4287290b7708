"""The journal of a study: what its groups are and what came of them, on disk, for a study that is killed and resumed.

A group of replicas is trained as one program, and its numbers depend in the last bits on who is in it and in which
order. The groups are therefore written down when a study begins, and a study that is resumed trains those that are
missing as they were meant.
"""

import contextlib
import hashlib
import io
import json
import uuid
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_initkit.study.cache import cache_folder, remove_empty, remove_forgotten, remove_locked, write_whole
from keras_initkit.study.engines.group import Member, Note, Outcome
from keras_initkit.study.pictures import pack, unpack
from keras_initkit.study.record import Replica
from keras_initkit.tracking.errors import first_line
from keras_initkit.tracking.file_lock import FileLock

_FORMAT = 1
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error)
_Name = tuple[str, int]  # initializer and seed


class StudyIsRunning(RuntimeError):
    """The same study is being trained by another process."""


@dataclass(frozen=True)
class Kept:
    """What came of a group.

    Attributes:
        outcomes: initializer and seed -> outcome, without exception and weights; the record tells the error.
        notes: how the replicas were trained.
    """

    outcomes: dict[_Name, Outcome] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)


class GroupJournal:
    """What a study has done so far, in a folder of the cache that one process at a time can use.

    A file that is torn, or of another study or format, counts as not there. A folder that cannot be written is one
    warning, and the study goes on without a journal.

    Example:

    ```python
    journal = GroupJournal.open(keys, "stacked", "digits", "sqlite:///mlflow.db")
    for index, group in enumerate(journal.groups(members, cut)):
        if len(journal.kept(index).outcomes) < len(group):
            journal.keep(index, list(engine.train(group)), engine.notes)
    journal.close()
    ```

    Args:
        folder: folder of the study, which this process has locked; None for a journal that keeps nothing.
        lock: the lock on it.

    Attributes:
        attempt: id of the study from its beginning until it is complete, however often it is resumed; empty for a
            journal that keeps nothing.
        is_resumed: whether the study began earlier.
    """

    def __init__(self, folder: Path | None = None, lock: FileLock | None = None):
        self._folder = folder
        self._lock = lock
        self._is_broken = False
        self._plan: list[list[_Name]] | None = None
        self._parts: dict[int, int] = {}
        self.is_resumed = False
        self.attempt = "" if folder is None else uuid.uuid4().hex
        if folder is None:
            return
        state = _read_state(folder / "study.json")
        if state is None:
            self._write_state()
        else:
            self.attempt, self._plan = state
            self.is_resumed = True

    @classmethod
    def open(cls, keys: Mapping[_Name, str], *facts: str) -> "GroupJournal":
        """Return the journal of a study, and remove those of studies that nobody has resumed for a month.

        Args:
            keys: initializer and seed -> key of every replica, in order.
            *facts: what else decides the groups, or where the results go: engine, workers, experiment, store.

        Raises:
            StudyIsRunning: if another process has the journal of the same study open.
        """
        digest = hashlib.sha256(json.dumps([[*map(list, keys.items())], facts]).encode()).hexdigest()[:32]
        studies = cache_folder() / "studies"
        folder = studies / digest
        try:
            remove_forgotten(studies)
            lock = FileLock(folder / "lock")
            is_free = lock.acquire()
        except OSError as error:
            _warn(error)
            return cls()
        if not is_free:
            raise StudyIsRunning(
                f"Expected the study not to be in training already. Received: the same study, in {lock.holder()}. Wait "
                "for it or end it; then this goes on where it was. With `resume=False` both train all replicas."
            )
        try:
            return cls(folder, lock)
        except OSError as error:
            lock.release()
            _warn(error)
            return cls()

    @property
    def writer_lock(self) -> str:
        """File that the process that writes to MLflow locks as long as it lives; empty if nothing is kept."""
        return "" if self._folder is None else str(self._folder / "writer")

    def own(self, known: Set[_Name]) -> set[_Name]:
        """Return the replicas that are this study's to keep or train, although another source may know some of them.

        These are those of the groups it began with, but for groups that it has not kept and the source knows whole.

        Args:
            known: the replicas that the other source, which is MLflow, knows.
        """
        plan = [set(group) for group in self._plan or []]
        return {
            name for i, group in enumerate(plan) if not group <= known or self.kept(i).outcomes.keys() for name in group
        }

    def groups(
        self, members: Sequence[Member], cut: Callable[[Sequence[Member]], list[list[Member]]]
    ) -> list[list[Member]]:
        """Return the members in the groups of the study's beginning; groups of replicas that are no members are empty.

        Args:
            members: the replicas that `own` returns, and those that nobody knows.
            cut: makes groups of members that are in none yet, which are all when the study begins.
        """
        by_name = {(member.name, member.seed): member for member in members}
        plan = list(self._plan or [])
        groups = [[by_name[name] for name in group if group[-1] in by_name] for group in plan]
        placed = {(member.name, member.seed) for group in groups for member in group}
        left = [member for name, member in by_name.items() if name not in placed]
        if left or self._plan is None:
            new = cut(left) if left else []
            self._plan = plan + [[(member.name, member.seed) for member in group] for group in new]
            self._safely(self._write_state)
            groups += new
        return groups

    def kept(self, index: int) -> Kept:
        """Return what is known of a group.

        Some members are there and others not if the study was interrupted while it trained the members that are
        trained one by one, whose numbers do not depend on the others.
        """
        kept = Kept()
        if self._folder is None or self._plan is None:
            return kept
        parts = sorted(self._folder.glob(f"group-{index:05d}-*.npz"))
        try:
            for number, part in enumerate(parts):
                outcomes, notes = self._read(part)
                if part.name != _part_name(index, number) or not outcomes.keys() <= set(self._plan[index]):
                    raise ValueError("of another group")
                kept.outcomes.update(outcomes)
                kept.notes.extend(notes)
        except _UNREADABLE:
            # One part tells nothing: replicas that are trained together are kept together.
            for part in parts:
                with contextlib.suppress(OSError):
                    part.unlink()
            parts, kept = [], Kept()
        self._parts[index] = len(parts)
        return kept

    def keep(self, index: int, outcomes: Sequence[Outcome], notes: Sequence[Note]) -> None:
        """Keep outcomes of a group, all at once or in parts; they are on disk when this returns.

        Of an exception its text is kept, which is in the record. Weights are not kept.
        """
        if outcomes:
            self._safely(lambda: self._write_part(index, outcomes, notes))

    def release(self) -> None:
        """Let another process, or a later call, go on with the study."""
        if self._lock is not None:
            self._lock.release()

    def close(self) -> None:
        """Forget the study, which is complete and in MLflow."""
        if self._folder is not None:
            remove_locked(self._folder)
        self.release()
        if self._folder is not None:  # Windows keeps what is open
            remove_empty(self._folder)
            self._folder = None

    def _write_state(self) -> None:
        if self._folder is not None and not self._is_broken:
            state = {"format": _FORMAT, "attempt": self.attempt, "groups": self._plan}
            write_whole(self._folder / "study.json", json.dumps(state).encode())

    def _write_part(self, index: int, outcomes: Sequence[Outcome], notes: Sequence[Note]) -> None:
        if self._folder is None or self._is_broken:
            return
        manifest = {
            "format": _FORMAT,
            "attempt": self.attempt,
            "replicas": [vars(outcome.replica) for outcome in outcomes],
            "notes": [vars(note) for note in notes],
        }
        pictures = pack({str(i): outcome.pictures for i, outcome in enumerate(outcomes)})
        buffer = io.BytesIO()
        text = np.frombuffer(json.dumps(manifest).encode(), np.uint8)
        np.savez(buffer, manifest=text, **pictures)  # type: ignore[arg-type]
        part = self._parts.get(index, 0)
        self._parts[index] = part + 1
        write_whole(self._folder / _part_name(index, part), buffer.getvalue())

    def _read(self, file: Path) -> tuple[dict[_Name, Outcome], list[Note]]:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
            manifest = json.loads(arrays["manifest"].tobytes())
            if [manifest["format"], manifest["attempt"]] != [_FORMAT, self.attempt]:
                raise ValueError("of another study")
            pictures = unpack(arrays)
        replicas = [Replica.from_dict(record) for record in manifest["replicas"]]
        return {
            (replica.initializer, replica.seed): Outcome(replica, pictures=pictures.get(str(i), {}))
            for i, replica in enumerate(replicas)
        }, [Note(**note) for note in manifest["notes"]]

    def _safely(self, write: Callable[[], None]) -> None:
        """Write; if that fails, say so once."""
        try:
            write()
        except OSError as error:
            self._is_broken = True
            _warn(error)


def _part_name(index: int, part: int) -> str:
    return f"group-{index:05d}-{part:05d}.npz"


def _read_state(path: Path) -> tuple[str, list[list[_Name]] | None] | None:
    """Return attempt and groups of a study that was interrupted, or None if there is none that can be resumed."""
    try:
        state = json.loads(path.read_bytes())
        if state["format"] != _FORMAT:
            return None
        groups = state["groups"]
        plan = None if groups is None else [[(str(name), int(seed)) for name, seed in group] for group in groups]
        return str(state["attempt"]), plan
    except _UNREADABLE:
        return None


def _warn(error: OSError) -> None:
    warnings.warn(
        f"Expected to keep what the study has done in {str(cache_folder())!r}. Received: {first_line(error)}. The "
        "study goes on; what is finished is in MLflow, but if it is killed it may not be resumed with the same groups. "
        "Let the environment variable KERAS_INITKIT_CACHE name a folder that can be written.",
        stacklevel=3,
    )
