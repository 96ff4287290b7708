"""From a Keras model to arrays: the weights into and out of the units of every hidden layer."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import check_choice
from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.consumers import Consumers, find_consumers
from keras_initkit.units.functions import layer_activation, value_and_slope
from keras_initkit.units.graph import Graph
from keras_initkit.units.kernels import has_units, incoming_matrix, outgoing_rows, unit_count


@dataclass(frozen=True)
class LayerUnits:
    """The units of one hidden layer at one moment.

    Attributes:
        layer: path of the layer in the model, `"block/dense"` for a nested one.
        kernel: weights into the units, `(inputs, units)`.
        bias: `(units,)`, zeros if the layer has none, or if BatchNormalization right behind it cancels it.
        scales: `(rows, units)`, scale and shift per unit of normalisation layers behind, and the moving statistics of
            frozen ones; no rows if there are none.
        outgoing: `(weights, units)`, what the consumers do with each unit; None if not all consumers are known.
        activation: Keras name of the activation, None if it is unknown, not one of Keras' own, or not the only one.
        mirrored: whether what follows the activation is known and keeps opposite values opposite.
        rest_value: `(units,)`, what each unit gives if all its inputs are zero; NaN if not known.
        rest_slope: `(units,)`, the absolute slope of the activation there, as the backend has it; NaN if not known.
        noise: whether dropout or noise acts on single units.
        frozen: whether the layer has no trainable weights.
    """

    layer: str
    kernel: NDArray[Any]
    bias: NDArray[Any]
    scales: NDArray[Any]
    outgoing: NDArray[Any] | None
    activation: str | None
    mirrored: bool
    rest_value: NDArray[np.float64]
    rest_slope: NDArray[np.float64]
    noise: bool
    frozen: bool


@dataclass(frozen=True)
class _HiddenLayer:
    path: str
    layer: Any
    consumers: Consumers
    functions: list[tuple[str | None, Any]] | None  # activations on the way to the readers; None if the ways differ


class UnitReader:
    """Reads the units of a model's hidden layers; the structure is analysed once, the weights at every call.

    Args:
        model: a built Keras model: Sequential, functional or subclassed, with nested models.
        layers: names or paths of the layers to read. Defaults to all hidden Dense and convolution layers. Where there
            is no graph that tells the output layer (subclassed models), the last one defined is taken for it; it is
            read if it is named here.

    Raises:
        ValueError: if a name is unknown, or there is no such layer in the model.
    """

    def __init__(self, model: Any, layers: list[str] | None = None):
        hidden = [
            _describe(path, layer, graph)
            for path, layer, graph in weight_layers(model)
            if has_units(layer) and layer.built
        ]
        if layers is None and Graph.of(model) is None:
            hidden = hidden[:-1]
        hidden = [h for h in hidden if not h.consumers.reaches_output]
        self._hidden = hidden if layers is None else _selected(hidden, layers)

    @property
    def paths(self) -> list[str]:
        """Paths of the layers that are read, in the order of the model."""
        return [h.path for h in self._hidden]

    def read(self) -> list[LayerUnits]:
        """Return the present weights; every variable is fetched once."""
        cache: dict[int, NDArray[Any]] = {}

        def fetch(variable: Any) -> NDArray[Any]:
            if id(variable) not in cache:
                cache[id(variable)] = _fetch(variable)
            return cache[id(variable)]

        kernels: dict[int, NDArray[Any]] = {}

        def kernel_of(layer: Any) -> NDArray[Any]:
            # `kernel` may be computed anew at each access (LoRA, quantisation), so it is cached by layer.
            if id(layer) not in kernels:
                kernels[id(layer)] = _fetch(layer.kernel)
            return kernels[id(layer)]

        return [_read_layer(hidden, kernel_of, fetch) for hidden in self._hidden]


def _selected(hidden: list[_HiddenLayer], layers: list[str]) -> list[_HiddenLayer]:
    paths = [h.path for h in hidden]
    names = [path.rpartition("/")[2] for path in paths]
    wanted = [check_choice("layers", name, dict.fromkeys([*paths, *names])) for name in layers]
    return [h for h, name in zip(hidden, names, strict=True) if h.path in wanted or name in wanted]


def weight_layers(model: Any, prefix: str = "", graph: Graph | None = None) -> list[tuple[str, Any, Graph | None]]:
    """List `(path, layer, graph)` of the layers of a model that have units, in order, nested ones included."""
    if graph is None or not graph.covers(model):
        graph = Graph.of(model, open_end=bool(prefix))
    found: list[tuple[str, Any, Graph | None]] = []
    for layer in model._flatten_layers(include_self=False, recursive=False):
        if layer is getattr(model, "_functional", None):
            continue
        path = f"{prefix}{layer.name}"
        if has_units(layer):
            found.append((path, layer, graph))
        else:
            found.extend(weight_layers(layer, f"{path}/", graph))
    return found


def _describe(path: str, layer: Any, graph: Graph | None) -> _HiddenLayer:
    consumers = find_consumers(graph, layer)
    own = layer_activation(layer)
    ways = [[own, *map(layer_activation, route)] for route in consumers.routes] or [[own]]
    ways = [[step for step in way if step[1] is not None] for way in ways]
    # Two layers with an activation of the same name do the same.
    kinds = {tuple(name or function for name, function in way) for way in ways}
    return _HiddenLayer(path, layer, consumers, ways[0] if len(kinds) == 1 else None)


def _activation(hidden: _HiddenLayer) -> str | None:
    if not hidden.functions:
        return "linear" if hidden.functions == [] and hidden.consumers.complete else None
    return hidden.functions[0][0] if len(hidden.functions) == 1 else None


def _cancels_bias(hidden: _HiddenLayer) -> bool:
    """Return whether batch statistics are taken off right behind the layer, on every way."""
    return layer_activation(hidden.layer)[1] is None and all(
        route and isinstance(route[0], keras.layers.BatchNormalization) and route[0].trainable
        for route in hidden.consumers.routes or [()]
    )


def _read_layer(hidden: _HiddenLayer, kernel_of: Any, fetch: Any) -> LayerUnits:
    layer, consumers = hidden.layer, hidden.consumers
    kernel = incoming_matrix(layer, kernel_of(layer))
    units = unit_count(layer)
    nothing = np.zeros((0, units), kernel.dtype)
    bias = fetch(layer.bias) if layer.use_bias and not _cancels_bias(hidden) else np.zeros(units, kernel.dtype)
    scales = [
        _per_unit(fetch(variable)[:, None], features, units)
        for norm, features in consumers.scales
        for variable in _scale_variables(norm)
    ]
    outgoing = None
    if consumers.complete:
        rows = [
            _per_unit(outgoing_rows(reader, kernel_of(reader)), features, units)
            for reader, features in consumers.readers
        ]
        outgoing = np.concatenate([nothing, *rows])
    rest_value, rest_slope = _response_at_rest(hidden, kernel, bias, fetch)
    return LayerUnits(
        layer=hidden.path,
        kernel=kernel,
        bias=bias,
        scales=np.concatenate([nothing, *scales]),
        outgoing=outgoing,
        activation=_activation(hidden),
        mirrored=consumers.complete and consumers.mirrored,
        rest_value=rest_value,
        rest_slope=rest_slope,
        noise=consumers.noise,
        frozen=not layer.trainable_variables,
    )


def _scale_variables(norm: Any) -> list[Any]:
    names = ["gamma", "beta"]
    if isinstance(norm, keras.layers.BatchNormalization) and not norm.trainable:
        names += ["moving_mean", "moving_variance"]  # what a frozen one works with
    return [variable for name in names if (variable := getattr(norm, name, None)) is not None]


def _per_unit(rows: NDArray[Any], features: NDArray[np.intp], units: int) -> NDArray[Any]:
    """Collect rows of shape `(features, weights)` into columns per unit: `(weights · features per unit, units)`."""
    order = np.argsort(features, kind="stable")
    order = order[features[order] >= 0]
    return rows[order].reshape(units, -1).T


def _response_at_rest(
    hidden: _HiddenLayer, kernel: NDArray[Any], bias: NDArray[Any], fetch: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return value and slope of the activation for units whose inputs say nothing, where that matters: w = 0."""
    value, slope = np.full((2, len(bias)), np.nan)
    rest = _rest_input(hidden, bias, fetch)
    silent = ~kernel.any(axis=0) & np.isfinite(rest)
    activation = _activation(hidden)
    first = layer_activation(hidden.layer)[1] or (hidden.functions[0][1] if hidden.functions else None)
    if not silent.any() or (first is None and activation != "linear"):
        return value, slope
    at_rest = rest[silent], np.ones(int(silent.sum()))
    if first is not None:
        at_rest = value_and_slope(first, rest[silent])
    slope[silent] = at_rest[1]
    if hidden.functions is not None and len(hidden.functions) <= 1 and not hidden.consumers.scales:
        value[silent] = at_rest[0]  # else more follows before the weights that read it
    return value, slope


