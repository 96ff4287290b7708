import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest

from keras_initkit.tracking import study_store, writer
from keras_initkit.tracking.errors import TrackingError
from keras_initkit.tracking.study_store import Content, Place
from keras_initkit.tracking.writer import Writer, start_early


@pytest.fixture(scope="module")
def elsewhere():
    """A writer in a process of its own, for all tests that leave it as it was: its start takes seconds."""
    opened = Writer()
    yield opened
    opened.close()


@pytest.fixture(params=["another process", "this process"])
def writing(request, monkeypatch):
    if request.param == "another process":
        return request.getfixturevalue("elsewhere")
    monkeypatch.setattr(writer, "_start", lambda: None)
    return Writer()


def test_calls_are_made_in_order_and_futures_stand_for_their_results(writing):
    numbers = [writing.submit(os.path.join, "a", str(i)) for i in range(5)]
    joined = writing.submit(os.path.join, numbers[3], "b")
    assert joined.result() == os.path.join("a", "3", "b")
    assert [future.done() for future in numbers] == [True] * 5


def test_a_failure_comes_up_where_the_result_is_taken_and_in_what_depends_on_it(writing):
    place = Place("sqlite:////nowhere/at/all/\0", "1", {})
    failed = writing.submit(study_store.open_run, place, "a", Content())
    after = writing.submit(study_store.end_run, place, failed, "FINISHED")
    for future in (failed, after):
        with pytest.raises(TrackingError, match="ValueError"):
            future.result()
    assert writing.submit(len, "abc").result() == 3


def test_what_is_printed_is_no_answer(elsewhere):
    elsewhere.submit(print, "hello").result()
    assert elsewhere.submit(os.system, "echo hello").result() == 0


def test_arrays_and_paths_of_this_process_are_known_there(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--fast"])
    monkeypatch.syspath_prepend("/of/the/user")
    opened = Writer()
    assert opened.submit(getattr, np.ones(3), "shape").result() == (3,)
    assert opened.submit(eval, "__import__('sys').argv").result() == ["train.py", "--fast"]
    assert opened.submit(eval, "__import__('sys').path[0]").result() == "/of/the/user"
    opened.close()


def test_a_process_that_dies_is_an_error_with_its_reason_and_is_replaced():
    opened = Writer()
    with pytest.raises(TrackingError, match=r"to go on. Received: an end with code 3 .*mlflow` works"):
        opened.submit(
            eval, "[print('out of memory', file=__import__('sys').stderr), __import__('os')._exit(3)]"
        ).result()
    assert opened.submit(len, "abc").result() == 3
    opened.close()


def test_a_process_that_was_started_early_is_the_one_that_is_used():
    start_early()
    start_early()
    (early,) = writer._ready
    opened = Writer()
    assert opened._process is early
    assert opened.submit(os.getpid).result() == early._popen.pid != os.getpid()
    opened.close()
    assert not early.alive
    assert writer._ready == []


def test_a_store_in_memory_is_written_in_this_process(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///:memory:")
    opened = Writer()
    assert opened.submit(os.getpid).result() == os.getpid()
    opened.close()


@pytest.mark.usefixtures("sqlite_store")
def test_a_run_keeps_its_content(writing, sqlite_store, tmp_path):
    address = writing.submit(study_store.locate, sqlite_store, os.getcwd())
    place = writing.submit(
        study_store.find_place, writing.submit(study_store.open_store, address), "digits", {"a": "1"}
    )
    many = {f"m{i}": {step: i + step / 64 for step in range(50)} for i in range(50)}
    content = Content(
        params={f"p{i}": str(i) for i in range(150)},
        tags={"b": "2"},
        curves={**many, "nan": {0: 1.0, 1: float("nan")}},
        files={"a.txt": b"text", "figures/b.png": b"\x89"},
    )
    run_id = writing.submit(study_store.record_run, place, "name", {"c": "3"}, content, "FINISHED").result()
    assert address.result() == (sqlite_store, False)
    client = mlflow.MlflowClient()
    run = client.get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "name")
    assert {key: run.data.tags[key] for key in "abc"} == {"a": "1", "b": "2", "c": "3"}
    assert run.data.tags["mlflow.source.name"] == sys.argv[0]
    assert run.data.params == content.params
    history = client.get_metric_history(run_id, "m7")
    assert [(point.step, point.value) for point in history] == list(many["m7"].items())
    assert len(client.get_metric_history(run_id, "nan")) == 1
    folder = client.download_artifacts(run_id, "")
    assert Path(folder, "figures/b.png").read_bytes() == b"\x89"
    assert (tmp_path / "mlruns").is_dir(), "artifacts lie in the folder of the study"
    assert mlflow.active_run() is None


def test_nothing_of_mlflow_or_keras_is_loaded_to_start_it():
    code = (
        "import sys; from keras_initkit.tracking.writer import start_early; start_early(); "
        "print({'mlflow', 'keras', 'matplotlib', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_server_gets_the_same(elsewhere, study_server):
    address = elsewhere.submit(study_store.locate, study_server.url, os.getcwd())
    place = elsewhere.submit(study_store.find_place, elsewhere.submit(study_store.open_store, address), "by http", {})
    content = Content({"p": "1"}, {}, {"loss": {0: 2.0, 1: 1.0}}, {"figures/b.png": b"\x89"})
    run_id = elsewhere.submit(study_store.record_run, place, "name", {"c": "3"}, content, "FINISHED").result()
    client = mlflow.MlflowClient(study_server.url)
    run = client.get_run(run_id)
    assert (run.info.status, run.data.params, run.data.metrics) == ("FINISHED", {"p": "1"}, {"loss": 1.0})
    assert run.data.tags["c"] == "3"
    assert [file.path for file in client.list_artifacts(run_id, "figures")] == ["figures/b.png"]
