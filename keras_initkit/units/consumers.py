"""Who consumes a unit: a walk along the graph of a functional model, through layers that keep features apart."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.units.kernels import has_units, reads_features, unit_count

_layers = keras.layers
_NOISE = (
    _layers.Dropout,
    _layers.SpatialDropout1D,
    _layers.SpatialDropout2D,
    _layers.SpatialDropout3D,
    _layers.AlphaDropout,
    _layers.GaussianDropout,
    _layers.GaussianNoise,
)
_PER_UNIT_SCALE = (_layers.BatchNormalization, _layers.LayerNormalization)
_ACTIVATIONS = (_layers.Activation, _layers.ReLU, _layers.LeakyReLU, _layers.ELU)
# The last axis keeps its features, in their order, and treats all of them alike.
_FEATUREWISE = (
    _layers.Identity,
    _layers.ActivityRegularization,
    _layers.AveragePooling1D,
    _layers.AveragePooling2D,
    _layers.AveragePooling3D,
    _layers.MaxPooling1D,
    _layers.MaxPooling2D,
    _layers.MaxPooling3D,
    _layers.GlobalAveragePooling1D,
    _layers.GlobalAveragePooling2D,
    _layers.GlobalAveragePooling3D,
    _layers.GlobalMaxPooling1D,
    _layers.GlobalMaxPooling2D,
    _layers.GlobalMaxPooling3D,
    _layers.UpSampling1D,
    _layers.UpSampling2D,
    _layers.UpSampling3D,
    _layers.ZeroPadding1D,
    _layers.ZeroPadding2D,
    _layers.ZeroPadding3D,
    _layers.Cropping1D,
    _layers.Cropping2D,
    _layers.Cropping3D,
    _layers.RepeatVector,
)


@dataclass
class Consumers:
    """What follows the units of one layer.

    Attributes:
        readers: pairs of a consuming layer and the unit of each of its input features, -1 for features that come from
            elsewhere.
        scales: pairs of a normalisation layer with one scale and shift per feature, and the unit of each feature.
        activation: Keras name of the first non-linear activation layer behind the units, if the layer has none itself.
        function: that activation as a callable.
        noise: whether dropout or noise acts on single units.
        reaches_output: whether the units are outputs of the model.
        complete: whether every consumer was found.
    """

    readers: list[tuple[Any, NDArray[np.intp]]] = field(default_factory=list)
    scales: list[tuple[Any, NDArray[np.intp]]] = field(default_factory=list)
    activation: str | None = None
    function: Any = None
    noise: bool = False
    reaches_output: bool = False
    complete: bool = True


def find_consumers(graph: "Graph | None", layer: Any) -> Consumers:
    """Follow the units of `layer` to the weights that read them.

    Without a graph (subclassed models), or behind a layer that mixes or merges features in a way that is not known
    here, the result is marked incomplete.
    """
    found = Consumers()
    tensors = graph.outputs_of(layer) if graph is not None else []
    if not tensors:
        found.complete = False
        return found
    for tensor in tensors:
        _walk(graph, tensor, np.arange(unit_count(layer)), found)
    return found


class Graph:
    """The nodes of one functional model: which operations read a tensor, which tensors an operation gives."""

    def __init__(self, model: Any, *, nested: bool = False):
        """Index the nodes of a functional (or built Sequential) model."""
        self.nested = nested
        self._readers: dict[int, list[tuple[Any, Any]]] = {}
        self._outputs: dict[int, list[Any]] = {}
        self._final = {id(tensor) for tensor in keras.tree.flatten(model.outputs)}
        for nodes in model._nodes_by_depth.values():
            for node in nodes:
                self._outputs.setdefault(id(node.operation), []).extend(node.outputs)
                for tensor in node.arguments.keras_tensors:
                    self._readers.setdefault(id(tensor), []).append((node.operation, node))

    @classmethod
    def of(cls, model: Any, *, nested: bool = False) -> "Graph | None":
        """Return the graph of a functional or Sequential model, None for others."""
        functional = getattr(model, "_functional", None) or model
        return cls(functional, nested=nested) if hasattr(functional, "_nodes_by_depth") else None

    def outputs_of(self, operation: Any) -> list[Any]:
        """Return the tensors the operation gives in this model, one per call."""
        return self._outputs.get(id(operation), [])

    def readers_of(self, tensor: Any) -> Iterator[tuple[Any, Any]]:
        """Yield `(operation, node)` for every operation that reads the tensor."""
        yield from self._readers.get(id(tensor), [])

    def is_final(self, tensor: Any) -> bool:
        """Return whether the tensor is an output of the model."""
        return id(tensor) in self._final


def _walk(graph: Any, tensor: Any, features: NDArray[np.intp], found: Consumers) -> None:
    if graph.is_final(tensor):
        if graph.nested:
            found.complete = False  # what the enclosing model does with it is not in this graph
        else:
            found.reaches_output = True
    for operation, node in graph.readers_of(tensor):
        if has_units(operation):
            if reads_features(operation) and _channels_last(operation):
                found.readers.append((operation, features))
            else:
                found.complete = False
            continue
        onward = _features_after(operation, node, tensor, features, found)
        if onward is None:
            found.complete = False
            continue
        for output in node.outputs:
            _walk(graph, output, onward, found)


def _features_after(
    operation: Any, node: Any, tensor: Any, features: NDArray[np.intp], found: Consumers
) -> NDArray[np.intp] | None:
    """Return which unit each output feature comes from, None if that is not known; note what acts on the units."""
    if isinstance(operation, _NOISE):
        found.noise = True
        return features
    if isinstance(operation, _PER_UNIT_SCALE):
        if operation.axis not in (-1, len(tensor.shape) - 1, [-1], [len(tensor.shape) - 1]):
            return None
        found.scales.append((operation, features))
        return features
    if isinstance(operation, _ACTIVATIONS):
        if found.function is None:
            found.activation, found.function = layer_activation(operation)
        return features
    if isinstance(operation, _FEATUREWISE) and _channels_last(operation):
        return features
    if isinstance(operation, (_layers.Flatten, _layers.Reshape)):
        return _flattened(operation, tensor, node.outputs[0], features)
    if isinstance(operation, _layers.Concatenate):
        return _concatenated(operation, node, tensor, features)
    return None


def _channels_last(operation: Any) -> bool:
    return getattr(operation, "data_format", "channels_last") != "channels_first"


def _flattened(operation: Any, before: Any, after: Any, features: NDArray[np.intp]) -> NDArray[np.intp] | None:
    if not _channels_last(operation) or after.shape[-1] is None:
        return None
    if after.shape[-1] == before.shape[-1]:
        return features
    whole = len(after.shape) == 2 and all(size is not None for size in before.shape[1:])
    return np.tile(features, after.shape[-1] // len(features)) if whole else None


def _concatenated(operation: Any, node: Any, tensor: Any, features: NDArray[np.intp]) -> NDArray[np.intp] | None:
    if operation.axis not in (-1, len(tensor.shape) - 1):
        return None
    parts = [
        features if part is tensor else np.full(part.shape[-1], -1, dtype=np.intp)
        for part in node.arguments.keras_tensors
    ]
    return np.concatenate(parts)


def layer_activation(layer: Any) -> tuple[str | None, Any]:
    """Return the Keras name and the callable of a layer's activation; (None, None) if it has none.

    A name is given only where the function is Keras' own with its default parameters, or a ReLU layer without ceiling.
    """
    if isinstance(layer, keras.layers.ReLU):
        plain = layer.max_value is None and not layer.threshold
        name = ("leaky_relu" if layer.negative_slope else "relu") if plain else None
        return name, layer.call
    if isinstance(layer, keras.layers.LeakyReLU):
        return "leaky_relu", layer.call
    if isinstance(layer, keras.layers.ELU):
        return "elu", layer.call
    function = getattr(layer, "activation", None)
    if function is None or function is keras.activations.linear:
        return None, None
    name = getattr(function, "__name__", None)
    known = name is not None and getattr(keras.activations, name, None) is function
    return (name if known else None), function
