"""MLflowLogger: one MLflow run per `fit`, complete and with the right status."""

import numbers
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import keras

from keras_initkit._checks import check_choice, describe
from keras_initkit.callbacks.running_fit import build_for_running_fit, running_batch_size
from keras_initkit.convergence import Target, parse_target
from keras_initkit.tracking.closing import status_of
from keras_initkit.tracking.environment import environment
from keras_initkit.tracking.fingerprint import data_sha256
from keras_initkit.tracking.fit_guard import FitGuard
from keras_initkit.tracking.fit_params import model_params, optimizer_params
from keras_initkit.tracking.initial_state import initial_params, initial_state
from keras_initkit.tracking.keys import log_key
from keras_initkit.tracking.learning import LearningCurves
from keras_initkit.tracking.recorder import Recorder


class MLflowLogger(keras.callbacks.Callback):
    """Records each `fit` as an MLflow run: what the model starts from, every epoch, how fast it learned.

    - Params: initializers (`init/...`), architecture, optimizer, batch size, budget, backend and versions, fingerprint
      of the data. Artifact `initializers.json`: initializers, seeds and first weights of every layer.
    - Metrics: every number of Keras' `logs` at step = epochs done, as `train/<name>`, `val/<name>`, or under its own
      name if it has a slash (`symmetry/rms`). Step 0 is the model before training.
    - Metrics at the end: `convergence/<name>`, computed by `keras_initkit.convergence` on the training loss; time to
      target is measured on the metric that `target` names.
    - Status: FINISHED, FAILED if a step of `fit` raises, KILLED if it is interrupted. If a callback or the data
      pipeline raises, the run is closed as FAILED by the next `fit` with this logger or when the process ends; use the
      logger as a context manager to have it closed at once.

    If a run is active (`mlflow.start_run`, autologging), it is joined and left open for whoever started it. Keys have
    prefixes, so the logger can be used beside MLflow's own callback and autologging. Training is the same, bit for
    bit, with and without the logger.

    Example:

    ```python
    logger = ik.MLflowLogger("digits", target="val_accuracy >= 0.95", data=(x, y))
    with logger:
        model.fit(x, y, epochs=30, validation_data=(xv, yv), callbacks=[ik.SymmetryMonitor(), logger])
    ```

    Args:
        experiment: name of the experiment, created if missing. Defaults to MLflow's own choice.
        run_name: name of the run. Defaults to one that MLflow makes up.
        tags: dict of tags for the run.
        target: what counts as learned: a training loss that must be reached from above, or text such as
            `"val_accuracy >= 0.95"`. Defaults to `None`: no time to target is recorded.
        on_error: what to do if the store fails during training: `"warn"` once and go on, or `"raise"`.
        data: `(x, y)` or `(x, y, sample_weight)`, the training data as arrays, for a fingerprint and for evaluating
            the model before training. Without it the values of step 0 are those of the first batch, which Keras
            computes before the first update (in training mode, with dropout; not with `steps_per_execution` above 1).
        validation_data: the same for validation data: gives `val/<name>` at step 0.

    Attributes:
        run_id: id of the latest run, None before the first `fit`.

    Raises:
        ValueError: for a bad argument.
        TrackingError: by `fit`, if the run cannot be opened; later failures as `on_error` says.
    """

    async_safe = True  # only the first batch is looked at, so Keras may go on dispatching asynchronously

    def __init__(
        self,
        experiment: str | None = None,
        *,
        run_name: str | None = None,
        tags: Mapping[str, Any] | None = None,
        target: float | str | Target | None = None,
        on_error: str = "warn",
        data: Any = None,
        validation_data: Any = None,
    ):
        super().__init__()
        self.experiment = experiment
        self.run_name = run_name
        if tags is not None and not isinstance(tags, Mapping):
            raise ValueError(f"Expected `tags` to be a dict. Received: tags={describe(tags)}.")
        if experiment is not None and not isinstance(experiment, str):
            raise ValueError(f"Expected `experiment` to be a name. Received: experiment={describe(experiment)}.")
        self.tags = dict(tags or {})
        self.target = target
        self._goal = None if target is None else parse_target(target)
        self.on_error = check_choice("on_error", on_error, ("warn", "raise"))
        self.data = _check_data("data", data)
        self.validation_data = _check_data("validation_data", validation_data)
        self.run_id: str | None = None
        self._recorder: Recorder | None = None
        self._guard: FitGuard | None = None
        self._reset()

    def _reset(self) -> None:
        self._curves = LearningCurves(self._goal)
        self._start: dict[str, Any] = {}  # values before training that this logger measured itself
        self._start_logs: Mapping[str, Any] = {}  # and those that other callbacks add to the logs of on_train_begin
        self._first_epoch: int | None = None
        self._pending: tuple[int, Mapping[str, Any]] | None = None
        self._wants_first_batch = False
        self._start_sent = False
        self._target_checked = False

    def __enter__(self) -> "MLflowLogger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close("FAILED" if error is None else status_of(error))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Open or join the run and record what the model starts from."""
        self._close("FAILED")
        self._reset()
        tags = {"initkit.kind": "fit", **self.tags}
        self._recorder = Recorder.open(self.experiment, run_name=self.run_name, tags=tags, on_error=self.on_error)
        self.run_id = self._recorder.run_id
        try:
            self._start_logs = {} if logs is None else logs
            self._record_start(self._recorder)
            self._guard = FitGuard(self.model, lambda error: self._close(status_of(error)))
            self._guard.attach()
        except BaseException as error:
            self._close(status_of(error))
            raise

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Send the epoch before, to whose `logs` all callbacks have added by now."""
        if self._first_epoch is None:
            self._first_epoch = epoch
        self._send()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the values of the first batch, which are those before the first update."""
        if batch == 0 and self._wants_first_batch:  # batches may be dispatched out of order
            self._wants_first_batch = False
            self._start |= _numeric(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the `logs` of the epoch until all callbacks have seen them."""
        self._send()
        self._pending = (epoch + 1, {} if logs is None else logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Record convergence and end the run as FINISHED, if it is ours."""
        if self._pending is not None and logs is not None:
            step, seen = self._pending
            self._pending = (step, {**logs, **seen})
        self._wants_first_batch = False
        self._send()
        if self._recorder is not None:
            budget = int(self.params.get("epochs") or 0) - (self._first_epoch or 0)
            metrics = self._curves.convergence(self._first_epoch or 0, budget)
            self._recorder.scalars({f"convergence/{key}": value for key, value in metrics.items()})
        self._close("FINISHED")

    def _record_start(self, recorder: Recorder) -> None:
        model, batch = self.model, running_batch_size()
        build_for_running_fit(model)
        state = initial_state(model)
        recorder.params(
            {
                **initial_params(state),
                **model_params(model),
                **optimizer_params(model.optimizer),
                **environment(),
                "batch": "not fixed" if batch is None else batch,
                "epochs_budget": self.params.get("epochs"),
                "target": self.target,
                "data/sha256": "not given" if self.data is None else data_sha256(self.data),
            }
        )
        recorder.artifact_json("initializers.json", state)
        if self.data is not None:
            self._start |= _evaluate(model, self.data, batch, prefix="")
        if self.validation_data is not None:
            self._start |= _evaluate(model, self.validation_data, batch, prefix="val_")
        self._wants_first_batch = self.data is None and model.steps_per_execution == 1

    def _send(self) -> None:
        """Send the values before training, once they are complete, and the epoch that waits."""
        if self._recorder is None:
            return
        if not self._start_sent and not self._wants_first_batch:
            self._start_sent = True
            self._record(self._first_epoch or 0, {**self._start_logs, **self._start})
        if self._pending is not None:
            (step, logs), self._pending = self._pending, None
            self._record(step, logs)
            self._check_target()

    def _record(self, step: int, logs: Mapping[str, Any]) -> None:
        values = _numeric(logs)
        self._curves.add(step, values)
        if self._recorder is not None:
            self._recorder.metrics({log_key(name): value for name, value in values.items()}, step)

    def _check_target(self) -> None:
        if not self._target_checked:
            self._target_checked = True
            try:
                self._curves.check_target()
            except ValueError:
                self._close("FAILED")
                raise

    def _close(self, status: str) -> None:
        """End the run after sending what waits; without an open run this does nothing."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.detach()
        if self._recorder is not None:
            self._wants_first_batch = False
            self._target_checked = True
            self._send()
            recorder, self._recorder = self._recorder, None
            recorder.finish(status)


def _evaluate(model: Any, data: tuple[Any, ...], batch_size: int | None, prefix: str) -> dict[str, float]:
    """Return the model's metrics on `data`; state that a forward pass may move (random generators) is put back."""
    state = [(variable, keras.ops.copy(variable.value)) for variable in model.non_trainable_variables]
    x, y, weights = (*data, None, None)[:3]
    values = model.evaluate(x, y, batch_size=batch_size, sample_weight=weights, verbose=0, return_dict=True)
    for variable, value in state:
        variable.assign(value)
    model.reset_metrics()
    return {f"{prefix}{name}": value for name, value in _numeric(values).items()}


def _numeric(logs: Mapping[str, Any] | None) -> dict[str, float]:
    return {name: float(value) for name, value in (logs or {}).items() if isinstance(value, numbers.Real)}


def _check_data(name: str, data: Any) -> tuple[Any, ...] | None:
    if data is None or (isinstance(data, (tuple, list)) and len(data) in (2, 3)):
        return None if data is None else tuple(data)
    raise ValueError(
        f"Expected `{name}` to be `(x, y)` or `(x, y, sample_weight)` with arrays. Received: {name}={describe(data)}."
    )
