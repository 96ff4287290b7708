import math
import os
import socket
import subprocess
import sys

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from keras_initkit.tracking.errors import TrackingError
from keras_initkit.tracking.recorder import Recorder

pytestmark = pytest.mark.usefixtures("sqlite_store")


def history(recorder, key):
    points = recorder.client.get_metric_history(recorder.run_id, key)
    return sorted((point.step, point.value) for point in points)


def status(recorder):
    return recorder.client.get_run(recorder.run_id).info.status


@pytest.fixture
def requests(monkeypatch):
    """The keyword arguments of every `log_batch`."""
    seen = []
    send = MlflowClient.log_batch

    def spy(self, run_id, **entities):
        seen.append(entities)
        return send(self, run_id, **entities)

    monkeypatch.setattr(MlflowClient, "log_batch", spy)
    return seen


def test_a_run_keeps_what_was_recorded(sqlite_store, requests):
    with Recorder.open("digits", run_name="he_normal · seed 3", tags={"initkit.kind": "replica"}) as recorder:
        recorder.params({"init/name": "he_normal", "optimizer/lr": np.float32(0.01), "seed": 3})
        recorder.tags({"note": "x"})
        recorder.metrics({"train/loss": 2.5, "train/accuracy": np.float32(0.25), "bad?": 1}, step=0)
        recorder.curves({"val/loss": {0: 2.0, 1: 1.0}, "val/accuracy": {1: 0.5}})
        recorder.scalars({"convergence/reached_target": 1})
        assert status(recorder) == "RUNNING"
    assert len(requests) == 5
    run = MlflowClient(sqlite_store).get_run(recorder.run_id)
    assert run.info.run_name == "he_normal · seed 3"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"init/name": "he_normal", "optimizer/lr": "0.01", "seed": "3"}
    assert history(recorder, "val/loss") == [(0, 2.0), (1, 1.0)]
    assert history(recorder, "convergence/reached_target") == [(0, 1.0)]
    assert run.data.metrics["bad_"] == 1
    tags = run.data.tags
    assert tags["initkit.kind"] == "replica"
    assert tags["note"] == "x"
    assert tags["initkit.version"]
    assert tags["keras.backend"] == "tensorflow"
    assert {"mlflow.user", "mlflow.source.name"} <= set(tags)
    assert recorder.client.get_experiment_by_name("digits").experiment_id == recorder.experiment_id


def test_nothing_global_changes(tmp_path):
    other = f"sqlite:///{tmp_path}/other.db"
    before = dict(os.environ), mlflow.get_tracking_uri()
    with Recorder.open("digits", tracking_uri=other) as recorder:
        recorder.scalars({"a": 1})
        assert mlflow.active_run() is None
    assert (dict(os.environ), mlflow.get_tracking_uri()) == before
    assert MlflowClient(other).get_run(recorder.run_id).data.metrics == {"a": 1}


