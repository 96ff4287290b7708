"""What a study asks of its store, as functions from plain data to plain data, which another process can call."""

import contextlib
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from keras_initkit.tracking import attempts, finished, views
from keras_initkit.tracking.attempts import Earlier
from keras_initkit.tracking.cards import View
from keras_initkit.tracking.errors import TrackingError, first_line
from keras_initkit.tracking.file_lock import FileLock
from keras_initkit.tracking.keys import clean_key
from keras_initkit.tracking.store import check_reachable, connect, find_experiment, is_empty, store_uri
from keras_initkit.tracking.text import param_text

if TYPE_CHECKING:
    from mlflow import MlflowClient

_clients: dict[str, "MlflowClient"] = {}
_open: dict[str, "Place"] = {}  # run id -> where it is
_failed: set[str] = set()  # stores that failed last time
_locks: list[FileLock] = []
# Seconds: a process whose parent was killed ends what it has in hand, and does so within 20, see `writer_process`.
_ENDING = 40.0


@dataclass(frozen=True)
class Place:
    """Where runs go: address of the store, id of the experiment, and the tags that all runs have."""

    uri: str
    experiment_id: str
    tags: dict[str, str]


@dataclass(frozen=True)
class Content:
    """What is written to a run.

    Attributes:
        params, tags: as MLflow keeps them, see `texts`.
        curves: metric key -> step -> value.
        files: path of an artifact -> its bytes.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return params or tags as MLflow keeps them."""
    return {clean_key(key): param_text(value) for key, value in values.items()}


def load_mlflow() -> None:
    """Import MLflow and what it needs for databases, so that it is there when the first function needs it."""
    with contextlib.suppress(ImportError):  # a missing MLflow is for the first function to report
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def context_tags() -> dict[str, str]:
    """Return the tags that only this process can tell, since another one is in no notebook."""
    if "ipykernel" not in sys.modules:
        return {}
    from mlflow.tracking.context.registry import resolve_tags

    return dict(resolve_tags())


def locate(tracking_uri: str | None, folder: str) -> tuple[str, bool]:
    """Return the address of the store, and whether it is an SQLite file without any table yet.

    Args:
        tracking_uri: address that the user chose, else MLflow's own choice.
        folder: working directory of the study, in which MLflow keeps what has no absolute path.

    Raises:
        TrackingError: if the store cannot be reached or not be written.
    """
    if os.getcwd() != folder:  # only in a process that was started before the user changed to this folder
        os.chdir(folder)
    uri = store_uri(tracking_uri)
    check_reachable(uri)
    return uri, is_empty(uri)


def open_store(address: tuple[str, bool]) -> str:
    """Open the store that `locate` found, which creates the tables of a new database, and return its address.

    Raises:
        TrackingError: if the store does not work.
    """
    uri, _ = address
    _clients[uri] = connect(uri)
    return uri


def find_place(uri: str, experiment: str, tags: Mapping[str, str]) -> Place:
    """Return the place of an experiment, which is created if it does not exist.

    Raises:
        TrackingError: if the store does not work, or the experiment was deleted.
    """
    from mlflow.tracking.context.registry import resolve_tags

    return Place(uri, find_experiment(_clients[uri], experiment), resolve_tags(dict(tags)))


def take_up(place: Place, attempt: str, lock: str, is_resumed: bool) -> Earlier:
    """Begin to write a study, or go on with one that was interrupted, once nobody else writes it any more.

    Args:
        place: where the runs are.
        attempt: value of the tag `initkit.attempt` of all runs of the study.
        lock: path of a file that is locked from now on, until `let_go` or the end of this process.
        is_resumed: whether there may be runs of the study already; see `attempts.earlier_runs`.

    Raises:
        TrackingError: if another process goes on writing the study, or the store does not work.
    """
    held = FileLock(Path(lock))
    try:
        is_free = held.acquire(_ENDING)
    except OSError:
        is_free = True  # a file system without locks: there is no journal on it either
    if not is_free:
        raise TrackingError(
            f"Expected that nobody writes this study to MLflow any more. Received: {held.holder()}. End it, and try "
            "again."
        )
    _locks.append(held)
    if not is_resumed:
        return Earlier()
    with _reported(place):
        return attempts.earlier_runs(_client(place), place.experiment_id, attempt)


def let_go() -> None:
    """Give back the locks of `take_up`."""
    while _locks:
        _locks.pop().release()


