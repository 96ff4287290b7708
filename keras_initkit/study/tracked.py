"""A study in MLflow: one run per replica, one summary run with table and figures, one saved view."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from keras_initkit.study.journal import GroupJournal
from keras_initkit.study.pictures import unpack
from keras_initkit.study.record import Replica
from keras_initkit.study.run_content import (
    convergence,
    metric_curves,
    replica_content,
    replica_params,
    summary_content,
    summary_figures,
)
from keras_initkit.tracking import study_store
from keras_initkit.tracking.attempts import ATTEMPT, Earlier
from keras_initkit.tracking.closing import status_of
from keras_initkit.tracking.environment import environment
from keras_initkit.tracking.errors import TrackingError
from keras_initkit.tracking.study_store import Content, texts
from keras_initkit.tracking.views import comparison_view, view_url
from keras_initkit.tracking.writer import Writer

if TYPE_CHECKING:
    from keras_initkit.study.results import StudyResults


# Where `keras-initkit ui` serves a local store.
_UI_ADDRESS = "http://127.0.0.1:5000"
_Name = tuple[str, int]  # initializer and seed


class StudyTracker:
    """Writes a study to an MLflow experiment: another process does so in the order of the calls, this one goes on.

    MLflow is loaded and the store opened from the moment the tracker is made. The summary run is open from `open` to
    the end of the block; it is then FINISHED, FAILED or KILLED, as are replicas that had begun. When the block ends,
    however it ends, all that was recorded is written. A store that cannot be used at the start is an error; one that
    fails later is one warning, and the study goes on.

    Example:

    ```python
    with StudyTracker("digits") as tracker:
        tracker.open(study_id, params)
        tracker.record(replica, key, "#1f77b4", {})
        results = tracker.complete(results)
    ```

    Args:
        experiment: name of the experiment.
    """

    def __init__(self, experiment: str):
        self._experiment = experiment
        self._writer = Writer()
        self._located = self._writer.submit(study_store.locate, os.environ.get("MLFLOW_TRACKING_URI"), os.getcwd())
        self._store = self._writer.submit(study_store.open_store, self._located)
        self._place: Future[Any]
        self._summary: Future[Any] | None = None
        self._study_id = ""
        self._params: dict[str, str] = {}
        self._begun: dict[_Name, Future[Any]] = {}
        self._recorded: dict[_Name, Future[Any]] = {}
        self._numbers: dict[_Name, dict[str, float]] = {}
        self._is_new = False
        self._is_complete = False
        self._warned = False
        self._journal = GroupJournal()
        self._earlier: Future[Any] | None = None

    @property
    def store(self) -> str:
        """Address of the store, for an SQLite file with its whole path."""
        uri: str = self._located.result()[0]
        path = uri.removeprefix("sqlite:///")
        return uri if path == uri else f"sqlite:///{os.path.abspath(path)}"

    def open(self, study_id: str, params: dict[str, Any], journal: GroupJournal | None = None) -> None:
        """Find or create the experiment and open the summary run, or that of the study that is resumed.

        Args:
            study_id: text that the runs of the study share as the tag `initkit.study`.
            params: params that all replicas share.
            journal: journal of the study, from now on the tracker's to end: it is closed once the study is complete and
                all of it written, else released for a later call to go on. Defaults to `None`: not to be resumed.

        Raises:
            TrackingError: if the store cannot be used, or the experiment was deleted, or another process is writing
                this study.
        """
        self._journal = journal or self._journal
        env = environment()
        self._study_id, self._params = study_id, texts(params)
        tags = {"initkit.version": env["version/keras-initkit"], "keras.backend": env["backend"]}
        tags = {**study_store.context_tags(), **texts(tags)}
        _, is_new = self._located.result()
        self._place = self._writer.submit(study_store.find_place, self._store, self._experiment, tags)
        self._earlier = self._take_up()
        content = Content(tags=self._tags("summary", {}))
        self._summary = self._writer.submit(
            study_store.open_summary, self._place, f"summary · {study_id}", content, self._earlier or Earlier()
        )
        if not is_new:  # A file that MLflow can write and has yet to fill need not be waited for.
            for opened in (self._store, self._place, self._earlier):
                if opened is not None:
                    opened.result()
        self._is_new = is_new

    def _take_up(self) -> "Future[Any] | None":
        """Find what the store has of the study already, and keep others from writing it meanwhile."""
        if not self._journal.attempt:
            return None
        journal = self._journal
        return self._writer.submit(
            study_store.take_up, self._place, journal.attempt, journal.writer_lock, journal.is_resumed
        )

    def __enter__(self) -> "StudyTracker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end(status_of(error))
            if self._earlier is not None:
                self._note(self._writer.submit(study_store.let_go))
        finally:
            self._writer.close()
            if self._is_complete and error is None and not self._warned:
                self._journal.close()
            else:
                self._journal.release()

    def _end(self, status: str) -> None:
        """End what is open, once all that was recorded is written."""
        for recorded in self._recorded.values():
            self._note(recorded)
        for name, run in self._begun.items():
            if name not in self._recorded:
                self._note(self._writer.submit(study_store.end_run, self._place, run, status))
            elif self._recorded[name].exception() is not None:
                self._note(self._writer.submit(study_store.end_run, self._place, run, "FAILED"))
        if self._summary is not None:
            self._note(self._writer.submit(study_store.end_run, self._place, self._summary, status))

    def _note(self, future: "Future[Any]") -> Any:
        """Wait for a result and return it; of failures only the first is warned of, and the result is then None."""
        try:
            return future.result()
        except TrackingError as error:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"Expected to write the study to MLflow. Received: {str(error).rstrip('.')}. The study goes on and "
                    "its results are complete; runs that could not be written are missing or FAILED in MLflow.",
                    stacklevel=4,
                )
            return None

    def finished(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the records of replicas that the experiment already has; see `finished_replicas`."""
        if self._is_new:
            return {}
        return self._writer.submit(study_store.finished_replicas, self._place, set(keys)).result()

    def pictures(self, run_id: str) -> dict[str, Any]:
        """Return the cosine matrices that the run of a replica keeps, `{layer: (before, after)}`."""
        arrays = self._writer.submit(study_store.kept_arrays, self._place, run_id).result()
        return next(iter(unpack(arrays).values()), {}) if arrays else {}

    def begin(
        self, initializer: str, seed: int, key: str, colour: str, initial_state: Mapping[str, Any] | None = None
    ) -> None:
        """Open the run of a replica whose training begins; `record` or the end of the block ends it.

        Optional: it shows in MLflow what is being trained, and leaves less to be written at the end, where all replicas
        of a stacked group come at once.
        """
        if self._written_before(initializer, seed):
            return
        params = {**self._params, **replica_params(initializer, seed, initial_state or {})}
        self._begun[initializer, seed] = self._open_run(
            f"{initializer} · seed {seed}", "replica", _replica_tags(key, colour), params
        )

    def record(self, replica: Replica, key: str, colour: str, pictures: dict[str, Any]) -> None:
        """Write one replica as a run, with the cosine matrices of its units if there are any.

        The id of the run is in what `complete` returns. A replica that was written before the study was interrupted is
        not written again.
        """
        self._look_for_failures()
        name = (replica.initializer, replica.seed)
        run_id = self._written_before(*name)
        if run_id:
            self._recorded[name] = Future()
            self._recorded[name].set_result(run_id)
            return
        content = replica_content(replica, pictures)
        content = replace(content, params={**self._params, **content.params})
        status = "FAILED" if replica.error else "FINISHED"
        verdict = {"initkit.verdict": replica.verdict}
        begun = self._begun.get(name)
        if begun is None or (begun.done() and begun.exception() is not None):
            tags = self._tags("replica", {**_replica_tags(key, colour), **verdict})
            run_name = f"{replica.initializer} · seed {replica.seed}"
            write = partial(self._writer.submit, study_store.record_run, self._place, run_name, tags)
        else:
            content = replace(content, tags={**content.tags, **texts(verdict)})
            write = partial(self._writer.submit, study_store.complete_run, self._place, begun)
        self._recorded[name] = write(content, status)
        self._numbers[name] = convergence(replica)

    def complete(self, results: "StudyResults") -> "StudyResults":
        """Write what depends on all replicas: the numbers about the target, table, figures and the view.

        Returns:
            The results with the ids of the runs, empty where the store failed, and the address of the comparison.
        """
        scores = [self._writer.submit(*score) for score in self._scores(results)]
        figures = summary_figures(results)  # drawn while the runs are being written
        results = replace(results, records=tuple(self._with_run_id(record) for record in results.records))
        content = summary_content(results, figures)
        content = replace(content, params={**self._params, **content.params})
        view = comparison_view(self._study_id, sorted({key for record in results.records for key in _keys(record)}))
        summary = self._writer.submit(study_store.fill_run, self._place, self._summary, content)
        saved = self._writer.submit(study_store.save_view, self._place, view)
        for future in (*scores, summary, saved):
            self._note(future)
        self._is_complete = True
        place = self._note(self._place)
        if place is None:
            return results
        base = place.uri.rstrip("/") if place.uri.startswith(("http://", "https://")) else _UI_ADDRESS
        return replace(results, url=view_url(base, place.experiment_id, view.id))

    def _scores(self, results: "StudyResults") -> Iterator[tuple[Any, ...]]:
        """Yield the calls that write the numbers of each replica which are not those that its run has.

        These are all if the target was taken from the study. Runs of earlier, which may have been written with another
        target or this one, are asked what they have.
        """
        for record in results.records:
            name = (record.initializer, record.seed)
            known = self._numbers.get(name)
            new = {key: {0: value} for key, value in convergence(record).items() if (known or {}).get(key) != value}
            run = self._recorded.get(name, record.run_id)
            if record.status == "failed" or not run or not new:
                continue
            if known is None:
                yield study_store.correct_run, self._place, run, new
            else:
                yield study_store.fill_run, self._place, run, Content(curves=new)

    def _written_before(self, initializer: str, seed: int) -> str:
        """Return the id of the run that a replica has since before the study was interrupted, or an empty text."""
        earlier = None if self._earlier is None else self._note(self._earlier)
        params = replica_params(initializer, seed, {})
        return earlier.replicas.get((params["init/name"], params["seed"]), "") if earlier else ""

    def _with_run_id(self, record: Replica) -> Replica:
        recorded = self._recorded.get((record.initializer, record.seed))
        return record if recorded is None else replace(record, run_id=self._note(recorded) or "")

    def _look_for_failures(self) -> None:
        if not self._warned:
            for future in self._recorded.values():
                if future.done():
                    self._note(future)

    def _open_run(self, name: str, kind: str, tags: Mapping[str, str], params: Mapping[str, str]) -> "Future[Any]":
        content = Content(params=params, tags=self._tags(kind, tags))
        return self._writer.submit(study_store.open_run, self._place, name, content)

    def _tags(self, kind: str, tags: Mapping[str, str]) -> dict[str, str]:
        attempt = {ATTEMPT: self._journal.attempt} if self._journal.attempt else {}
        return texts({"initkit.study": self._study_id, "initkit.kind": kind, **attempt, **tags})


def _replica_tags(key: str, colour: str) -> dict[str, str]:
    return {"initkit.replica_key": key, "mlflow.runColor": colour}


def _keys(replica: Replica) -> set[str]:
    return {*metric_curves(replica), *convergence(replica)}
