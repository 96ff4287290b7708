"""A study in MLflow: replicas, summary, view, resuming, failures."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import mlflow
import numpy as np
import pytest

import keras_initkit as ik
from keras_initkit.study.record import Replica
from keras_initkit.study.tracked import StudyTracker
from keras_initkit.tracking import writer
from keras_initkit.tracking.errors import TrackingError
from tests.study.problem import build_model, digits

X, Y = digits()
pytestmark = pytest.mark.usefixtures("sqlite_store")


@pytest.fixture
def other_process():
    """Asks for the process that writes; without it the same functions are called here, which saves its start."""


@pytest.fixture(autouse=True)
def _written_here(request, monkeypatch):
    if "other_process" not in request.fixturenames:
        monkeypatch.setattr(writer, "_start", lambda: None)


def study(build=build_model, **changes):
    arguments = {"initializers": ["zeros", "he_normal"], "seeds": 2, "epochs": 2, "experiment": "e", "verbose": 0}
    return ik.compare(build, X, Y, validation_data=(X, Y), **(arguments | changes))


def store_file():
    return os.environ["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///")


def runs(kind="replica"):
    return mlflow.search_runs(experiment_names=["e"], filter_string=f"tags.`initkit.kind` = '{kind}'")


def artifact(run_id, name):
    return mlflow.artifacts.load_text(f"runs:/{run_id}/{name}")


@pytest.mark.usefixtures("other_process")
def test_every_replica_is_a_run_with_epoch_0_symmetry_and_convergence():
    results = study()
    found = runs().set_index("run_id")
    assert len(found) == 4
    assert set(found["status"]) == {"FINISHED"}
    assert set(results.replicas["run_id"]) == set(found.index)
    for record in results.records:
        run = found.loc[record.run_id]
        assert run["tags.mlflow.runName"] == f"{record.initializer} · seed {record.seed}"
        assert run["params.init/name"] == record.initializer
        assert run["params.seed"] == str(record.seed)
        assert run["params.optimizer/lr"] == "0.1"
        assert run["metrics.convergence/final_loss"] == pytest.approx(record.metrics["final"])
        assert run["metrics.convergence/epochs_to_target_capped"] == record.metrics["epochs_to_target_capped"]
        history = mlflow.MlflowClient().get_metric_history(record.run_id, "train/loss")
        assert [(m.step, m.value) for m in history] == list(enumerate(record.curves["loss"]))
        locked = mlflow.MlflowClient().get_metric_history(record.run_id, "symmetry/hidden_2/locked")
        assert [m.value for m in locked] == [8.0 if record.initializer == "zeros" else 0.0] * 3
        layers = json.loads(artifact(record.run_id, "initializers.json"))
        assert [layer["weights"][0]["shape"] for layer in layers] == [[64, 8], [8, 8], [8, 3]]
    assert found.groupby("params.init/name")["tags.mlflow.runColor"].nunique().tolist() == [1, 1]


def test_the_summary_run_has_table_figures_and_a_view():
    results = study()
    (summary,) = runs("summary").to_dict("records")
    assert summary["status"] == "FINISHED"
    assert summary["params.target"] == str(results.target)
    assert artifact(summary["run_id"], "summary.txt").strip() == results.summary()
    assert artifact(summary["run_id"], "table.csv").startswith("rank,initializer")
    figures = mlflow.MlflowClient().list_artifacts(summary["run_id"], "figures")
    assert {f.path.split("/")[1] for f in figures} >= {"curves_loss.png", "ranking.png", "symmetry.png", "heatmaps.png"}
    experiment = mlflow.get_experiment_by_name("e")
    view = results.url.split("viewStateShareKey=")[1].split("&")[0]
    assert f"mlflow.sharedViewState.{view}" in experiment.tags
    assert results.url.startswith(f"http://127.0.0.1:5000/#/experiments/{experiment.experiment_id}/runs?")


def test_a_study_that_stopped_goes_on_where_it_was():
    first = study()
    again = study(seeds=3, initializers=["he_normal", "zeros"])
    assert len(runs()) == 6
    kept = {(r.initializer, r.seed): r for r in again.records}
    for record in first.records:
        np.testing.assert_equal(kept[record.initializer, record.seed].curves, record.curves)
        assert kept[record.initializer, record.seed].run_id == record.run_id
    for name, layers in first.pictures.items():
        for layer, pair in layers.items():
            np.testing.assert_array_equal(again.pictures[name][layer], pair)
    study(resume=False)
    assert len(runs()) == 10


def test_runs_of_an_earlier_study_get_the_numbers_of_the_new_target():
    study(seeds=1, target=1e-9)
    assert runs()["metrics.convergence/reached_target"].tolist() == [0.0, 0.0]
    again = study(seeds=1, target=1e9)
    assert runs()["metrics.convergence/reached_target"].tolist() == [1.0, 1.0]
    assert again.records[0].metrics["reached_target"] == 1


def weighted(factor):
    def loss(y_true, y_pred):
        return factor * keras.losses.sparse_categorical_crossentropy(y_true, y_pred)

    def build(kernel_initializer):
        model = build_model(kernel_initializer)
        model.compile("sgd", loss)
        return model

    return build


def test_nothing_is_reused_for_other_code():
    one = study(weighted(1.0), seeds=1)
    two = study(weighted(2.0), seeds=1)
    same = study(weighted(2.0), seeds=1)
    start = {id(r): r.curves["loss"]["zeros"][0, 0] for r in (one, two)}
    assert start[id(two)] == pytest.approx(2 * start[id(one)])
    assert same.records[0].run_id == two.records[0].run_id
    assert len(runs()) == 4


@pytest.mark.parametrize("changes", [{"epochs": 3}, {"batch_size": 16}, {"x": X[:100]}])
def test_nothing_is_reused_for_another_problem(changes):
    study(seeds=1)
    x = changes.pop("x", X)
    ik.compare(
        build_model, x, Y[: len(x)], validation_data=(X, Y), initializers=["zeros", "he_normal"], seeds=1,
        experiment="e", verbose=0, **({"epochs": 2} | changes),
    )  # fmt: skip
    assert len(runs()) == 4


def failing(error):
    def build(kernel_initializer):
        if kernel_initializer == "he_normal":
            raise error
        return build_model(kernel_initializer)

    return build


def test_a_failed_replica_is_a_failed_run_with_its_error():
    results = study(failing(RuntimeError("disk full")), catch=(RuntimeError,))
    found = runs().set_index("params.init/name")
    assert found.loc["zeros", "status"].tolist() == ["FINISHED", "FINISHED"]
    assert found.loc["he_normal", "status"].tolist() == ["FAILED", "FAILED"]
    assert set(found.loc["he_normal", "tags.initkit.error"]) == {"RuntimeError: disk full"}
    assert set(found["run_id"]) == {record.run_id for record in results.records}
    assert runs("summary")["status"].tolist() == ["FINISHED"]


@pytest.mark.parametrize(("error", "ended"), [(KeyboardInterrupt(), "KILLED"), (RuntimeError("full"), "FAILED")])
def test_what_ends_the_study_closes_the_summary_and_keeps_what_is_done(error, ended):
    with pytest.raises(type(error)):
        study(failing(error), engine="sequential")
    assert runs("summary")["status"].tolist() == [ended]
    kept = runs()
    assert kept.query("status == 'FINISHED'")["params.init/name"].tolist() == ["zeros", "zeros"]
    assert set(kept.query("status != 'FINISHED'")["status"]) <= {ended}


def test_a_store_that_cannot_be_written_is_refused_before_training(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    trained = []

    class Trained(ik.SymmetryMonitor):
        def on_train_begin(self, logs=None):
            trained.append(1)

    with pytest.raises(TrackingError, match="Expected a database that can be written"):
        study(callbacks=[Trained()])
    assert not trained


def wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


@pytest.mark.usefixtures("other_process")
def test_a_store_that_fails_in_the_middle_does_not_end_the_study():
    file = Path(store_file())
    whole = []

    class Break(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            trained.append(1)
            if len(trained) == 2:
                wait_for(lambda: runs()["status"].tolist() == ["FINISHED"])
                whole.append(file.read_bytes())
                file.write_bytes(b"no database" * 1000)

    trained = []
    with pytest.warns(UserWarning, match=r"Expected to write the study to MLflow.*The study goes on") as caught:
        results = study(callbacks=[Break()])
    file.write_bytes(whole[0])
    assert len(caught) == 1
    assert [r.status for r in results.records] == ["finished"] * 4
    assert [bool(r.run_id) for r in results.records] == [True, False, False, False]
    assert runs()["run_id"].tolist() == [results.records[0].run_id]


def replica(seed):
    return Replica("zeros", seed, curves={"loss": [2.0, 1.0]}, metrics={"reached_target": 0.0})


@pytest.mark.usefixtures("other_process")
def test_an_interrupt_ends_what_had_begun_as_killed_and_keeps_what_is_done():
    def interrupted():
        with StudyTracker("e") as tracker:
            tracker.open("s", {"batch": 32})
            for seed in range(3):
                tracker.begin("zeros", seed, f"key {seed}", "#1f77b4", {"params": {"init/class": "Zeros"}})
            tracker.record(replica(1), "key 1", "#1f77b4", {})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    found = runs().set_index("params.seed")
    assert found["status"].to_dict() == {"0": "KILLED", "1": "FINISHED", "2": "KILLED"}
    assert set(found["params.batch"]) == {"32"}
    assert set(found["params.init/class"]) == {"Zeros"}
    assert found["metrics.train/loss"].get("1") == 1.0
    assert found["tags.initkit.verdict"].get("1") == "unknown"
    assert runs("summary")["status"].tolist() == ["KILLED"]


PROCESS = """
import os, signal, sys
from keras_initkit.study.tracked import StudyTracker

