"""Replicas of an earlier study that are complete in the store, so that they need not be trained again."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

RECORD = "replica.json"


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


def _record(client: "MlflowClient", run_id: str) -> dict[str, Any] | None:
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as folder:
        try:
            record = json.loads(Path(client.download_artifacts(run_id, RECORD, folder)).read_text("utf-8"))
        except (MlflowException, OSError, ValueError):
            return None
    return record if isinstance(record, dict) else None
