"""Recorder: the only writer to MLflow, one object per run."""

import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from keras_initkit._checks import check_choice, describe
from keras_initkit.tracking.closing import forget, status_of, watch
from keras_initkit.tracking.environment import environment
from keras_initkit.tracking.errors import TrackingError, first_line
from keras_initkit.tracking.keys import clean_key
from keras_initkit.tracking.store import check_agrees, connect, find_experiment, unusable
from keras_initkit.tracking.text import json_text, param_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

_Item = TypeVar("_Item")
_PARAMS_PER_BATCH = 100
_METRICS_PER_BATCH = 1000


class Recorder:
    """Writes one MLflow run through a client of its own, and ends it with the right status.

    Nothing global is changed: no tracking URI, no active experiment, no active run. As a context manager it ends its
    run as FINISHED, as FAILED after an exception and as KILLED after an interrupt. A run that it joined belongs to
    whoever started it and is never ended here. If the process ends while the run is open, the run is ended as FAILED
    (KILLED after an interrupt).

    Example:

    ```python
    with Recorder.open("digits", run_name="he_normal · seed 3") as recorder:
        recorder.params({"init/name": "he_normal", "seed": 3})
        recorder.curves({"train/loss": {0: 2.31, 1: 0.84, 2: 0.41}})
        recorder.scalars({"convergence/reached_target": 1})
    ```

    Attributes:
        client: the `MlflowClient`.
        run_id, experiment_id: ids of the run and its experiment.
        owner: whether the run was created here.
        recording: False once a failure was met with `on_error="warn"`.
    """

    def __init__(self, client: "MlflowClient", run: "Run", *, owner: bool, on_error: str):
        self.client = client
        self.run_id: str = run.info.run_id
        self.experiment_id: str = run.info.experiment_id
        self.owner = owner
        self.recording = True
        self._on_error = on_error
        self._known_params: dict[str, str] = {} if owner else dict(run.data.params)
        self._finished = False
        if owner:
            watch(self)

    @classmethod
    def open(
        cls,
        experiment: str | None = None,
        *,
        run_name: str | None = None,
        tags: Mapping[str, Any] | None = None,
        tracking_uri: str | None = None,
        on_error: str = "warn",
        join_active: bool = True,
    ) -> "Recorder":
        """Join the active run of this thread, or create a run.

        Args:
            experiment: name of the experiment, created if missing. Defaults to MLflow's own choice.
            run_name: name of a run that is created. Defaults to one that MLflow makes up.
            tags: tags of the run, beside those of MLflow (user, source, git commit) and `initkit.version`,
                `keras.backend`.
            tracking_uri: address of the store. Defaults to MLflow's own choice.
            on_error: after the run is open, `"warn"` warns once about a failure and records no more, so that training
                goes on; `"raise"` raises `TrackingError`.
            join_active: whether to join the run that `mlflow.active_run()` gives.

        Raises:
            TrackingError: if the store cannot be used, the experiment was deleted, or the active run is in another
                experiment or store than the one asked for.
        """
        import mlflow
        from mlflow.tracking.context.registry import resolve_tags

        check_choice("on_error", on_error, ("warn", "raise"))
        client = connect(tracking_uri)
        env = environment()
        kit_tags = {"initkit.version": env["version/keras-initkit"], "keras.backend": env["backend"], **(tags or {})}
        texts = {clean_key(key): param_text(value) for key, value in kit_tags.items()}
        active = mlflow.active_run() if join_active else None
        try:
            if active is not None:
                check_agrees(client, active, experiment, tracking_uri)
                recorder = cls(client, client.get_run(active.info.run_id), owner=False, on_error=on_error)
                recorder.tags(texts)
                return recorder
            experiment_id = find_experiment(client, experiment)
            run = client.create_run(experiment_id, tags=resolve_tags(texts), run_name=run_name)
        except TrackingError:
            raise
        except Exception as error:
            raise unusable(client.tracking_uri, error) from error
        return cls(client, run, owner=True, on_error=on_error)

    def params(self, params: Mapping[str, Any]) -> None:
        """Record params as text. A param that the run already has cannot get another value."""
        from mlflow.entities import Param

        texts = {clean_key(key): param_text(value) for key, value in params.items()}
        clashes = [key for key, text in texts.items() if self._known_params.get(key, text) != text]
        if clashes:
            self._report_clashes(clashes, texts)
        new = [Param(key, text) for key, text in texts.items() if key not in self._known_params]
        for batch in _batches(new, _PARAMS_PER_BATCH):
            if self._send("params", partial(self._log, params=batch)):
                self._known_params.update({param.key: param.value for param in batch})

    def tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags; an earlier value of a tag is replaced."""
        from mlflow.entities import RunTag

        new = [RunTag(clean_key(key), param_text(value)) for key, value in tags.items()]
        for batch in _batches(new, _PARAMS_PER_BATCH):
            self._send("tags", partial(self._log, tags=batch))

    def metrics(self, values: Mapping[str, Any], step: int) -> None:
        """Record the metrics of one step (the number of epochs done) in one request; NaN and infinity are left out."""
        self.curves({key: {step: value} for key, value in values.items()})

    def scalars(self, values: Mapping[str, Any]) -> None:
        """Record numbers about the whole run. They are kept at step 0, which the MLflow UI draws as bars."""
        self.metrics(values, 0)

    def curves(self, curves: Mapping[str, Mapping[int, Any]]) -> None:
        """Record whole curves `{key: {step: value}}`, up to 1000 points per request; NaN and infinity are left out."""
        for batch in _batches(_points(curves), _METRICS_PER_BATCH):
            self._send("metrics", partial(self._log, metrics=batch))

    def artifact_json(self, name: str, value: Any) -> None:
        """Keep a value as JSON in the artifact `name`."""
        self.artifact_text(name, json_text(value))

    def artifact_text(self, name: str, text: str) -> None:
        """Keep a text in the artifact `name`."""
        self._send(f"artifact {name!r}", lambda: self.client.log_text(self.run_id, text, name))

    def artifact_figure(self, name: str, figure: "Figure") -> None:
        """Keep a matplotlib figure in the artifact `name`, whose ending (`.png`, `.svg`) is the format."""
        self._send(f"artifact {name!r}", lambda: self.client.log_figure(self.run_id, figure, name))

    def artifact_file(self, path: str | Path, folder: str | None = None) -> None:
        """Keep a copy of a local file, below `folder` if given."""
        self._send(f"artifact {str(path)!r}", lambda: self.client.log_artifact(self.run_id, str(path), folder))

    def finish(self, status: str = "FINISHED") -> None:
        """End the run as `"FINISHED"`, `"FAILED"` or `"KILLED"`. Only the first call counts, and only for the owner.

        A run whose recording broke off is ended as well: a failure may have been a passing one.
        """
        check_choice("status", status, ("FINISHED", "FAILED", "KILLED"))
        if self._finished:
            return
        self._finished = True
        forget(self)
        if self.owner:
            self._send(f"status {status}", lambda: self.client.set_terminated(self.run_id, status), always=True)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(status_of(error))

    def _log(self, **entities: Any) -> None:
        self.client.log_batch(self.run_id, synchronous=True, **entities)

    def _send(self, what: str, send: Callable[[], Any], *, always: bool = False) -> bool:
        """Send something to the store and return whether that worked; `always` tries even after a failure."""
        if not self.recording and not always:
            return False
        try:
            send()
        except Exception as error:
            message = (
                f"Expected to record {what} of run {self.run_id} at {self.client.tracking_uri!r}. "
                f"Received: {first_line(error)}."
            )
            if self._on_error == "raise":
                raise TrackingError(
                    f"{message} Check the store, or use on_error='warn' to go on without it."
                ) from error
            if self.recording:
                self.recording = False
                warnings.warn(f"{message} Nothing more is recorded for this run; training goes on.", stacklevel=4)
            return False
        return True

    def _report_clashes(self, clashes: list[str], texts: Mapping[str, str]) -> None:
        listed = ", ".join(f"{key}={texts[key]!r} (the run has {self._known_params[key]!r})" for key in clashes)
        message = f"Expected params that the run {self.run_id} does not have with other values. Received: {listed}."
        if self._on_error == "raise":
            raise TrackingError(f"{message} Record into a run of its own.")
        warnings.warn(f"{message} They are left as they were; record into a run of its own.", stacklevel=4)


def _points(curves: Mapping[str, Mapping[int, Any]]) -> "Iterator[Metric]":
    from mlflow.entities import Metric

    now = time.time_ns() // 1_000_000
    for key, points in curves.items():
        name = clean_key(key)
        for step, value in points.items():
            try:
                number = float(value)
            except (TypeError, ValueError):
                raise ValueError(f"Expected metric {key!r} to be a number. Received: {describe(value)}.") from None
            if math.isfinite(number):
                yield Metric(name, number, now, int(step))


def _batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