def _rest_input(hidden: _HiddenLayer, bias: NDArray[Any], fetch: Any) -> NDArray[np.float64]:
    """Return what reaches the first activation of units without weights, `(units,)`; NaN if not known."""
    units = len(bias)
    if layer_activation(hidden.layer)[1] is not None:
        return bias.astype(np.float64)
    ways = [_leading_norms(route) for route in hidden.consumers.routes]
    if not any(ways):
        return bias.astype(np.float64)
    if not ways[0] or any(way != ways[0][:1] for way in ways) or not _cancels_bias(hidden):
        return np.full(units, np.nan)
    norm = ways[0][0]
    # A constant has no deviation from its batch mean, so only the shift is left.
    if norm.beta is None:
        return np.zeros(units)
    features = next(features for scale, features in hidden.consumers.scales if scale is norm)
    shifts = _per_unit(fetch(norm.beta)[:, None], features, units).astype(np.float64)
    return np.where((shifts == shifts[0]).all(axis=0), shifts[0], np.nan)


def _leading_norms(route: tuple[Any, ...]) -> tuple[Any, ...]:
    count = next((n for n, step in enumerate(route) if layer_activation(step)[1] is not None), len(route))
    return route[:count]


def _fetch(variable: Any) -> NDArray[Any]:
    array = to_numpy(variable)
    return array if array.dtype in (np.dtype(np.float32), np.dtype(np.float64)) else array.astype(np.float32)
