import os
import socket
import subprocess
import urllib.request

import pytest
from mlflow import MlflowClient

from keras_initkit.tracking import server
from keras_initkit.tracking.errors import TrackingError
from keras_initkit.tracking.server import Link, comparison_links, serve
from keras_initkit.tracking.views import comparison_view, write_view


def test_a_taken_port_is_named(sqlite_store):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = rf"Expected a free port on 127.0.0.1. Received: port={port}, .*in use.* `--port {port + 1}`"
        with pytest.raises(TrackingError, match=message), serve(sqlite_store, port=port):
            pass


@pytest.mark.parametrize("port", [0, 70_000, "5000"])
def test_what_is_no_port_is_refused(sqlite_store, port):
    message = r"`port` to be an integer from 1 to 65535. Received: port="
    with pytest.raises(ValueError, match=message), serve(sqlite_store, port=port):
        pass


def test_a_server_that_ends_shows_the_end_of_its_log(sqlite_store, free_port, monkeypatch, tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho first line; echo 'no such module' >&2; exit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(server.sys, "executable", str(program))
    message = r"(?s)server to come up at http://127.0.0.1:.*ended with code 3.*first line\nno such module"
    with pytest.raises(TrackingError, match=message), serve(sqlite_store, port=free_port):
        pass


def test_a_server_that_does_not_answer_is_stopped(sqlite_store, free_port, monkeypatch, tmp_path):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nsleep 60 & wait\n")
    program.chmod(0o755)
    monkeypatch.setattr(server.sys, "executable", str(program))
    monkeypatch.setattr(server, "_START_SECONDS", 1.0)
    with pytest.raises(TrackingError, match=r"no answer in 1 s"), serve(sqlite_store, port=free_port):
        pass
    # The program's own child is stopped too: nothing that still runs (Z is ended) has its process group.
    rows = subprocess.run(["ps", "-e", "-o", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    group = (tmp_path / "pid").read_text().strip()
    assert [row for row in rows.splitlines() if row.split()[0] == group and "Z" not in row] == []


def test_a_store_that_does_not_work_is_reported_before_anything_starts(tmp_path, free_port):
    (tmp_path / "file").write_text("")
    store = f"sqlite:///{tmp_path}/file/x.db"
    with pytest.raises(TrackingError, match="a database that can be written"), serve(store, port=free_port):
        pass


def test_a_server_is_used_as_it_is(study_server):
    with serve(study_server.url + "/", port=1) as url:
        assert url == study_server.url
        assert MlflowClient(url).get_experiment(study_server.experiment_id).name == "digits"


def test_the_server_serves_the_store_on_this_machine_only(study_server):
    with urllib.request.urlopen(f"{study_server.url}/version") as answer:
        assert answer.status == 200
    assert study_server.url.startswith("http://127.0.0.1:")
    client = MlflowClient(study_server.url)
    assert len(client.search_runs([study_server.experiment_id])) == 5


def test_the_server_shows_artifacts_that_were_written_without_it(study_server):
    run = study_server.run_ids[-1]
    with urllib.request.urlopen(f"{study_server.url}/get-artifact?path=note.md&run_uuid={run}") as answer:
        assert answer.read().decode() == run


def test_a_view_can_be_saved_through_the_server(study_server):
    client = MlflowClient(study_server.url)
    other = client.create_experiment(f"through the server {os.getpid()}")
    assert write_view(client, other, comparison_view("s", ["train/loss"]))
    assert "mlflow.sharedViewState.initkit-comparison-s" in client.get_experiment(other).tags
    client.delete_experiment(other)


def test_links_to_every_view_of_the_kit(sqlite_store):
    client = MlflowClient(sqlite_store)
    one, two = client.create_experiment("one"), client.create_experiment("two")
    client.create_experiment("three")
    for experiment, study in [(one, "a"), (one, "b"), (two, "c")]:
        write_view(client, experiment, comparison_view(study, ["train/loss"]))
    client.set_experiment_tag(two, "mlflow.sharedViewState.mine", "{}")
    links = comparison_links(client, "http://h:1")
    assert {(link.experiment, link.view) for link in links} == {
        ("one", "initkit-comparison-a"),
        ("one", "initkit-comparison-b"),
        ("two", "initkit-comparison-c"),
    }
    assert Link("two", "initkit-comparison-c", server.view_url("http://h:1", two, "initkit-comparison-c")) in links
