"""A study that was interrupted is taken up: what is complete stays, what is not leaves the comparison."""

import os
import signal
import subprocess
import sys
import time

import mlflow
import pytest

from keras_initkit.tracking import study_store
from keras_initkit.tracking.attempts import Earlier
from keras_initkit.tracking.study_store import Content, Place


@pytest.fixture
def place(sqlite_store):
    uri = study_store.open_store(study_store.locate(sqlite_store, os.getcwd()))
    return study_store.find_place(uri, "e", {})


@pytest.fixture
def lock(tmp_path):
    yield str(tmp_path / "writer")
    study_store.let_go()


def run(place, name, seed, status, *, kind="replica", attempt="mine", **tags):
    tags = {"initkit.study": "s", "initkit.kind": kind, "initkit.attempt": attempt, **tags}
    params = {} if kind == "summary" else {"init/name": name, "seed": seed}
    run_id = study_store.open_run(place, f"{name} {seed}", Content(params, tags))
    if status != "RUNNING":
        study_store.end_run(place, run_id, status)
    return run_id


def state(run_id):
    found = mlflow.MlflowClient().get_run(run_id)
    return found.info.status, "initkit.study" in found.data.tags, "initkit.replica_key" in found.data.tags


def test_what_is_complete_stays_and_what_is_not_leaves_the_comparison(place, lock):
    key = {"initkit.replica_key": "k"}
    summary = run(place, "summary", "", "RUNNING", kind="summary")
    finished = run(place, "a", "0", "FINISHED", **key)
    failed = run(place, "a", "1", "FAILED", **key, **{"initkit.error": "RuntimeError: x"})
    torn = [run(place, "a", "2", status, **key) for status in ("RUNNING", "KILLED", "FAILED")]
    other = run(place, "a", "2", "RUNNING", attempt="another", **key)
    earlier = study_store.take_up(place, "mine", lock, is_resumed=True)
    assert earlier == Earlier(summary, {("a", "0"): finished, ("a", "1"): failed})
    assert [state(run_id) for run_id in torn] == [(status, False, False) for status in ("KILLED", "KILLED", "FAILED")]
    assert state(finished) == ("FINISHED", True, True)
    assert state(failed) == ("FAILED", True, True)
    assert state(other) == ("RUNNING", True, True), "of a study that may be alive"

    assert study_store.open_summary(place, "summary", Content(), earlier) == summary
    study_store.end_run(place, summary, "FINISHED")
    assert state(summary) == ("FINISHED", True, False)
    assert study_store.take_up(place, "mine", f"{lock}-2", is_resumed=True) == earlier


def test_numbers_that_a_run_has_are_not_written_again(place):
    run_id = study_store.open_run(place, "a", Content())
    study_store.fill_run(place, run_id, Content(curves={"a": {0: 0.1}, "b": {0: 1.0}}))
    study_store.correct_run(place, run_id, {"a": {0: 0.1}, "b": {0: 2.0}, "c": {0: 3.0}})
    client = mlflow.MlflowClient()
    values = {key: [point.value for point in client.get_metric_history(run_id, key)] for key in "abc"}
    assert values == {"a": [0.1], "b": [1.0, 2.0], "c": [3.0]}


def test_two_do_not_write_one_study(place, lock, monkeypatch):
    monkeypatch.setattr(study_store, "_ENDING", 0.2)
    study_store.take_up(place, "mine", lock, is_resumed=False)
    with pytest.raises(study_store.TrackingError, match="Received: this process"):
        study_store.take_up(place, "mine", lock, is_resumed=True)
    study_store.let_go()
    study_store.take_up(Place("sqlite:///nowhere.db", "1", {}), "mine", lock, is_resumed=False)


FORKING = """
import os, signal, time
from keras_initkit.tracking.writer import Writer

writer = Writer()
print(writer.submit(os.getpid).result(), flush=True)
if os.fork() == 0:
    print(os.getpid(), flush=True)
    time.sleep(60)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="looks into /proc")
def test_the_process_that_writes_ends_with_its_parent_although_a_fork_holds_the_pipe():
    with subprocess.Popen([sys.executable, "-c", FORKING], stdout=subprocess.PIPE) as parent:
        writing, fork = int(parent.stdout.readline()), int(parent.stdout.readline())
        parent.wait()
        try:
            deadline = time.monotonic() + 10
            while is_alive(writing) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert not is_alive(writing)
        finally:
            os.kill(fork, signal.SIGKILL)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
