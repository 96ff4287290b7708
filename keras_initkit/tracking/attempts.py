"""What an interrupted study has left in the store: runs that are complete are kept, others leave the comparison."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

ATTEMPT = "initkit.attempt"
_COMPARED = ("initkit.study", "initkit.replica_key")  # the tags by which a run is found as a replica


@dataclass(frozen=True)
class Earlier:
    """What is there.

    Attributes:
        summary: id of the summary run, or empty.
        replicas: params `init/name` and `seed` -> id of the run, of the replicas that are written completely.
    """

    summary: str = ""
    replicas: dict[tuple[str, str], str] = field(default_factory=dict)


def earlier_runs(client: "MlflowClient", experiment_id: str, attempt: str) -> Earlier:
    """Return the runs of a study that was interrupted, and end those that were being written.

    A replica's run is complete once it is FINISHED, or FAILED with the error of the replica. Any other is ended as
    KILLED and loses the tags by which it would be compared, since the replica gets a run anew.

    Args:
        client: client of the store.
        experiment_id: id of the experiment.
        attempt: value of the tag `initkit.attempt`; no process that is alive writes runs with it.
    """
    summary = ""
    replicas: dict[tuple[str, str], str] = {}
    for run in _runs(client, experiment_id, attempt):
        if run.data.tags.get("initkit.kind") == "summary" and not summary:
            summary = run.info.run_id
            continue
        name = (run.data.params.get("init/name", ""), run.data.params.get("seed", ""))
        failed = run.info.status == "FAILED" and "initkit.error" in run.data.tags
        if (run.info.status == "FINISHED" or failed) and name not in replicas:
            replicas[name] = run.info.run_id
            continue
        if run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "KILLED")
        for tag in _COMPARED:
            if tag in run.data.tags:
                client.delete_tag(run.info.run_id, tag)
    return Earlier(summary, replicas)


def _runs(client: "MlflowClient", experiment_id: str, attempt: str) -> "Iterator[Run]":
    token = None
    found: list[Run] = []  # first all of them, since the order of pages is not that of runs that change
    while True:
        page = client.search_runs([experiment_id], f"tags.`{ATTEMPT}` = '{attempt}'", page_token=token)
        found += page
        token = page.token
        if not token:
            return iter(found)
