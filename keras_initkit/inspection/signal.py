"""One forward pass on one batch: how large, varied and alive the output of every layer is."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.inspection.gradients import as_tensors
from keras_initkit.inspection.noise import noise_as
from keras_initkit.inspection.restoring import preserved
from keras_initkit.units.functions import layer_activation
from keras_initkit.units.reading import layer_paths

# Beyond these outputs a bounded activation has less than 4 % of its steepest slope.
_SATURATED: dict[str, Callable[[NDArray[Any]], NDArray[np.bool_]]] = {
    "tanh": lambda v: np.abs(v) > 0.99,
    "hard_tanh": lambda v: np.abs(v) > 0.99,
    "softsign": lambda v: np.abs(v) > 0.99,
    "sigmoid": lambda v: np.abs(v - 0.5) > 0.49,
    "hard_sigmoid": lambda v: np.abs(v - 0.5) > 0.49,
}
_SILENT_BELOW_ZERO = ("relu", "relu6")


@dataclass(frozen=True)
class LayerSignal:
    """The output of one layer on one batch, over all calls of the layer.

    Attributes:
        layer: path of the layer in the model.
        units: number of output features: the length of the last axis, or of the channel axis.
        mean_square: second moment of the outputs that are finite; NaN if none is.
        std: their standard deviation.
        input_rms: root of the second moment of the first float input; None if there is none.
        pre_activation_rms: root of the second moment of what reaches the activation; None if there is no activation.
        constant_units: units that give the same for every sample (at each position); None for a single sample.
        dead_units: units that a ReLU holds at zero for all samples and positions; None if the activation is no ReLU.
        saturated_units: units that a bounded activation holds where it is flat for all samples and positions: tanh and
            softsign beyond ±0.99, sigmoid outside 0.01 to 0.99; None if the activation is none of these.
        saturated_values: share of single outputs that lie there.
        not_finite: number of outputs that are NaN or infinite.
    """

    layer: str
    units: int
    mean_square: float
    std: float
    input_rms: float | None
    pre_activation_rms: float | None
    constant_units: tuple[int, ...] | None
    dead_units: tuple[int, ...] | None
    saturated_units: tuple[int, ...] | None
    saturated_values: float | None
    not_finite: int

    @property
    def constant(self) -> float | None:
        """Share of the units that are constant."""
        return self._share(self.constant_units)

    @property
    def dead(self) -> float | None:
        """Share of the units that are dead."""
        return self._share(self.dead_units)

    @property
    def saturated(self) -> float | None:
        """Share of the units that are saturated."""
        return self._share(self.saturated_units)

    def _share(self, units: tuple[int, ...] | None) -> float | None:
        return None if units is None else len(units) / max(self.units, 1)


def forward_signal(model: Any, x: Any, *, training: bool = True, noise: bool = False) -> dict[str, LayerSignal]:
    """Run a batch through the model and measure the output of every layer; the model is left as it was.

    Args:
        model: a built Keras model: functional, subclassed, with nested models.
        x: one batch of inputs, in the structure that the model takes.
        training: whether layers behave as in training. Defaults to `True`: BatchNormalization then works with the
            statistics of the batch, as it does in the first step.
        noise: whether dropout and noise layers act too. Defaults to `False`.

    Returns:
        `{path: LayerSignal}` in the order in which the layers were first done. Models inside the model are not listed,
        their layers are. Layers that do not run, or only inside a loop that the backend compiles, are left out.
    """
    arguments = {"training": training} if model._call_has_training_arg else {}
    with preserved(model), noise_as(noise, model), _watched(model) as tallies:
        model(as_tensors(x), **arguments)
    return {path: tally.result(path) for path, tally in tallies.items()}


def first_not_finite(signals: dict[str, LayerSignal]) -> str | None:
    """Return the path of the first layer, in the order of the pass, with NaN or infinite outputs; None if all are."""
    return next((path for path, signal in signals.items() if signal.not_finite), None)


class _Tally:
    """Collects the outputs of one layer, call by call, without keeping them."""

    def __init__(self, layer: Any):
        self._name, function = layer_activation(layer)
        self.is_activation = function is not None and not hasattr(layer, "activation")  # such as a ReLU layer
        silent = isinstance(layer, keras.layers.ReLU) and not layer.negative_slope
        self._silent = silent or self._name in _SILENT_BELOW_ZERO
        self._channels = 1 if getattr(layer, "data_format", None) == "channels_first" else -1
        self._count, self._mean, self._squares = 0, 0.0, 0.0  # of finite values; squares of deviations
        self._inputs: list[tuple[float, int]] = []
        self._before: list[tuple[float, int]] = []
        self._size, self._beyond, self._not_finite = 0, 0, 0
        self._samples = 0
        self._flags: dict[str, NDArray[np.bool_]] = {}

    def add(self, output: NDArray[Any], before: NDArray[Any] | None, given: NDArray[Any] | None) -> None:
        """Add one call: its output, what reached the activation if that gave the output, and its input."""
        if given is not None and given.size:
            self._inputs.append((float(np.square(given, dtype=np.float64).mean()), given.size))
        values = _by_units(output, self._channels)
        finite = np.isfinite(values)
        good = values if finite.all() else values[finite]
        self._not_finite += values.size - good.size
        if good.size:
            self._merge(good.size, float(good.mean(dtype=np.float64)), float(good.var(dtype=np.float64)))
        self._size += values.size
        self._samples = max(self._samples, values.shape[0])
        self._all("constant", values == values[:1])
        if before is None:
            return
        self._before.append((float(np.square(before, dtype=np.float64).mean()), before.size))
        if self._silent:
            self._all("dead", values == 0)
        if self._name in _SATURATED:
            beyond = _SATURATED[self._name](values)
            self._beyond += int(beyond.sum())
            self._all("saturated", beyond)

    def _merge(self, count: int, mean: float, variance: float) -> None:
        """Add values by their mean and variance, as Chan, Golub and LeVeque do; sums of squares would cancel."""
        total = self._count + count
        self._squares += variance * count + (mean - self._mean) ** 2 * self._count * count / total
        self._mean += (mean - self._mean) * count / total
        self._count = total

    def _all(self, name: str, here: NDArray[np.bool_]) -> None:
        everywhere = here.all(axis=(0, 1))
        self._flags[name] = self._flags.get(name, np.ones_like(everywhere)) & everywhere

    def _units(self, name: str) -> tuple[int, ...] | None:
        return tuple(np.flatnonzero(self._flags[name]).tolist()) if name in self._flags else None

    def result(self, path: str) -> LayerSignal:
        variance = self._squares / self._count if self._count else float("nan")
        return LayerSignal(
            layer=path,
            units=len(self._flags["constant"]),
            mean_square=variance + self._mean**2,
            std=float(np.sqrt(variance)),
            input_rms=_root(self._inputs),
            pre_activation_rms=_root(self._before),
            constant_units=self._units("constant") if self._samples > 1 else None,
            dead_units=self._units("dead"),
            saturated_units=self._units("saturated"),
            saturated_values=self._beyond / self._size if "saturated" in self._flags else None,
            not_finite=self._not_finite,
        )


def _root(squares: list[tuple[float, int]]) -> float | None:
    """Return the root of the mean of mean squares, each of so many values; None if there are none."""
    sizes = sum(size for _, size in squares)
    return (sum(square * size for square, size in squares) / sizes) ** 0.5 if sizes else None


@contextmanager
def _watched(model: Any) -> Iterator[dict[str, _Tally]]:
    """Look at every output of the model's layers inside the block."""
    tallies: dict[str, _Tally] = {}
    changed: list[tuple[dict[str, Any], str, Any]] = []
    for path, layer in layer_paths(model):
        if isinstance(layer, (keras.Model, keras.layers.InputLayer)) or any(own is vars(layer) for own, *_ in changed):
            continue
        last: list[Any] = []  # input and output of the activation, the last time it acted in this layer
        replaced = {"call": _reporting(layer, functools.partial(_observe, tallies, path, _Tally(layer), last))}
        if callable(getattr(layer, "activation", None)) and not isinstance(layer, keras.layers.RNN):
            replaced["activation"] = _remembering(layer.activation, last)
        for name, function in replaced.items():
            changed.append((vars(layer), name, vars(layer).get(name)))
            vars(layer)[name] = function
    try:
        yield tallies
    finally:
        for own, name, before in changed:
            if before is None:
                del own[name]
            else:
                own[name] = before


