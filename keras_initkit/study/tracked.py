"""A study in MLflow: one run per replica, one summary run with table and figures, one saved view."""

import contextlib
import json
import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_initkit.inspection.worst import STATISTICS, worst_value
from keras_initkit.study.pictures import pack, unpack
from keras_initkit.study.record import Replica
from keras_initkit.tracking.errors import TrackingError, first_line
from keras_initkit.tracking.finished import PICTURES, RECORD, finished_replicas, kept_arrays
from keras_initkit.tracking.keys import convergence_name, log_key
from keras_initkit.tracking.recorder import Recorder
from keras_initkit.tracking.views import comparison_view, view_url, write_view

if TYPE_CHECKING:
    from keras_initkit.study.results import StudyResults


# Where `keras-initkit ui` serves a local store.
_UI_ADDRESS = "http://127.0.0.1:5000"


class StudyTracker:
    """Writes a study to an MLflow experiment. The summary run is open as long as the study runs.

    A store that cannot be used at the start is an error; one that fails later is a warning, and the study goes on.

    Args:
        experiment: name of the experiment.
        study_id: text that the runs of the study share as the tag `initkit.study`.
        params: params that all replicas share.
    """

    def __init__(self, experiment: str, study_id: str, params: dict[str, Any]):
        self._experiment = experiment
        self._study_id = study_id
        self._params = params
        self._recorded: set[str] = set()
        self._summary = self._open("summary", run_name=f"summary · {study_id}")

    def _open(self, kind: str, *, run_name: str, tags: dict[str, str] | None = None) -> Recorder:
        own = {"initkit.study": self._study_id, "initkit.kind": kind, **(tags or {})}
        return Recorder.open(self._experiment, run_name=run_name, tags=own, on_error="warn", join_active=False)

    @contextlib.contextmanager
    def summary_run(self) -> Iterator[None]:
        """Keep the summary run open for the block; it is then FINISHED, FAILED or KILLED."""
        with self._summary:
            yield

    def finished(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the records of replicas that the experiment already has; see `finished_replicas`."""
        return finished_replicas(self._summary.client, self._summary.experiment_id, set(keys))

    def pictures(self, run_id: str) -> dict[str, Any]:
        """Return the cosine matrices that the run of a replica keeps, `{layer: (before, after)}`."""
        arrays = kept_arrays(self._summary.client, run_id)
        return next(iter(unpack(arrays).values()), {}) if arrays else {}

    def record(self, replica: Replica, key: str, colour: str, pictures: dict[str, Any]) -> str:
        """Write one replica as a run, with the cosine matrices of its units if there are any.

        Returns:
            The id of the run, empty if the store failed.
        """
        tags = {"initkit.replica_key": key, "mlflow.runColor": colour}
        try:
            recorder = self._open("replica", run_name=f"{replica.initializer} · seed {replica.seed}", tags=tags)
        except TrackingError as error:
            warnings.warn(f"{error} The study goes on; this replica is not in MLflow.", stacklevel=2)
            return ""
        with recorder:
            params = {**self._params, **replica.initial_state.get("params", {})}
            recorder.params({**params, "init/name": replica.initializer, "seed": replica.seed})
            recorder.curves(_metric_curves(replica))
            recorder.scalars({**_convergence(replica), "time/seconds": replica.seconds})
            recorder.tags({"initkit.verdict": replica.verdict})
            if replica.error:
                recorder.tags({"initkit.error": replica.error})
            recorder.artifact_json("initializers.json", replica.initial_state.get("layers", []))
            recorder.artifact_text(RECORD, json.dumps(replica.to_dict()))
            if pictures:
                with tempfile.TemporaryDirectory() as folder:
                    arrays = pack({replica.initializer: pictures})
                    np.savez_compressed(Path(folder) / PICTURES, **arrays)  # type: ignore[arg-type]
                    recorder.artifact_file(Path(folder) / PICTURES)
            recorder.finish("FAILED" if replica.error else "FINISHED")
        self._recorded.add(recorder.run_id)
        return recorder.run_id

    def score(self, results: "StudyResults") -> None:
        """Write the numbers that depend on the target to the runs that do not have them.

        These are all runs if the target was taken from the study, and those of an earlier study, which may have had
        another target.
        """
        given = results.target_source == "given"
        client = self._summary.client
        for record in results.records:
            if record.status == "failed" or not record.run_id or (given and record.run_id in self._recorded):
                continue
            try:
                run = Recorder(client, client.get_run(record.run_id), owner=False, on_error="warn")
            except Exception as error:
                warnings.warn(
                    f"Expected to score run {record.run_id}. Received: {first_line(error)}. The results are complete; "
                    "the numbers about the target are missing in MLflow.",
                    stacklevel=2,
                )
                return
            run.scalars(_convergence(record))

    def summarise(self, results: "StudyResults") -> str:
        """Write table, sentences and figures to the summary run, write the view, and return its address."""
        run = self._summary
        run.params({**self._params, "target": str(results.target), "target/source": results.target_source})
        run.artifact_text("summary.txt", results.summary() + "\n")
        run.artifact_text("table.csv", results.table().to_csv(index=False))
        run.artifact_text("replicas.csv", results.replicas.to_csv(index=False))
        for metric in results.curves:
            run.artifact_figure(f"figures/curves_{metric}.png", results.plot("curves", metric=metric))
        run.artifact_figure("figures/ranking.png", results.plot("ranking"))
        if results.pictures:
            run.artifact_figure("figures/symmetry.png", results.plot("symmetry"))
            run.artifact_figure("figures/heatmaps.png", results.plot("heatmaps"))
        keys = {key for record in results.records for key in _metric_curves(record)}
        keys |= {key for record in results.records for key in _convergence(record)}
        view = comparison_view(self._study_id, sorted(keys))
        write_view(run.client, run.experiment_id, view)
        uri = str(run.client.tracking_uri)
        base = uri.rstrip("/") if uri.startswith(("http://", "https://")) else _UI_ADDRESS
        return view_url(base, run.experiment_id, view.id)


def _convergence(replica: Replica) -> dict[str, float]:
    return {f"convergence/{convergence_name(name)}": value for name, value in replica.metrics.items()}


def _metric_curves(replica: Replica) -> dict[str, dict[int, float]]:
    curves = {log_key(name): dict(enumerate(values)) for name, values in replica.curves.items()}
    by_epoch: dict[int, list[dict[str, Any]]] = {}
    for row in replica.symmetry:
        by_epoch.setdefault(row["epoch"], []).append(row)
    for epoch, rows in by_epoch.items():
        for statistic in STATISTICS:
            curves.setdefault(f"symmetry/{statistic}", {})[epoch] = worst_value(rows, statistic)
            for row in rows:
                curves.setdefault(log_key(f"symmetry/{row['layer']}/{statistic}"), {})[epoch] = row[statistic]
    return {key: {step: v for step, v in points.items() if math.isfinite(v)} for key, points in curves.items()}
