"""The journal of a study: what is kept is whole or not there, whatever happens while it is written."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from keras_initkit.study import cache
from keras_initkit.study.engines.group import Member, Note, Outcome
from keras_initkit.study.journal import GroupJournal, StudyIsRunning
from keras_initkit.study.record import Replica
from keras_initkit.study.resuming import ResumableGroups
from keras_initkit.study.shipping import WorkerLost
from keras_initkit.tracking import file_lock

KEYS = {(name, seed): f"{name}{seed}" for name in "ab" for seed in range(3)}
MEMBERS = [Member(name, str, seed) for name, seed in KEYS]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_INITKIT_CACHE", str(tmp_path / "cache"))


def opened(**changes):
    return GroupJournal.open(changes.get("keys", KEYS), changes.get("engine", "stacked"))


def by_two(members):
    return [list(members[i : i + 2]) for i in range(0, len(members), 2)]


def names(groups):
    return [[(member.name, member.seed) for member in group] for group in groups]


def outcome(name, seed, exception=None, **changes):
    rng = np.random.default_rng(seed)
    replica = Replica(
        name,
        seed,
        status="failed" if exception else "finished",
        error=f"RuntimeError: {exception}" if exception else "",
        seconds=0.1,
        curves={"loss": [*rng.normal(size=3).tolist(), float("nan"), float("inf")]},
        symmetry=[{"layer": "hidden", "epoch": 0, "distinct": 3, "verdict": "healthy", "rms": 0.1}],
        initial_state={"layers": [{"seed": None}]},
    )
    pictures = {"hidden": (rng.normal(size=(3, 3)), rng.normal(size=(3, 3)).astype("float32"))}
    return Outcome(replica, exception, pictures=pictures, weights=[rng.normal(size=3)], **changes)


def assert_same(one, other):
    assert repr(one.replica) == repr(other.replica)  # NaN is not equal to itself
    assert one.pictures.keys() == other.pictures.keys()
    for layer, pair in one.pictures.items():
        for a, b in zip(pair, other.pictures[layer], strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def test_what_is_kept_comes_back_bit_for_bit():
    first = opened()
    assert not first.is_resumed
    groups = first.groups(MEMBERS, by_two)
    assert names(groups)[1] == [("a", 2), ("b", 0)]
    outcomes = [outcome("a", 2), outcome("b", 0, RuntimeError("full"))]
    assert first.kept(1).outcomes == {}
    first.keep(1, outcomes, [Note(2, "together")])
    first.release()

    again = opened()
    assert (again.is_resumed, again.attempt) == (True, first.attempt)
    kept = again.kept(1)
    assert list(kept.outcomes) == [("a", 2), ("b", 0)]
    assert kept.notes == [Note(2, "together")]
    for old, new in zip(outcomes, kept.outcomes.values(), strict=True):
        assert_same(old, new)
        assert new.exception is None
        assert new.weights == []
    assert again.kept(0).outcomes == again.kept(2).outcomes == {}


def test_groups_are_those_of_the_beginning_whatever_is_known_meanwhile():
    first = opened()
    before = names(first.groups(MEMBERS[1:], by_two))
    first.keep(0, [outcome("a", 1), outcome("a", 2)], [])
    first.release()

    again = opened()
    # MLflow knows the first from an earlier study, a whole group that is kept, one that is not, and half of the last.
    known = {("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)}
    assert again.own(known) == {("a", 1), ("a", 2), ("b", 2)}
    left = [member for member in MEMBERS if (member.name, member.seed) not in known - again.own(known)]
    assert names(again.groups(left, by_two)) == [before[0], [], before[2]]


def test_replicas_that_are_lost_elsewhere_get_groups_of_their_own():
    first = opened()
    before = names(first.groups(MEMBERS[1:], by_two))
    first.release()
    assert names(opened().groups(MEMBERS, by_two)) == [*before, [("a", 0)]]


def test_another_study_has_another_journal():
    first = opened()
    others = [opened(engine="sequential"), opened(keys=dict(reversed(KEYS.items()))), opened(keys={("c", 0): "a0"})]
    assert len({journal.attempt for journal in [first, *others]}) == 4


def test_a_study_without_a_journal_keeps_nothing(tmp_path):
    none = GroupJournal()
    assert none.own(set(KEYS)) == set()
    assert names(none.groups(MEMBERS, by_two)) == names(by_two(MEMBERS))
    none.keep(0, [outcome("a", 0)], [])
    assert none.kept(0).outcomes == {}
    assert (none.attempt, none.writer_lock) == ("", "")
    none.close()
    assert not (tmp_path / "cache").exists()


class Killed(BaseException):
    """What comes after it does not happen."""


class Half:
    """A file that is written by half when the writer dies."""

    def __init__(self, file, dies):
        self._file, self._dies = file, dies
        self.flush, self.fileno = file.flush, file.fileno

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def write(self, content):
        self._file.write(content[: len(content) // 2])
        if self._dies():
            raise Killed
        self._file.write(content[len(content) // 2 :])


# A study of three groups writes five files; each of them, and its name in the folder, is brought to the disk.
@pytest.mark.parametrize(
    ("step", "place"),
    [("fsync", place) for place in range(10)] + [(step, place) for step in ("write", "replace") for place in range(5)],
)
def test_a_death_at_any_write_leaves_what_was_kept_before(monkeypatch, step, place):
    def work():
        study = opened()
        attempts.append(study.attempt)
        groups = study.groups(MEMBERS, by_two)
        for index, group in enumerate(groups):
            study.keep(index, [outcome(m.name, m.seed) for m in group], [])
            done.append(index)

    def dies():
        calls.append(step)
        return len(calls) > place

    def dying(*arguments):
        if dies():
            raise Killed
        return function(*arguments)

    def opening(path, mode="r", **keywords):
        file = open_path(path, mode, **keywords)
        return Half(file, dies) if "w" in mode else file

    calls, done, attempts, function, open_path = [], [], [], getattr(os, step), Path.open
    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(Path, "open", opening)
        else:
            patch.setattr(cache.os, step, dying)
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # the dead clear nothing away
        with pytest.raises(Killed):
            work()
    file_lock._held.clear()  # as the system does with those of the dead
    again = opened()
    assert not attempts or again.attempt == attempts[0]
    assert names(again.groups(MEMBERS, by_two)) == names(by_two(MEMBERS))
    for index in range(3):
        kept = again.kept(index).outcomes
        # At the last sync of a file it has its name already.
        assert len(kept) == 2 if index in done else len(kept) in (0, 2)
        for (name, seed), new in kept.items():
            assert_same(outcome(name, seed), new)


def part(index=0, number=0):
    (folder,) = Path(os.environ["KERAS_INITKIT_CACHE"], "studies").iterdir()
    return folder / f"group-{index:05d}-{number:05d}.npz"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda _: b"no zip" * 100,
        lambda content: content[:200] + bytes([content[200] ^ 255]) + content[201:],
    ],
    ids=["empty", "half", "last byte", "foreign", "bit rot"],
)
def test_a_torn_file_counts_as_not_there(spoil):
    first = opened()
    first.groups(MEMBERS, by_two)
    for index in (0, 1):
        first.keep(index, [outcome(*name) for name in names(by_two(MEMBERS))[index]], [])
    first.release()
    part().write_bytes(spoil(part().read_bytes()))
    again = opened()
    again.groups(MEMBERS, by_two)
    assert again.kept(0).outcomes == {}
    assert len(again.kept(1).outcomes) == 2
    again.keep(0, [outcome("a", 0), outcome("a", 1)], [])
    assert len(again.kept(0).outcomes) == 2


def test_with_one_part_torn_the_group_is_trained_whole():
    first = opened()
    first.groups(MEMBERS, by_two)
    first.keep(0, [outcome("a", 0)], [])
    first.keep(0, [outcome("a", 1)], [])
    assert len(first.kept(0).outcomes) == 2
    part(0, 0).write_bytes(b"")
    assert first.kept(0).outcomes == {}
    assert not part(0, 1).exists()


@pytest.mark.parametrize("changes", [{"format": 99}, {"attempt": "of another"}, {"replicas": [{"surprise": 1}]}])
def test_a_file_of_another_format_or_study_counts_as_not_there(changes):
    first = opened()
    first.groups(MEMBERS, by_two)
    first.keep(0, [outcome("a", 0), outcome("a", 1)], [])
    with np.load(part()) as file:
        arrays = dict(file)
    manifest = json.loads(arrays.pop("manifest").tobytes()) | changes
    np.savez(part(), manifest=np.frombuffer(json.dumps(manifest).encode(), np.uint8), **arrays)
    assert first.kept(0).outcomes == {}


def test_a_file_of_another_group_counts_as_not_there():
    first = opened()
    first.groups(MEMBERS, by_two)
    first.keep(0, [outcome("a", 0), outcome("a", 1)], [])
    part(0).rename(part(1))
    assert first.kept(1).outcomes == {}


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"\xff", b'{"format": 1, "attempt": "x"}', b'{"format": 99, "attempt": "x", "groups": null}'],
)
def test_a_plan_that_cannot_be_read_is_a_new_study(content):
    first = opened()
    first.groups(MEMBERS, by_two)
    first.keep(0, [outcome("a", 0), outcome("a", 1)], [])
    part().with_name("study.json").write_bytes(content)
    first.release()
    again = opened()
    assert not again.is_resumed
    assert again.attempt != first.attempt
    again.groups(MEMBERS, by_two)
    assert again.kept(0).outcomes == {}


def test_the_same_study_twice_at_a_time_is_refused():
    first = opened()
    with pytest.raises(StudyIsRunning, match=r"Received: the same study, in this process.*resume=False"):
        opened()
    first.release()
    code = (
        "import sys; from pathlib import Path; from keras_initkit.tracking.file_lock import FileLock;"
        f"print(FileLock(Path({str(first._folder / 'lock')!r})).acquire(), flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"True\n"
    with pytest.raises(StudyIsRunning, match=f"in process {other.pid} on "):
        opened()
    other.kill()
    other.communicate()
    assert opened().attempt == first.attempt


def test_a_complete_study_leaves_nothing(tmp_path):
    first = opened()
    first.groups(MEMBERS, by_two)
    first.keep(0, [outcome("a", 0), outcome("a", 1)], [])
    first.close()
    assert list((tmp_path / "cache/studies").iterdir()) == []
    assert not opened().is_resumed


def test_journals_of_studies_that_nobody_resumes_are_removed_after_a_month():
    used, old, young = opened(engine="used"), opened(engine="old"), opened(engine="young")
    old.release()
    young.release()
    for study, days in [(used, 31), (old, 31), (young, 29)]:
        long_ago = time.time() - days * 24 * 3600
        for file in study._folder.iterdir():
            os.utime(file, (long_ago, long_ago))
    opened()
    assert [study._folder.exists() for study in (used, old, young)] == [True, False, True]


def test_a_full_disk_is_one_warning_and_the_study_goes_on(monkeypatch):
    first = opened()
    first.groups(MEMBERS, by_two)
    first.keep(0, [outcome("a", 0), outcome("a", 1)], [])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache.os, "fsync", full)
        with pytest.warns(UserWarning, match=r"Expected to keep.*No space left.*KERAS_INITKIT_CACHE") as caught:
            first.keep(1, [outcome("a", 2)], [])
        first.keep(2, [outcome("b", 1)], [])
    assert len(caught) == 1
    assert [len(first.kept(index).outcomes) for index in range(3)] == [2, 0, 0]
    assert not list(first._folder.glob("*.new"))
    first.close()
    assert not opened().is_resumed


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERAS_INITKIT_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="Expected to keep"):
        assert opened().attempt == ""


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"KERAS_INITKIT_CACHE": "/c", "XDG_CACHE_HOME": "/x"}, "/c"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/keras-initkit"),
        ("linux", {}, "/home/me/.cache/keras-initkit"),
        ("darwin", {}, "/home/me/Library/Caches/keras-initkit"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/keras-initkit/cache"),
    ],
)
def test_the_cache_is_where_the_system_keeps_caches(monkeypatch, platform, variables, folder):
    for name in ("KERAS_INITKIT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/home/me"} | variables).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache.cache_folder() == Path(folder)


def groups_of_two(study, engine="stacked", catch=()):
    return ResumableGroups(study, study.groups(MEMBERS, by_two), engine, catch)


def test_a_group_is_left_whole_unless_those_that_are_missing_are_trained_alone():
    first = opened()
    groups = groups_of_two(first)
    assert [(left.index, len(left.members), left.engine) for left in groups.left] == [
        (i, 2, "stacked") for i in range(3)
    ]
    together = groups.keep(0, iter([outcome("a", 0), outcome("a", 1)]), [Note(2, "together")])
    next(together)
    assert len(first.kept(0).outcomes) == 2, "on disk before the first is used"
    interrupted = groups.keep(1, iter([outcome("a", 2), outcome("b", 0)]), [])
    interrupted.close()
    next(groups.keep(2, iter([outcome("b", 1, alone=True), outcome("b", 2, alone=True)]), [Note(2, "alone: why")]))
    first.release()

    again = groups_of_two(opened())
    assert [(o.replica.initializer, o.replica.seed) for o in again.before] == [("a", 0), ("a", 1), ("b", 1)]
    assert [(left.index, names([left.members])[0], left.engine) for left in again.left] == [
        (1, [("a", 2), ("b", 0)], "stacked"),
        (2, [("b", 2)], "sequential"),
    ]
    list(again.keep(1, [outcome("a", 2), outcome("b", 0)], [Note(2, "together")]))
    list(again.keep(2, [outcome("b", 2, alone=True)], [Note(1, "alone")]))
    assert again.notes == [Note(2, "together"), Note(2, "together"), Note(2, "alone: why")]


def test_pictures_are_those_of_the_first_replica_of_an_initializer_in_each_group():
    groups = groups_of_two(opened())
    found = [o for i in range(3) for o in groups.keep(i, [outcome(*n) for n in names(by_two(MEMBERS))[i]], [])]
    pictured = [(o.replica.initializer, o.replica.seed) for o in found if o.pictures]
    assert pictured == [("a", 0), ("a", 2), ("b", 0), ("b", 1)]


def test_only_failures_that_are_caught_are_kept_and_none_of_the_workers():
    first = opened()
    groups = groups_of_two(first, catch=(RuntimeError,))
    outcomes = [outcome("a", 0, RuntimeError("x"), alone=True), outcome("a", 1, KeyError("x"), alone=True)]
    assert len(list(groups.keep(0, outcomes, []))) == 2
    assert list(first.kept(0).outcomes) == [("a", 0)]
    list(groups.keep(1, [outcome("a", 2, WorkerLost("x")), outcome("b", 0, WorkerLost("x"))], []))
    assert first.kept(1).outcomes == {}