def test_values_that_are_not_finite_are_left_out():
    with Recorder.open("digits") as recorder:
        recorder.metrics({"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1.0}, step=1)
        recorder.curves({"e": {0: 1.0, 1: math.nan, 2: 3.0}})
    assert set(recorder.client.get_run(recorder.run_id).data.metrics) == {"d", "e"}
    assert history(recorder, "e") == [(0, 1.0), (2, 3.0)]


def test_large_batches_are_cut_to_what_mlflow_takes(requests):
    with Recorder.open("digits") as recorder:
        recorder.params({f"p{i}": i for i in range(250)})
        recorder.curves({"a": dict.fromkeys(range(700), 0.5), "b": dict.fromkeys(range(700), 0.5)})
    assert [len(batch["params"]) for batch in requests[:3]] == [100, 100, 50]
    assert [len(batch["metrics"]) for batch in requests[3:]] == [1000, 400]
    assert len(recorder.client.get_run(recorder.run_id).data.params) == 250
    assert len(history(recorder, "b")) == 700


def test_a_metric_that_is_no_number_is_refused():
    with (
        Recorder.open("digits") as recorder,
        pytest.raises(ValueError, match=r"metric 'a' to be a number. Received: 'x'"),
    ):
        recorder.scalars({"a": "x"})


def test_artifacts(tmp_path):
    from matplotlib.figure import Figure

    (tmp_path / "note.txt").write_text("kept")
    with Recorder.open("digits") as recorder:
        recorder.artifact_json("facts.json", {"a": math.nan})
        recorder.artifact_text("report.md", "# Title")
        recorder.artifact_figure("figures/curve.png", Figure())
        recorder.artifact_file(tmp_path / "note.txt", "notes")
    folder = recorder.client.download_artifacts(recorder.run_id, "")
    names = sorted(
        os.path.relpath(os.path.join(at, name), folder) for at, _, files in os.walk(folder) for name in files
    )
    assert names == ["facts.json", "figures/curve.png", "notes/note.txt", "report.md"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [(None, "FINISHED"), (ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")],
)
def test_the_status_says_how_the_block_ended(error, expected):
    if error is None:
        with Recorder.open("digits") as recorder:
            pass
    else:
        with pytest.raises(error), Recorder.open("digits") as recorder:
            raise error
    assert status(recorder) == expected
    recorder.finish("FAILED")  # a second call changes nothing
    assert status(recorder) == expected


PROCESS = """
import os, sys
from keras_initkit.tracking import environment
environment.environment = lambda: {"backend": "none", "version/keras-initkit": "0"}  # saves importing Keras
from keras_initkit.tracking.recorder import Recorder

recorder = Recorder.open("digits")
print(recorder.run_id, flush=True)
if os.fork() == 0:
    sys.exit()  # a child that ends must not end the run of its parent
os.wait()
print(recorder.client.get_run(recorder.run_id).info.status, flush=True)
ENDING
"""


@pytest.mark.parametrize(("ending", "expected"), [("", "FAILED"), ("raise KeyboardInterrupt", "KILLED")])
def test_the_end_of_the_process_ends_an_open_run(sqlite_store, ending, expected):
    done = subprocess.run(
        [sys.executable, "-c", PROCESS.replace("ENDING", ending)], capture_output=True, text=True, check=False
    )
    run_id, after_child = done.stdout.split()
    assert after_child == "RUNNING"
    assert MlflowClient(sqlite_store).get_run(run_id).info.status == expected


def test_an_active_run_is_joined_and_left_open():
    with mlflow.start_run(experiment_id=MlflowClient().create_experiment("digits")) as run:
        recorder = Recorder.open("digits", tags={"mine": 1})
        recorder.params({"seed": 1})
        recorder.finish("FAILED")
        assert not recorder.owner
        assert recorder.run_id == run.info.run_id
        assert status(recorder) == "RUNNING"
        assert mlflow.active_run().info.run_id == run.info.run_id
    assert status(recorder) == "FINISHED"
    data = recorder.client.get_run(run.info.run_id).data
    assert (data.params["seed"], data.tags["mine"]) == ("1", "1")


def test_an_active_run_is_left_alone_if_asked():
    with mlflow.start_run() as run, Recorder.open("digits", join_active=False) as recorder:
        assert recorder.owner
        assert recorder.run_id != run.info.run_id


def test_an_active_run_elsewhere_is_an_error(tmp_path):
    with mlflow.start_run():
        with pytest.raises(
            TrackingError, match=r"in the experiment 'digits'. Received: active run .* in 'Default'. Leave"
        ):
            Recorder.open("digits")
        with pytest.raises(
            TrackingError, match=r"in the store 'sqlite:.*other.db'. Received: active run .* `mlflow.end"
        ):
            Recorder.open(tracking_uri=f"sqlite:///{tmp_path}/other.db")


def test_params_of_a_joined_run_keep_their_values():
    with mlflow.start_run():
        mlflow.log_params({"batch": 32, "seed": 1})
        recorder = Recorder.open()
        with pytest.warns(UserWarning, match=r"batch='64' \(the run has '32'\)"):
            recorder.params({"batch": 64, "seed": 1, "new": 5})
        with pytest.raises(TrackingError, match="batch='64'"):
            Recorder.open(on_error="raise").params({"batch": 64})
    assert recorder.client.get_run(recorder.run_id).data.params == {"batch": "32", "seed": "1", "new": "5"}


def test_without_a_name_mlflow_chooses_the_experiment(monkeypatch):
    def opened():
        with Recorder.open() as recorder:
            return recorder.client.get_experiment(recorder.experiment_id).name

    assert opened() == "Default"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "by name")
    assert opened() == "by name"
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", MlflowClient().create_experiment("by id"))
    assert opened() == "by id"


def test_a_deleted_experiment_is_an_error(sqlite_store):
    client = MlflowClient(sqlite_store)
    number = client.create_experiment("digits")
    client.delete_experiment(number)
    with pytest.raises(
        TrackingError, match=f"experiment='digits', which was deleted. Restore .* -x {number}`, or choose"
    ):
        Recorder.open("digits")


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("sqlite:///{folder}/file/x.db", "Expected a database that can be written at .* Received: FileExistsError"),
        ("sqlite:///{folder}", "Received: OperationalError: unable to open database file. Check the path"),
        ("sqlite:///{folder}/file", "Received: DatabaseError: file is not a database. Check the path"),
        (
            "sqlite:///file:{folder}/mlflow.db?mode=ro&uri=true",
            "Received: OperationalError: attempt to write a readonly",
        ),
        ("http://127.0.0.1:{port}", "Expected a running MLflow server at .*Connection refused.*Start the server"),
        (
            "{folder}/mlruns",
            "Use a database such as 'sqlite:///mlflow.db', or a server .argument `tracking_uri` or env",
        ),
    ],
)
def test_a_store_that_does_not_work_is_one_error_at_once(tmp_path, uri, message):
    (tmp_path / "file").write_text("no database, but long enough to have a header" * 10)
    uri = uri.format(folder=tmp_path, port=closed_port())
    with pytest.raises(TrackingError, match=message):
        Recorder.open("digits", tracking_uri=uri, on_error="warn")


def corrupt(uri):
    path = uri.removeprefix("sqlite:///")
    with open(path, "r+b") as file:
        file.write(b"\0" * os.path.getsize(path))


def test_a_failure_while_recording_is_warned_once(sqlite_store):
    recorder = Recorder.open("digits", on_error="warn")
    corrupt(sqlite_store)
    with pytest.warns(UserWarning, match=r"Expected to record metrics .* Nothing more is recorded"):
        recorder.scalars({"a": 1})
    assert not recorder.recording
    recorder.scalars({"a": 2})  # a second warning would be an error here
    recorder.params({"b": 3})
    recorder.finish()


def test_a_failure_while_recording_is_raised_if_asked(sqlite_store):
    recorder = Recorder.open("digits", on_error="raise")
    corrupt(sqlite_store)
    with pytest.raises(TrackingError, match=r"Expected to record metrics of run .* Received: MlflowException"):
        recorder.scalars({"a": 1})
    with pytest.raises(TrackingError, match="status FAILED"):
        recorder.finish("FAILED")


def test_unknown_words_are_refused():
    with pytest.raises(ValueError, match=r"`on_error` to be one of 'warn', 'raise'. Received: on_error='ignore'"):
        Recorder.open("digits", on_error="ignore")
    with Recorder.open("digits") as recorder, pytest.raises(ValueError, match="`status` to be one of 'FINISHED'"):
        recorder.finish("DONE")