def open_summary(place: Place, name: str, content: Content, earlier: Earlier) -> str:
    """Open the summary run of a study, the one that it has if it was interrupted, and return its id."""
    if not earlier.summary:
        return open_run(place, name, content)
    with _reported(place):
        _client(place).update_run(earlier.summary, status="RUNNING")
        _open[earlier.summary] = place
    return earlier.summary


def open_run(place: Place, name: str, content: Content) -> str:
    """Create a run with tags, params and nothing else, and return its id."""
    with _reported(place):
        run = _client(place).create_run(place.experiment_id, tags={**place.tags, **content.tags}, run_name=name)
        _open[run.info.run_id] = place
        _log(place, run.info.run_id, Content(content.params))
        return str(run.info.run_id)


def fill_run(place: Place, run_id: str, content: Content) -> None:
    """Write content to a run."""
    with _reported(place):
        _log(place, run_id, content)
        if content.files:
            with tempfile.TemporaryDirectory() as folder:
                for name, data in content.files.items():
                    path = Path(folder, name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
                _client(place).log_artifacts(run_id, folder)


def correct_run(place: Place, run_id: str, curves: Mapping[str, Mapping[int, float]]) -> None:
    """Write numbers of one step to a run, those that it does not have already: it would keep both points."""
    with _reported(place):
        has = _client(place).get_run(run_id).data.metrics
        new = {key: curve for key, curve in curves.items() if list(curve.values()) != [has.get(clean_key(key))]}
        _log(place, run_id, Content(curves=new))


def end_run(place: Place, run_id: str, status: str) -> None:
    """End a run as `"FINISHED"`, `"FAILED"` or `"KILLED"`."""
    _open.pop(run_id, None)
    with _reported(place):
        _client(place).set_terminated(run_id, status)


def complete_run(place: Place, run_id: str, content: Content, status: str) -> str:
    """Write content to an open run, end it, and return its id. A run that cannot be written is ended as FAILED."""
    try:
        fill_run(place, run_id, content)
    except TrackingError:
        with contextlib.suppress(TrackingError):
            end_run(place, run_id, "FAILED")
        raise
    end_run(place, run_id, status)
    return run_id


def record_run(place: Place, name: str, tags: Mapping[str, str], content: Content, status: str) -> str:
    """Create a run with tags, write content to it, end it, and return its id."""
    return complete_run(place, open_run(place, name, Content(tags=tags)), content, status)


def end_open_runs(status: str) -> None:
    """End what `open_run` opened and nobody ended."""
    for run_id, place in list(_open.items()):
        with contextlib.suppress(TrackingError):
            end_run(place, run_id, status)


def finished_replicas(place: Place, keys: set[str]) -> dict[str, dict[str, Any]]:
    """Return the records of the replicas that the experiment has; see `finished.finished_replicas`."""
    return finished.finished_replicas(_client(place), place.experiment_id, keys)


def kept_arrays(place: Place, run_id: str) -> dict[str, NDArray[Any]]:
    """Return the arrays that a run keeps; see `finished.kept_arrays`."""
    return finished.kept_arrays(_client(place), run_id)


def save_view(place: Place, view: View) -> None:
    """Save a view in the experiment."""
    with _reported(place):
        views.save_view(_client(place), place.experiment_id, view)


def _client(place: Place) -> "MlflowClient":
    if place.uri not in _clients:  # the process that opened the store has died, and this is another one
        _clients[place.uri] = connect(place.uri)
    return _clients[place.uri]


@contextlib.contextmanager
def _reported(place: Place) -> Iterator[None]:
    """Turn failures of the store into one line; after one, look first whether the store is there again.

    MLflow tries for minutes before it gives a server up, which is too long for each of many runs.
    """
    if place.uri in _failed:
        check_reachable(place.uri, patience=1.0)
    try:
        yield
    except Exception as error:
        _failed.add(place.uri)
        raise TrackingError(f"{first_line(error)}, at {place.uri!r}") from error
    _failed.discard(place.uri)


def _log(place: Place, run_id: str, content: Content) -> None:
    from mlflow.entities import Metric, Param, RunTag

    now = time.time_ns() // 1_000_000
    points = [
        Metric(key, value, now, step)
        for name, curve in content.curves.items()
        for key in [clean_key(name)]
        for step, value in curve.items()
        if math.isfinite(value)
    ]
    params = [Param(key, value) for key, value in content.params.items()]
    tags = [RunTag(key, value) for key, value in content.tags.items()]
    if points or params or tags:
        # The client cuts what is too much for one request.
        _client(place).log_batch(run_id, points, params, tags, synchronous=True)
