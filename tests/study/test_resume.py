"""A study that is killed at any moment goes on where it was, with the results it would have had."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import mlflow
import numpy as np
import pytest

from keras_initkit.study.results import StudyResults
from keras_initkit.tracking import writer
from tests.study import interrupted

ROOT = Path(__file__).parents[2]
# What a study says of itself, and how often it does so, even if some of its groups are known.
MOMENTS = {"train": 2, "train-done": 2, "keep": 2, "keep-done": 2, "record": 12, "record-done": 12}
MOMENTS |= dict.fromkeys(["start", "open", "open-done", "complete", "complete-done", "_end", "_end-done"], 1)
REPLICAS = {(name, str(seed)) for name in interrupted.INITIALIZERS for seed in range(interrupted.SEEDS)}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_INITKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, migrated_store):
    """The numbers of a study that nobody interrupts, by engine."""
    known = {}

    def of(engine):
        if engine not in known:
            folder = tmp_path_factory.mktemp("undisturbed")
            shutil.copy(migrated_store, folder / "mlflow.db")
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
                patch.setenv("KERAS_INITKIT_CACHE", str(folder / "cache"))
                patch.setattr(writer, "_start", lambda: None)
                interrupted.noting(folder / "events", patch.setattr)
                file = interrupted.study(engine).save(folder / "results.npz")
            known[engine] = interrupted.numbers(StudyResults.load(file))
        return known[engine]

    return of


class Session:
    """One start of the study in a process of its own."""

    def __init__(self, folder, engine):
        self._events = folder / "events"
        self._seen = len(self._lines())
        command = [sys.executable, "-m", "tests.study.interrupted", str(folder), engine]
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def _lines(self):
        return self._events.read_text().splitlines() if self._events.exists() else []

    def wait_until(self, moment, times=1):
        """Wait until it has come so far so many times, or ended; return whether it lives."""
        if moment == "start":
            return True
        while self.process.poll() is None:
            words = [line.split()[0] for line in self._lines()[self._seen :]]
            if words.count(moment) >= times:
                return True
            time.sleep(0.002)
        return False

    def kill(self, *, with_writer):
        writers = _children(self.process.pid) if with_writer else []
        self.process.kill()
        for pid in writers:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def finish(self):
        return self.process.wait(240)


def _children(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, task.read_text().split())
    return found


def runs(kind="replica"):
    return mlflow.search_runs(experiment_names=["e"], filter_string=f"tags.`initkit.kind` = '{kind}'")


def assert_complete(folder, engine, expected):
    """Every replica has one run that is compared, nothing is open, and all numbers are those of a calm study."""
    results = StudyResults.load(folder / "results.npz")
    received = interrupted.numbers(results)
    # A study that was killed when it was complete is read from MLflow, which does not tell how it was trained.
    assert received == expected | ({} if received["engine"] else {"engine": ""})
    found = runs()
    compared = found[found["tags.initkit.study"].notna()]
    assert Counter(zip(compared["params.init/name"], compared["params.seed"], strict=True)) == Counter(REPLICAS)
    for _, run in compared.iterrows():
        fails = engine == "sequential" and run["params.init/name"] == "glorot_uniform"
        assert run["status"] == ("FAILED" if fails else "FINISHED")
    assert set(found["status"]) <= {"FINISHED", "FAILED", "KILLED"}
    assert set(runs("summary")["status"]) == {"FINISHED"}
    assert {record.run_id for record in results.records} == set(compared["run_id"])
    client = mlflow.MlflowClient()
    for record in results.records:
        for key in client.get_run(record.run_id).data.metrics:
            points = [(point.step, point.value) for point in client.get_metric_history(record.run_id, key)]
            assert len(points) == len(set(points)), f"{key} of {record.run_id} twice"
    assert not list((folder / "cache/studies").iterdir()), "the journal of a study that is complete"


def assert_nothing_trained_twice(folder):
    kept = set()
    for line in (folder / "events").read_text().splitlines():
        what, *replicas = line.split()
        assert what not in ("train", "_train_one") or not kept & set(replicas), line
        kept |= set(replicas) if what == "keep-done" else set()
    assert kept == {f"{name}/{seed}" for name, seed in REPLICAS}


def interrupt_at(folder, engine, moments):
    """Kill the study at each of the moments `(event, how often it was seen, seconds after, writer too)`, finish it."""
    for moment, times, seconds, with_writer in moments:
        session = Session(folder, engine)
        if session.wait_until(moment, times):
            time.sleep(seconds)
        session.kill(with_writer=with_writer)
        if session.process.returncode == 0:
            return  # it was faster
    assert Session(folder, engine).finish() == 0, (folder / "log").read_text()[-3000:]


@pytest.mark.usefixtures("sqlite_store")
@pytest.mark.parametrize(
    ("engine", "moments"),
    [
        ("stacked", [("train", 2, 0.05, False), ("record", 4, 0.01, True)]),
        ("sequential", [("_train_one", 5, 0.2, True)]),
    ],
)
def test_a_study_that_is_killed_is_resumed(tmp_path, engine, moments, undisturbed):
    interrupt_at(tmp_path, engine, moments)
    assert_complete(tmp_path, engine, undisturbed(engine))
    assert_nothing_trained_twice(tmp_path)


@pytest.mark.usefixtures("sqlite_store")
def test_ctrl_c_ends_all_runs_and_the_study_is_resumed(tmp_path, undisturbed):
    session = Session(tmp_path, "stacked")
    assert session.wait_until("keep-done", 2)
    session.process.send_signal(signal.SIGINT)
    assert session.finish() != 0
    assert "KeyboardInterrupt" in (tmp_path / "log").read_text()
    assert set(runs("summary")["status"]) == {"KILLED"}
    assert set(runs()["status"]) == {"FINISHED"}
    assert Session(tmp_path, "stacked").finish() == 0
    assert_complete(tmp_path, "stacked", undisturbed("stacked"))
    assert_nothing_trained_twice(tmp_path)


@pytest.mark.benchmark
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("sqlite_store")
@pytest.mark.parametrize("seed", range(10))
def test_a_study_that_is_killed_at_random_is_resumed_ten_times_in_a_row(tmp_path, seed, undisturbed):
    rng = np.random.default_rng(seed)
    engine = "sequential" if seed % 3 == 2 else "stacked"
    moments = [
        (moment, int(rng.integers(MOMENTS[moment])) + 1, float(rng.exponential(0.1)), bool(rng.integers(2)))
        for moment in map(str, rng.choice(list(MOMENTS), 3))
    ]
    if engine == "sequential":
        moments = [(moment.replace("train", "_train_one"), *rest) for moment, *rest in moments]
    print(engine, moments)
    interrupt_at(tmp_path, engine, moments)
    assert_complete(tmp_path, engine, undisturbed(engine))
    assert_nothing_trained_twice(tmp_path)