with StudyTracker("e") as tracker:
    tracker.open("s", {})
    tracker.begin("zeros", 0, "key", "#1f77b4")
    tracker.finished([])  # the answer comes when all before it is done
    ENDING
"""


@pytest.mark.parametrize(
    ("ending", "status"),
    [("os.kill(os.getpid(), signal.SIGKILL)", "KILLED"), ("sys.exit()", "KILLED"), ("1 / 0", "FAILED")],
)
def test_no_run_is_left_open_by_a_process_that_ends(ending, status):
    subprocess.run([sys.executable, "-c", PROCESS.replace("ENDING", ending)], check=False, stderr=subprocess.DEVNULL)
    wait_for(lambda: "RUNNING" not in {*runs()["status"], *runs("summary")["status"]})
    assert runs()["status"].tolist() == runs("summary")["status"].tolist() == [status]


@pytest.mark.usefixtures("other_process")
def test_a_writing_process_that_dies_loses_one_run_at_most():
    def killed():
        with StudyTracker("e") as tracker:
            tracker.open("s", {})
            tracker.begin("zeros", 0, "key 0", "#1f77b4")
            tracker.finished([])  # the answer comes when all before it is done
            process = tracker._writer._process._popen.pid
            os.kill(process, signal.SIGSTOP)
            tracker.record(replica(0), "key 0", "#1f77b4", {})
            time.sleep(0.2)
            os.kill(process, signal.SIGKILL)
            tracker.record(replica(1), "key 1", "#1f77b4", {})

    with pytest.warns(UserWarning, match=r"Expected the process that writes to MLflow to go on. Received: an end with"):
        killed()
    assert runs().set_index("params.seed")["status"].to_dict() == {"0": "FAILED", "1": "FINISHED"}
    assert runs("summary")["status"].tolist() == ["FINISHED"]


@pytest.mark.usefixtures("other_process")
def test_a_new_database_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/new/mlflow.db")
    results = study(seeds=1)
    assert set(runs()["run_id"]) == {record.run_id for record in results.records}


def test_an_active_run_of_the_user_is_left_alone():
    with mlflow.start_run() as outer:
        study(seeds=1)
    run = mlflow.get_run(outer.info.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {}
