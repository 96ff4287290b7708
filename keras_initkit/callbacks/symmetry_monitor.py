"""SymmetryMonitor: measures before training and after every epoch how alike the hidden units are."""

import math
import time
from collections.abc import Sequence
from typing import Any

import keras

from keras_initkit._checks import check_choice, check_integer, check_number
from keras_initkit.callbacks.progress_line import shorten_progress_line
from keras_initkit.callbacks.record_views import RecordViews
from keras_initkit.callbacks.running_fit import build_for_running_fit, running_callbacks, running_first_epoch
from keras_initkit.callbacks.symmetry_alarm import SymmetryAlarm
from keras_initkit.callbacks.symmetry_record import SymmetryRecord
from keras_initkit.inspection.worst import STATISTICS, worst_value


class SymmetryMonitor(RecordViews, keras.callbacks.Callback):
    """Measures every epoch how alike the hidden units of each layer are, and says which are locked.

    Two units with equal incoming and equal outgoing weights get equal gradients and stay equal for ever: the layer
    works as if it had fewer units. The monitor reads the weights of all hidden layers before the first step (epoch
    0) and after every epoch, and measures, with n units and cᵢⱼ the cosine of the weights into units i and j:

    | key | meaning | range |
    |---|---|---|
    | `mean` | mean of cᵢⱼ over all pairs: a common direction | [-1, 1] |
    | `rms` | root mean square of cᵢⱼ: a common line, opposite units included; 1/√inputs by chance | [0, 1] |
    | `mean_abs` | mean of the absolute cosine | [0, 1] |
    | `max_abs` | absolute cosine of the closest pair | [0, 1] |
    | `participation` | n²/Σcᵢⱼ²: number of directions in use | [1, n] |
    | `distinct` | number of units with different incoming weights, up to what the activation cannot see | [1, n] |
    | `locked` | number of units that share incoming and outgoing weights with another one | [0, n] |
    | `dead` | number of units that get no gradient and cannot recover | [0, n] |

    Weights are only read: training is the same, bit for bit, with and without the monitor.

    Example:

    ```python
    monitor = ik.SymmetryMonitor()
    model.fit(x, y, epochs=10, callbacks=[monitor])
    monitor.verdicts            # {"hidden_1": "healthy", "hidden_2": "locked"}
    print(monitor.summary())    # hidden_1: locked at epoch 0 (32 of 32 units), unlocked at epoch 3, ...
    monitor.to_dataframe()
    monitor.plot("timeline")
    ```

    Args:
        layers: names or paths (`"block/dense"`) of the layers to watch. Defaults to `None`: every hidden layer
            of a type whose units are known. In a subclassed model whose outputs cannot be traced to its layers, the
            last layer defined is taken for the output and watched only if it is named here.
        every: measure after every so many epochs; the start and the end of training are always measured. Defaults
            to 1.
        statistics: the keys that are added to Keras' `logs`. Defaults to all of them; `rows` holds all in any case.
        on_locked: what to do when locked or dead layers are first seen, or layers that were in order collapse. One of
            `"warn"` (a `UserWarning`), `"raise"` (an `InitializationError`), `"stop"` (training ends after the first
            batch, or with the epoch), `"ignore"`. Each layer is reported once per kind. Defaults to `"warn"`.
        log: whether to add `symmetry/<statistic>` (of the worst layer, see `worst_value`) and
            `symmetry/<layer>/<statistic>` to the `logs` of Keras, where History, CSVLogger, TensorBoard, EarlyStopping
            and MLflow find them; callbacks listed before the monitor do not. After epochs that are not measured the
            latest values are repeated there, so that every epoch has all keys. Keras' progress line shows
            `symmetry/locked` and `symmetry/dead` alone. Defaults to `True`.
        max_share: largest share of the time since the start of training that measuring may take, in (0, 1]. An epoch
            that is due is then left out if measuring it would exceed this, so which epochs are measured depends on the
            clock. The start and the end of training are always measured. Defaults to `None`: no bound.

    Attributes:
        rows: list of dicts, one per measured epoch and layer, with `epoch` (0 is before training), `layer`, `units`,
            `inputs`, one key per statistic, `null_z` (standard deviations above chance) and `verdict`. Statistics of
            layers whose weights are not finite, and cosines where there is one unit, are NaN there and absent from
            `logs`. From the measurement on at which units of a layer were first seen locked, its rows have `gap`: how
            far these units are apart, relative to their weights (0 is bit-equal, see `class_gap`).
        verdicts: dict from layer path to its latest verdict.
        events: list of `SymmetryEvent(epoch, layer, what, before, after)`: at which measurement a layer unlocked,
            collapsed, died, ...; the words are explained in `keras_initkit.callbacks.symmetry_events.EVENTS`.

    Raises:
        ValueError: for an unknown layer, statistic or value of `on_locked`, a model that is not built, or one without
            hidden layers of the known types.
        InitializationError: with `on_locked="raise"`, when a layer is locked or dead.

    Reference:
        - [Fukumizu and Amari, 2000, Local minima and plateaus in hierarchical structures of multilayer
          perceptrons](https://doi.org/10.1016/S0893-6080(00)00009-5)
    """

    async_safe = True

    def __init__(
        self,
        *,
        layers: Sequence[str] | None = None,
        every: int = 1,
        statistics: Sequence[str] = STATISTICS,
        on_locked: str = "warn",
        log: bool = True,
        max_share: float | None = None,
    ):
        super().__init__()
        self.layers = None if layers is None else _names("layers", layers)
        self.every = check_integer("every", every, 1)
        self.statistics = tuple(
            check_choice("statistics", name, STATISTICS) for name in _names("statistics", statistics)
        )
        self.on_locked = check_choice("on_locked", on_locked, ("warn", "raise", "stop", "ignore"))
        self.log = log
        self.max_share = None if max_share is None else _check_share(max_share)
        self.reset()

    def reset(self) -> None:
        """Forget all measurements; the next one starts a new record."""
        self._record: SymmetryRecord | None = None
        self._alarm = SymmetryAlarm(self.on_locked)
        self._logged: dict[str, float] = {}
        self._missed: int | None = None
        self._started = time.perf_counter()
        self._spent = self._cost = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Measure the model before training. A new `fit` starts a new record."""
        self.reset()
        build_for_running_fit(self.model)
        self._record = SymmetryRecord(self.model, self.layers, "epoch")
        if self.log:
            shorten_progress_line(running_callbacks())
        self._measure(self._record, running_first_epoch(), logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure after the epoch; row `epoch` n is the state after n epochs."""
        assert self._record is not None
        done = epoch + 1
        last = done == (self.params or {}).get("epochs") or getattr(self.model, "stop_training", False)
        known = done <= self._record.times[-1]  # another callback called `measure`
        if not known and (last or (done % self.every == 0 and self._has_time())):
            self._measure(self._record, done, logs)
            return
        self._missed = None if known else done
        if logs is not None:
            logs.update(self._logged)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Measure the end of training if the last epoch was not measured."""
        if self._missed is not None and self._record is not None:
            self._measure(self._record, self._missed, logs)

    def measure(self, model: Any, step: float, *, optimizer: Any = None) -> list[dict[str, Any]]:
        """Measure now: for training loops without `fit`, or between the epochs of one.

        The first call starts the record, and so does a call with another model; further calls add to it, also after
        `fit` (where `step` counts epochs, and may be a fraction) as long as the model is the same; an epoch that was
        measured in this way is not measured twice. `fit` starts a new record. `every` and `max_share` do not apply.
        Layers that are locked or dead are reported as in `fit`; `on_locked="stop"` sets `model.stop_training`, which
        the loop has to look at.

        In a JAX loop over `stateless_call`, assign the variables of the state to the model before.

        Example:

        ```python
        monitor = ik.SymmetryMonitor()
        monitor.measure(model, 0, optimizer=optimizer)
        for step, (x, y) in enumerate(batches, 1):
            train_step(x, y)
            if step % 100 == 0:
                monitor.measure(model, step, optimizer=optimizer)
        print(monitor.summary())
        ```

        Args:
            model: a built Keras model.
            step: the time of the measurement, the `epoch` of its rows: a number above the one before.
            optimizer: the optimizer of the loop. What it remembers can keep units apart whose weights are equal.
                Defaults to `None`: the one the model is compiled with, if any.

        Returns:
            The rows of this measurement, one dict per layer.

        Raises:
            ValueError: if `step` is not above the one before, or as the class says.
            InitializationError: with `on_locked="raise"`, when a layer is locked or dead.
        """
        check_number("step", step)
        if self._record is None or self._record.model is not model:
            self.reset()
            self._record = SymmetryRecord(model, self.layers, "step")
        elif step <= self._record.times[-1]:
            raise ValueError(
                f"Expected `step` to be above that of the measurement before, {self._record.times[-1]}. Received: "
                f"step={step}. Call `reset()` to start a new record."
            )
        # Inside `fit`, JAX keeps the weights apart from the model's variables.
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()
        self._measure(self._record, step, None, optimizer)
        return list(self._record.latest.values())

    def _measure(
        self, record: SymmetryRecord, label: float, logs: dict[str, Any] | None, optimizer: Any = None
    ) -> None:
        started = time.perf_counter()
        self._missed = None
        events = record.measure(label, optimizer)
        if self.log:
            self._logged = self._log_values(list(record.latest.values()))
            if logs is not None:
                logs.update(self._logged)
        self._cost = time.perf_counter() - started
        self._spent += self._cost
        self._alarm.respond(record, label, events)

    def _has_time(self) -> bool:
        if self.max_share is None:
            return True
        elapsed = time.perf_counter() - self._started
        return self._spent + self._cost <= self.max_share * (elapsed + self._cost)

    def _log_values(self, rows: list[dict[str, Any]]) -> dict[str, float]:
        values = {}
        for statistic in self.statistics:
            worst = worst_value(rows, statistic)
            if math.isfinite(worst):
                values[f"symmetry/{statistic}"] = worst
            for row in rows:
                if math.isfinite(row[statistic]):
                    values[f"symmetry/{row['layer']}/{statistic}"] = float(row[statistic])
        return values


def _names(argument: str, names: Sequence[str]) -> list[str]:
    if isinstance(names, str):
        raise ValueError(
            f"Expected `{argument}` to be a list of names. Received: {argument}={names!r}. Use [{names!r}]."
        )
    chosen = list(names)
    if not chosen:
        raise ValueError(f"Expected `{argument}` to have at least one name. Received: {argument}=[].")
    return chosen


def _check_share(share: float) -> float:
    if check_number("max_share", share, minimum=0.0, exclusive=True) > 1:
        raise ValueError(f"Expected `max_share` to be at most 1. Received: max_share={share}.")
    return float(share)