def _reporting(layer: Any, report: Callable[[Any, tuple[Any, ...]], None]) -> Callable[..., Any]:
    call = layer.call

    @functools.wraps(call)
    def reporting(*args: Any, **kwargs: Any) -> Any:
        outputs = call(*args, **kwargs)
        report(outputs, args)
        return outputs

    return reporting


def _remembering(activation: Any, last: list[Any]) -> Callable[..., Any]:
    def remembering(x: Any, *args: Any, **kwargs: Any) -> Any:
        output = activation(x, *args, **kwargs)
        last[:] = [x, output]
        return output

    return remembering


def _observe(tallies: dict[str, _Tally], path: str, tally: _Tally, last: list[Any], outputs: Any, args: Any) -> None:
    output = next((part for part in keras.tree.flatten(outputs) if _is_float(part)), None)
    array = _concrete(output)
    before = None
    if last and last[1] is output:
        before = _concrete(last[0])
    elif tally.is_activation:
        before = _concrete(args[0])
    last.clear()
    if array is not None and array.size:
        given = next((part for part in keras.tree.flatten(args) if _is_float(part)), None)
        tallies.setdefault(path, tally).add(array, before, _concrete(given))


def _is_float(tensor: Any) -> bool:
    return hasattr(tensor, "dtype") and keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype))


def _concrete(tensor: Any) -> NDArray[Any] | None:
    """Return a tensor as an array of at least float32, None inside a function that is being traced."""
    if tensor is None:
        return None
    try:
        array = np.asarray(keras.ops.convert_to_numpy(tensor))
    except Exception:  # each backend has errors of its own for tensors without numbers
        return None
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def _by_units(array: NDArray[Any], channels: int) -> NDArray[Any]:
    """Return an output as `(samples, positions, units)`."""
    array = array.reshape(*array.shape, 1) if array.ndim < 2 else np.moveaxis(array, channels, -1)
    return array.reshape(array.shape[0], -1, array.shape[-1])
