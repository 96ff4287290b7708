"""From a Keras model to arrays: the weights into and out of the units of every hidden layer."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import check_choice
from keras_initkit.units.consumers import Consumers, Graph, find_consumers, layer_activation
from keras_initkit.units.kernels import has_units, incoming_matrix, outgoing_rows, unit_count


@dataclass(frozen=True)
class LayerUnits:
    """The units of one hidden layer at one moment.

    Attributes:
        layer: path of the layer in the model, `"block/dense"` for a nested one.
        kernel: weights into the units, `(inputs, units)`.
        bias: `(units,)`, zeros if the layer has none.
        scales: `(rows, units)`, scale and shift per unit of normalisation layers behind; no rows if there are none.
        outgoing: `(weights, units)`, what the consumers do with each unit; None if not all consumers are known.
        activation: Keras name of the activation, None if it is unknown or not one of Keras' own.
        rest_value: `(units,)`, what each unit gives if all its inputs are zero; NaN if not known.
        rest_slope: `(units,)`, the smaller one-sided slope of the activation there; NaN if not known.
        noise: whether dropout or noise acts on single units.
    """

    layer: str
    kernel: NDArray[Any]
    bias: NDArray[Any]
    scales: NDArray[Any]
    outgoing: NDArray[Any] | None
    activation: str | None
    rest_value: NDArray[np.float64]
    rest_slope: NDArray[np.float64]
    noise: bool


@dataclass(frozen=True)
class _HiddenLayer:
    path: str
    layer: Any
    consumers: Consumers
    activation: str | None
    function: Any


class UnitReader:
    """Reads the units of a model's hidden layers; the structure is analysed once, the weights at every call.

    Args:
        model: a built Keras model: Sequential, functional or subclassed, with nested models.
        layers: names or paths of the layers to read. Defaults to all hidden Dense and convolution layers.

    Raises:
        ValueError: if a name is unknown, or there is no such layer in the model.
    """

    def __init__(self, model: Any, layers: list[str] | None = None):
        hidden = [
            _describe(path, layer, graph)
            for path, layer, graph in weight_layers(model)
            if has_units(layer) and layer.built
        ]
        hidden = [h for h in hidden if not h.consumers.reaches_output]
        if layers is not None:
            known = [h.path for h in hidden]
            wanted = {check_choice("layers", name, known) for name in layers}
            hidden = [h for h in hidden if h.path in wanted]
        self._hidden = hidden

    @property
    def paths(self) -> list[str]:
        """Paths of the layers that are read, in the order of the model."""
        return [h.path for h in self._hidden]

    def read(self) -> list[LayerUnits]:
        """Return the present weights; every variable is fetched once."""
        cache: dict[int, NDArray[Any]] = {}

        def fetch(variable: Any) -> NDArray[Any]:
            if id(variable) not in cache:
                cache[id(variable)] = _to_numpy(variable)
            return cache[id(variable)]

        kernels: dict[int, NDArray[Any]] = {}

        def kernel_of(layer: Any) -> NDArray[Any]:
            # `kernel` may be computed anew at each access (LoRA, quantisation), so it is cached by layer.
            if id(layer) not in kernels:
                kernels[id(layer)] = _to_numpy(layer.kernel)
            return kernels[id(layer)]

        return [_read_layer(hidden, kernel_of, fetch) for hidden in self._hidden]


def weight_layers(model: Any, prefix: str = "") -> list[tuple[str, Any, Graph | None]]:
    """List `(path, layer, graph)` of all layers of a model in order, those of nested models with their own graph."""
    graph = Graph.of(model, nested=bool(prefix))
    found: list[tuple[str, Any, Graph | None]] = []
    for layer in model._flatten_layers(include_self=False, recursive=False):
        if layer is getattr(model, "_functional", None):
            continue
        path = f"{prefix}{layer.name}"
        if has_units(layer):
            found.append((path, layer, graph))
        else:
            found.extend(weight_layers(layer, f"{path}/"))
    return found


def _describe(path: str, layer: Any, graph: Graph | None) -> _HiddenLayer:
    consumers = find_consumers(graph, layer)
    activation, function = layer_activation(layer)
    if function is None:
        activation, function = consumers.activation, consumers.function
    if function is None and consumers.complete:
        activation = "linear"
    return _HiddenLayer(path, layer, consumers, activation, function)


def _read_layer(hidden: _HiddenLayer, kernel_of: Any, fetch: Any) -> LayerUnits:
    layer, consumers = hidden.layer, hidden.consumers
    kernel = incoming_matrix(layer, kernel_of(layer))
    units = unit_count(layer)
    bias = fetch(layer.bias) if layer.use_bias else np.zeros(units, kernel.dtype)
    scales = [
        _per_unit(fetch(variable)[:, None], features, units)
        for norm, features in consumers.scales
        for variable in (getattr(norm, "gamma", None), getattr(norm, "beta", None))
        if variable is not None
    ]
    outgoing = None
    if consumers.complete:
        rows = [
            _per_unit(outgoing_rows(reader, kernel_of(reader)), features, units)
            for reader, features in consumers.readers
        ]
        outgoing = np.concatenate(rows) if rows else np.zeros((0, units), kernel.dtype)
    rest_value, rest_slope = _response_at_rest(hidden, bias.astype(np.float64), kernel)
    return LayerUnits(
        layer=hidden.path,
        kernel=kernel,
        bias=bias,
        scales=np.concatenate(scales) if scales else np.zeros((0, units), kernel.dtype),
        outgoing=outgoing,
        activation=hidden.activation,
        rest_value=rest_value,
        rest_slope=rest_slope,
        noise=consumers.noise,
    )


def _per_unit(rows: NDArray[Any], features: NDArray[np.intp], units: int) -> NDArray[Any]:
    """Collect rows of shape `(features, weights)` into columns per unit: `(weights · features per unit, units)`."""
    order = np.argsort(features, kind="stable")
    order = order[features[order] >= 0]
    return rows[order].reshape(units, -1).T


def _response_at_rest(
    hidden: _HiddenLayer, bias: NDArray[np.float64], kernel: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return value and slope of the activation for a unit whose inputs say nothing, where they matter: w = 0."""
    value = np.full(len(bias), np.nan)
    slope = np.full(len(bias), np.nan)
    silent = ~kernel.any(axis=0) & np.isfinite(bias)
    if not silent.any() or hidden.consumers.scales:
        return value, slope
    if hidden.function is None:
        return np.where(silent, bias, np.nan), np.where(silent, 1.0, np.nan)
    step = 1e-3
    try:
        left, middle, right = (
            np.asarray(keras.ops.convert_to_numpy(hidden.function(bias[silent] + shift)), dtype=np.float64)
            for shift in (-step, 0.0, step)
        )
    except Exception:  # a user's activation may need more than one vector; then nothing is claimed about rest
        return value, slope
    value[silent] = middle
    # At a kink the frameworks take the flat side: relu'(0) = 0.
    slope[silent] = np.minimum(np.abs(right - middle), np.abs(middle - left)) / step
    return value, slope


def _to_numpy(variable: Any) -> NDArray[Any]:
    array = np.asarray(keras.ops.convert_to_numpy(variable))
    return array if array.dtype in (np.dtype(np.float32), np.dtype(np.float64)) else array.astype(np.float32)
