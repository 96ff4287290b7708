"""Who consumes a unit: a walk along the graph of a functional model, through layers that keep features apart."""

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.units.graph import NORMALISATIONS, Graph
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
_ACTIVATIONS = (_layers.Activation, _layers.ReLU, _layers.LeakyReLU, _layers.ELU, _layers.Softmax)
_MAX_POOLING = (
    _layers.MaxPooling1D,
    _layers.MaxPooling2D,
    _layers.MaxPooling3D,
    _layers.GlobalMaxPooling1D,
    _layers.GlobalMaxPooling2D,
    _layers.GlobalMaxPooling3D,
)
# The last axis keeps its features, in their order, and treats all of them alike.
_FEATUREWISE = (
    *_MAX_POOLING,
    _layers.Identity,
    _layers.ActivityRegularization,
    _layers.AveragePooling1D,
    _layers.AveragePooling2D,
    _layers.AveragePooling3D,
    _layers.GlobalAveragePooling1D,
    _layers.GlobalAveragePooling2D,
    _layers.GlobalAveragePooling3D,
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
        routes: for every way from the units to a reader, the normalisation and activation layers on it, in order.
        noise: whether dropout or noise acts on single units.
        mirrored: whether opposite values of a unit stay opposite; max pooling and normalisation end that.
        reaches_output: whether the units are outputs of the model, or only layers without weights lie between.
        complete: whether every consumer was found.
    """

    readers: list[tuple[Any, NDArray[np.intp]]] = field(default_factory=list)
    scales: list[tuple[Any, NDArray[np.intp]]] = field(default_factory=list)
    routes: list[tuple[Any, ...]] = field(default_factory=list)
    noise: bool = False
    mirrored: bool = True
    reaches_output: bool = False
    complete: bool = True
    # What is met, and on which calls of it, with the unit of each feature it is called with.
    _met: dict[int, tuple[int, dict[int, NDArray[np.intp]]]] = field(default_factory=dict)

    def meet(self, what: Any, calls: int, call: Any, features: NDArray[np.intp]) -> None:
        """Note that the units meet weights, or enter a nested model, which `calls` calls share."""
        _, met = self._met.setdefault(id(what), (calls, {}))
        met[id(call)] = np.maximum(met.get(id(call), features), features)

    def shares_with_others(self) -> bool:
        """Return whether weights behind the units also work on features of other layers, which may tell units apart."""
        for calls, met in self._met.values():
            first, *others = met.values()
            if len(met) < calls or any(not np.array_equal(first, other) for other in others):
                return True
        return False


def find_consumers(graph: Graph | None, layer: Any) -> Consumers:
    """Follow the units of `layer` to the weights that read them.

    Without a graph (subclassed models), behind a layer that mixes or merges features in a way that is not known here,
    or where a reader is shared with other layers, the result is marked incomplete.
    """
    found = Consumers()
    tensors = graph.outputs_of(layer) if graph is not None else []
    if graph is None or not tensors:
        found.complete = False
        return found
    found.reaches_output = not graph.leads_to_weights(tensors)
    if not _channels_last(layer):
        found.complete = False
        return found
    for tensor in tensors:
        _walk(graph, tensor, np.arange(unit_count(layer)), (), found)
    found.complete = found.complete and not found.shares_with_others()
    return found


def _walk(graph: Graph, tensor: Any, features: NDArray[np.intp], route: tuple[Any, ...], found: Consumers) -> None:
    if graph.is_final(tensor):
        found.routes.append(route)
        if graph.open_end:
            found.complete = False  # what the enclosing model does with it is not in this graph
        else:
            found.reaches_output = True
    for same in graph.same_as(tensor):
        found.meet(same, graph.sources_of(same), tensor, features)
        _walk(graph, same, features, route, found)
    for operation, node in graph.readers_of(tensor):
        if isinstance(operation, NORMALISATIONS) or has_units(operation):
            found.meet(operation, len(graph.outputs_of(operation)), node, features)
        onward = None if has_units(operation) else _features_after(operation, node, tensor, features, found)
        if onward is not None:
            acts = isinstance(operation, (*_ACTIVATIONS, *NORMALISATIONS))
            for output in node.outputs:
                _walk(graph, output, onward, (*route, operation) if acts else route, found)
            continue
        found.routes.append(route)
        if reads_features(operation) and _channels_last(operation):
            found.readers.append((operation, features))
        else:
            found.complete = False


def _features_after(
    operation: Any, node: Any, tensor: Any, features: NDArray[np.intp], found: Consumers
) -> NDArray[np.intp] | None:
    """Return which unit each output feature comes from, None if that is not known; note what acts on the units."""
    if isinstance(operation, _NOISE):
        found.noise = found.noise or _acts_on_single_units(operation)
        return features
    if isinstance(operation, NORMALISATIONS):
        if operation.axis not in (-1, len(tensor.shape) - 1, [-1], [len(tensor.shape) - 1]):
            return None
        found.scales.append((operation, features))
        found.mirrored = False
        return features
    if isinstance(operation, _ACTIVATIONS):
        return features
    if isinstance(operation, _FEATUREWISE) and _channels_last(operation):
        found.mirrored = found.mirrored and not isinstance(operation, _MAX_POOLING)
        return features
    if isinstance(operation, (_layers.Flatten, _layers.Reshape)):
        return _reshaped(operation, node.outputs[0], features)
    if isinstance(operation, _layers.Concatenate):
        return _concatenated(operation, node, tensor, features)
    return None


def _acts_on_single_units(noise: Any) -> bool:
    strength = noise.stddev if isinstance(noise, _layers.GaussianNoise) else noise.rate
    one_mask = getattr(noise, "noise_shape", None) is not None and noise.noise_shape[-1] == 1
    return strength > 0 and not one_mask


def _channels_last(operation: Any) -> bool:
    return getattr(operation, "data_format", "channels_last") != "channels_first"


def _reshaped(operation: Any, after: Any, features: NDArray[np.intp]) -> NDArray[np.intp] | None:
    # The last axis varies fastest, so any last axis that is a whole number of times longer repeats the features.
    length = after.shape[-1]
    if not _channels_last(operation) or length is None or length % len(features):
        return None
    return np.tile(features, length // len(features))


def _concatenated(operation: Any, node: Any, tensor: Any, features: NDArray[np.intp]) -> NDArray[np.intp] | None:
    if operation.axis not in (-1, len(tensor.shape) - 1):
        return None
    parts = [
        features if part is tensor else np.full(part.shape[-1], -1, dtype=np.intp)
        for part in node.arguments.keras_tensors
    ]
    return np.concatenate(parts)
