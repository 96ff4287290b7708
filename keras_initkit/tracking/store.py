"""The MLflow store in use: reach it, and find or create an experiment in it."""

import os
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from keras_initkit.tracking.errors import TrackingError, first_line

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

_PATIENCE = 20.0  # seconds: MLflow itself waits so long for another writer of the same SQLite file


def store_uri(tracking_uri: str | None = None) -> str:
    """Return the address of the store: the argument, else MLflow's own (`MLFLOW_TRACKING_URI` or its default)."""
    import mlflow

    return str(tracking_uri or mlflow.get_tracking_uri())


def connect(tracking_uri: str | None = None) -> "MlflowClient":
    """Return a client of the store; the process-wide tracking URI of MLflow stays as it is.

    A server has 5 seconds to answer and an SQLite file is opened for writing first, since MLflow itself retries for
    minutes before it reports a store that is not there.

    Raises:
        TrackingError: if the store cannot be reached or not be written.
    """
    from mlflow import MlflowClient

    uri = store_uri(tracking_uri)
    check_reachable(uri)
    try:
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except Exception as error:
        raise unusable(uri, error) from error
    return client


def check_reachable(uri: str, *, patience: float = _PATIENCE) -> None:
    """Raise `TrackingError` if a server does not answer within 5 seconds, or an SQLite file cannot be written.

    Args:
        uri: address of the store; other kinds of store than these are not looked at.
        patience: seconds that another writer of the same SQLite file is waited for.
    """
    try:
        if uri.startswith(("http://", "https://")):
            _check_server(uri)
        elif uri.startswith("sqlite:///"):
            _check_sqlite(uri, patience)
    except Exception as error:
        raise unusable(uri, error) from error


def is_empty(uri: str) -> bool:
    """Return whether the store is an SQLite file without content, in which MLflow has no tables yet."""
    path = Path(uri.removeprefix("sqlite:///"))
    return uri.startswith("sqlite:///") and path.is_file() and path.stat().st_size == 0


def unusable(uri: str, error: BaseException) -> TrackingError:
    """Return the error for a store that does not work."""
    if uri.startswith(("http://", "https://")):
        expected, advice = "a running MLflow server", "Start the server, or correct the address"
    elif uri.startswith(("sqlite:", "postgresql", "mysql", "mssql")):
        expected, advice = "a database that can be written", "Check the path and its permissions, or name another store"
    else:
        expected, advice = "a store that MLflow can write", "Use a database such as 'sqlite:///mlflow.db', or a server"
    return TrackingError(
        f"Expected {expected} at {uri!r}. Received: {first_line(error)}. {advice} (argument `tracking_uri` or "
        "environment variable MLFLOW_TRACKING_URI)."
    )


def find_experiment(client: "MlflowClient", name: str | None) -> str:
    """Return the id of the experiment `name`, which is created if it does not exist.

    Without a name MLflow's own rule holds: `MLFLOW_EXPERIMENT_NAME`, then `MLFLOW_EXPERIMENT_ID` (which
    `mlflow.set_experiment` sets too), then "Default".

    Raises:
        TrackingError: if the experiment was deleted, or the store fails.
    """
    from mlflow.exceptions import MlflowException

    uri = client.tracking_uri
    try:
        if name is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
        if name is None:
            experiment: Experiment | None = client.get_experiment(os.environ.get("MLFLOW_EXPERIMENT_ID") or "0")
        else:
            experiment = client.get_experiment_by_name(name)
        if experiment is None:
            try:
                return str(client.create_experiment(name or "Default"))
            except MlflowException:  # another process may have created it in between
                experiment = client.get_experiment_by_name(name or "Default")
                if experiment is None:
                    raise
    except Exception as error:
        raise unusable(uri, error) from error
    if experiment.lifecycle_stage == "deleted":
        raise TrackingError(
            f"Expected an experiment that is in use. Received: experiment={experiment.name!r}, which was deleted. "
            f"Restore it with `mlflow experiments restore -x {experiment.experiment_id}`, or choose another name."
        )
    return str(experiment.experiment_id)


def check_agrees(client: "MlflowClient", active: "Run", experiment: str | None, tracking_uri: str | None) -> None:
    """Raise `TrackingError` if the active run is in another experiment or store than the one asked for."""
    if tracking_uri is not None and tracking_uri != store_uri():
        raise TrackingError(
            f"Expected the active run to be in the store {tracking_uri!r}. Received: active run "
            f"{active.info.run_id} in {store_uri()!r}. End it with `mlflow.end_run()`, or leave `tracking_uri` out "
            "to join it."
        )
    if experiment is not None:
        name = client.get_experiment(active.info.experiment_id).name
        if name != experiment:
            raise TrackingError(
                f"Expected the active run to be in the experiment {experiment!r}. Received: active run "
                f"{active.info.run_id} in {name!r}. Leave `experiment` out to join it, end it with "
                f"`mlflow.end_run()`, or, if autologging opens it, call `mlflow.set_experiment({experiment!r})` before."
            )


def _check_server(uri: str) -> None:
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=5):
            pass
    except urllib.error.HTTPError:
        pass  # it answers; whether it accepts requests is for MLflow's client to find out
    except urllib.error.URLError as error:
        if isinstance(error.reason, OSError) and not hasattr(error.reason, "verify_code"):
            raise


def _check_sqlite(uri: str, patience: float) -> None:
    """Write to the file and take it back; a file that does not exist yet is created, empty."""
    path, _, query = uri[len("sqlite:///") :].partition("?")
    if path in ("", ":memory:"):
        return
    is_uri = path.startswith("file:")
    if not is_uri:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(
        f"{path}?{query}" if is_uri else path, timeout=patience, isolation_level=None, uri=is_uri
    )
    with closing(database):
        for statement in ("BEGIN IMMEDIATE", "CREATE TABLE initkit_probe (x)", "ROLLBACK"):
            database.execute(statement)
