"""Replicas of an earlier study that are complete in the store, so that they need not be trained again."""

import io
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mlflow import MlflowClient

RECORD = "replica.json"
PICTURES = "units.npz"


def finished_replicas(client: "MlflowClient", experiment_id: str, keys: set[str]) -> dict[str, dict[str, Any]]:
    """Return `{replica key: record}` of the finished runs of an experiment that have one of the keys.

    Args:
        client: client of the store.
        experiment_id: id of the experiment.
        keys: the keys wanted, values of the tag `initkit.replica_key`.

    Returns:
        The record that each run keeps as its artifact `replica.json`, with its `run_id`; the latest run of a key wins.
        Runs whose record is missing or cannot be read are left out.
    """
    found: dict[str, dict[str, Any]] = {}
    token = None
    while True:
        page = client.search_runs(
            [experiment_id],
            "tags.`initkit.kind` = 'replica' AND attributes.status = 'FINISHED'",
            max_results=1000,
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        for run in page:
            key = run.data.tags.get("initkit.replica_key", "")
            if key in keys and key not in found:
                record = _record(client, run.info.run_id)
                if record is not None:
                    found[key] = record | {"run_id": run.info.run_id}
        token = page.token
        if not token:
            return found


def kept_arrays(client: "MlflowClient", run_id: str) -> dict[str, NDArray[Any]]:
    """Return the arrays that a run keeps as its artifact `units.npz`, none if there is no such artifact."""
    content = _artifact(client, run_id, PICTURES)
    if content is None:
        return {}
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return dict(file)


def _record(client: "MlflowClient", run_id: str) -> dict[str, Any] | None:
    content = _artifact(client, run_id, RECORD)
    try:
        record = None if content is None else json.loads(content)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _artifact(client: "MlflowClient", run_id: str, name: str) -> bytes | None:
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as folder:
        try:
            return Path(client.download_artifacts(run_id, name, folder)).read_bytes()
        except (MlflowException, OSError):
            return None
