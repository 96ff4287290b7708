"""SymmetryMonitor: measures before training and after every epoch how alike the hidden units are."""

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_initkit._checks import InitializationError, check_choice, check_integer
from keras_initkit.callbacks.movement import Movement
from keras_initkit.callbacks.running_fit import build_for_running_fit
from keras_initkit.callbacks.unit_pictures import UnitPictures
from keras_initkit.inspection.verdicts import LayerState, judge_model
from keras_initkit.inspection.wording import locked_message
from keras_initkit.inspection.worst import STATISTICS, worst_value
from keras_initkit.units.reading import UnitReader

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class SymmetryMonitor(keras.callbacks.Callback):
    """Measures every epoch how alike the hidden units of each layer are, and says which are locked.

    Two units with equal incoming and equal outgoing weights get equal gradients and stay equal for ever: the layer
    works as if it had fewer units. The monitor reads the weights of all hidden Dense and convolution layers before the
    first step (epoch 0) and after every epoch, and measures, with cᵢⱼ the cosine of the weights into units i and j:

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
    monitor.verdicts      # {"hidden_1": "healthy", "hidden_2": "locked"}
    monitor.to_dataframe()
    ```

    Args:
        layers: names or paths (`"block/dense"`) of the layers to watch. Defaults to `None`: every hidden layer. In a
            subclassed model the last layer defined is taken for the output and watched only if it is named here.
        every: measure after every so many epochs; epoch 0 and the last one are always measured. Defaults to 1.
        statistics: the keys that are added to Keras' `logs`. Defaults to all of them; `rows` holds all in any case.
        on_locked: what to do when locked or dead layers are first seen. One of `"warn"` (a `UserWarning`), `"raise"`
            (an `InitializationError`), `"stop"` (training ends after the first batch, or with the epoch), `"ignore"`.
            Defaults to `"warn"`.
        log: whether to add `symmetry/<statistic>` (of the worst layer, see `worst_value`) and
            `symmetry/<layer>/<statistic>` to the `logs` of Keras, where History, CSVLogger, TensorBoard, EarlyStopping
            and MLflow find them; callbacks listed before the monitor do not. Defaults to `True`.

    Attributes:
        rows: list of dicts, one per measured epoch and layer, with `epoch` (0 is before training), `layer`, `units`,
            `inputs`, one key per statistic, `null_z` (standard deviations above chance) and `verdict`. Statistics of
            layers whose weights are not finite, and cosines where there is one unit, are NaN there and absent from
            `logs`.
        verdicts: dict from layer path to its latest verdict.

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
    ):
        super().__init__()
        self.layers = None if layers is None else _names("layers", layers)
        self.every = check_integer("every", every, 1)
        self.statistics = tuple(
            check_choice("statistics", name, STATISTICS) for name in _names("statistics", statistics)
        )
        self.on_locked = check_choice("on_locked", on_locked, ("warn", "raise", "stop", "ignore"))
        self.log = log
        self._forget()

    def _forget(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.verdicts: dict[str, str] = {}
        self._states: dict[str, LayerState] = {}
        self._pictures = UnitPictures()
        self._reader: UnitReader | None = None
        self._movement: Movement | None = None
        self._reported: set[str] = set()
        self._missed = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Measure epoch 0. A new `fit` starts a new record."""
        self._forget()
        if not build_for_running_fit(self.model):
            raise ValueError(
                f"Expected a built model. Received: model={self.model.name!r}, which has no weights yet. Give it an "
                "`Input`, or call it on one batch before `fit`."
            )
        if not UnitReader(self.model).paths:
            raise ValueError(
                f"Expected a model with hidden Dense or convolution layers. Received: model={self.model.name!r} with "
                "none. Remove SymmetryMonitor: output layers and layers of other types are not watched."
            )
        self._reader = UnitReader(self.model, self.layers)
        self._movement = Movement(self.model)
        self._measure(0, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure after the epoch; row `epoch` n is the state after n epochs."""
        done = epoch + 1
        if done % self.every == 0:
            self._measure(done, logs)
        else:
            self._missed = done

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Measure the end of training if the last epoch was not due."""
        if self._missed:
            self._measure(self._missed, logs)

    def _measure(self, epoch: int, logs: dict[str, Any] | None) -> None:
        assert self._reader is not None
        assert self._movement is not None
        self._missed = 0
        trained = self._movement.since_last()
        states = judge_model(self._reader, self._states, trained)
        rows = [state.row(epoch) for state in states]
        self.rows += rows
        self.verdicts = {state.units.layer: state.verdict for state in states}
        self._states = {state.units.layer: state for state in states}
        self._pictures.keep(epoch, states)
        if self.log and logs is not None:
            logs.update(self._log_values(rows))
        self._respond(states, epoch)

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

    def _respond(self, states: list[LayerState], epoch: int) -> None:
        faulty = [s for s in states if s.verdict in ("locked", "dead") and s.units.layer not in self._reported]
        if not faulty or self.on_locked == "ignore":
            return
        self._reported.update(state.units.layer for state in faulty)
        message = locked_message(faulty, epoch)
        if self.on_locked == "raise":
            raise InitializationError(message)
        warnings.warn(message, UserWarning, stacklevel=2)
        if self.on_locked == "stop":
            self.model.stop_training = True

    def to_dataframe(self) -> "pd.DataFrame":
        """Return `rows` as a pandas DataFrame, one row per measured epoch and layer."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def plot(self) -> "Figure":
        """Draw the share of distinct units and the rms cosine of every layer over the epochs.

        Returns:
            A matplotlib Figure.

        Raises:
            ValueError: if nothing was measured yet.
        """
        from keras_initkit.callbacks.symmetry_figures import symmetry_figure

        return symmetry_figure(self.rows)

    def heatmap(self, layer: str, epoch: int) -> "Figure":
        """Draw the cosines of all pairs of units of a layer, at the first or the latest measured epoch.

        Args:
            layer: path of the layer, a key of `verdicts`.
            epoch: 0 for before training, or the latest measured epoch; the weights between are not kept.

        Returns:
            A matplotlib Figure.

        Raises:
            ValueError: if that layer or epoch is not available.
        """
        from keras_initkit.callbacks.symmetry_figures import heatmap_figure

        cosines = self._pictures.cosines(layer, epoch)
        return heatmap_figure(cosines, f"{layer}, {'before training' if epoch == 0 else f'after epoch {epoch}'}")

    def pictures(self) -> UnitPictures:
        """Return the cosine matrices that were kept, for reports."""
        return self._pictures


def _names(argument: str, names: Sequence[str]) -> list[str]:
    if isinstance(names, str):
        raise ValueError(
            f"Expected `{argument}` to be a list of names. Received: {argument}={names!r}. Use [{names!r}]."
        )
    chosen = list(names)
    if not chosen:
        raise ValueError(f"Expected `{argument}` to have at least one name. Received: {argument}=[].")
    return chosen
