"""From a Keras model to arrays: its network, and the weights into and out of the units of every hidden layer."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import check_choice
from keras_initkit.symmetry.network import Network
from keras_initkit.units.building import ModelPlan
from keras_initkit.units.deferred import Deferred
from keras_initkit.units.features import UnitsAt
from keras_initkit.units.paths import layer_paths as layer_paths
from keras_initkit.units.surroundings import (
    Surroundings,
    incoming_weights,
    numbers_on_the_way,
    outgoing_weights,
    own_numbers,
    surroundings,
)
from keras_initkit.units.weights import Weights


@dataclass(frozen=True)
class LayerUnits:
    """The units of one hidden layer at one moment.

    Attributes:
        layer: path of the layer in the model, `"block/dense"` for a nested one.
        kind: what a unit is: `"unit"` or `"head"`.
        spaces: for every call of the layer the numbers of the spaces of the network whose features are its units.
        kernel: weights into the units, `(inputs, units)`.
        bias: biases, `(rows, units)`: no rows if there are none, or if BatchNormalization right behind cancels them.
        scales: `(rows, units)`, scale and shift per unit of normalisation layers behind, and the moving statistics of
            frozen ones; no rows if there are none.
        outgoing: `(weights, units)`, what the consumers do with each unit; None if not all consumers are known.
        activation: Keras name of the activation, None if it is unknown, not one of Keras' own, or not the only one.
        noise: whether dropout or noise acts on single units.
        frozen: whether the layer has no trainable weights.
        comparable: whether the weights into different units belong to the same inputs.
        inputs: number of independent weights into a unit, None if it is the number of rows of `kernel`.
    """

    layer: str
    kind: str
    spaces: tuple[tuple[int, ...], ...]
    kernel: NDArray[Any]
    bias: NDArray[Any]
    scales: NDArray[Any]
    outgoing: NDArray[Any] | None
    activation: str | None
    noise: bool
    frozen: bool
    comparable: bool
    inputs: int | None = None

    @property
    def consumers_known(self) -> bool:
        """Whether all consumers are known, as `outgoing is not None` says, but without working `outgoing` out."""
        return vars(self)["_outgoing"] is not None


# In deep residual networks every layer has very many readers, and hardly any layer is asked for them.
LayerUnits.outgoing = Deferred("outgoing")  # type: ignore[assignment]


@dataclass(frozen=True, eq=False)
class Reading:
    """A model at one moment.

    Attributes:
        network: the whole model as spaces and links.
        layers: the units of its hidden layers.
    """

    network: Network
    layers: list[LayerUnits]


@dataclass(frozen=True)
class _HiddenLayer:
    path: str
    layer_path: str
    layer: Any
    uses: list[UnitsAt]
    around: list[Surroundings]


class UnitReader:
    """Reads the units of a model's hidden layers; the structure is analysed once, the weights at every call.

    Args:
        model: a built Keras model: Sequential, functional or subclassed, with nested models.
        layers: names or paths of the layers to read. Defaults to all hidden layers with units. Where the way to the
            outputs is not known (subclassed models that cannot be opened), the last one defined is taken for the
            output layer; it is read if it is named here.

    Attributes:
        opened: whether the way from the inputs of the model to its outputs is known.

    Raises:
        ValueError: if a name is unknown, or there is no such layer in the model.
    """

    def __init__(self, model: Any, layers: list[str] | None = None):
        structure = ModelPlan(model)
        self._plan = structure.plan
        self._structure = structure
        self._model = model
        self.opened = structure.opened
        hidden = []
        for path, layer in layer_paths(model):
            kernels = structure.hidden_units(layer)
            for uses in kernels:
                around = [surroundings(self._plan, use.spaces[0]) for use in uses]
                own_path = f"{path}/{uses[0].attribute}" if len(kernels) > 1 else path
                hidden.append(_HiddenLayer(own_path, path, layer, uses, around))
        if layers is None and not structure.opened:
            hidden = hidden[:-1]
        self._hidden = hidden if layers is None else _selected(hidden, layers)

    @property
    def paths(self) -> list[str]:
        """Paths of the layers that are read, in the order of the model."""
        return [h.path for h in self._hidden]

    @property
    def model(self) -> Any:
        """The model that is read."""
        return self._model

    @property
    def optimizer(self) -> Any:
        """The optimizer the model is compiled with, None if it is not."""
        return getattr(self._model, "optimizer", None)

    def layer(self, path: str) -> Any:
        """Return the layer at a path that is read."""
        return self._at(path).layer

    def layer_path(self, path: str) -> str:
        """Return the path of the layer itself, where `path` names one of several kernels in it."""
        return self._at(path).layer_path

    def attribute(self, path: str) -> str:
        """Return the attribute that holds the weights of a layer of the user; empty for layers of Keras."""
        return self._at(path).uses[0].attribute

    def unread_layers(self) -> list[str]:
        """Return the paths of layers with weights of their own that no part of the network holds."""
        return self._structure.unread_layers(self._model)

    def _at(self, path: str) -> "_HiddenLayer":
        return next(h for h in self._hidden if h.path == path)

    def activations(self) -> list[Any]:
        """Return the functions that act on single features, as callables."""
        return [route.activation[1] for route in self._plan.routes if route.activation is not None]

    def read(self, optimizer: Any = None, weights: Weights | None = None) -> Reading:
        """Return the present weights, with what the optimizer holds for them if one is given.

        Args:
            optimizer: the optimizer.
            weights: what fetches the numbers. Defaults to `None`: they are those of the variables.
        """
        weights = Weights(optimizer) if weights is None else weights
        network = self._plan.read(weights)
        return Reading(network, [self._read_layer(hidden, network, weights) for hidden in self._hidden])

    def _read_layer(self, hidden: _HiddenLayer, network: Network, weights: Weights) -> LayerUnits:
        use, around = hidden.uses[0], hidden.around[0]
        complete = all(found.complete for found in hidden.around)
        size = network.spaces[use.spaces[0]].size
        kernel = incoming_weights(network, use.spaces) if use.vectors is None else use.vectors(weights)

        def outgoing() -> NDArray[Any]:
            return np.concatenate([outgoing_weights(network, found, size) for found in hidden.around])

        return LayerUnits(
            layer=hidden.path,
            kind=use.kind,
            spaces=tuple(one.spaces for one in hidden.uses),
            kernel=kernel,
            bias=_like(kernel, own_numbers(network, use.spaces)),
            scales=_like(kernel, numbers_on_the_way(network, around, use.spaces)),
            outgoing=outgoing if complete else None,  # type: ignore[arg-type]
            activation=_activation(hidden.around),
            noise=any(found.noisy for found in hidden.around),
            frozen=not hidden.layer.trainable_variables,
            comparable=use.comparable,
            inputs=use.inputs,
        )


def _like(kernel: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
    return rows if len(rows) else rows.astype(kernel.dtype)


def _selected(hidden: list[_HiddenLayer], layers: list[str]) -> list[_HiddenLayer]:
    paths = [h.path for h in hidden]
    names = [path.rpartition("/")[2] for path in paths]
    wanted = [check_choice("layers", name, dict.fromkeys([*paths, *names])) for name in layers]
    return [h for h, name in zip(hidden, names, strict=True) if h.path in wanted or name in wanted]


def _activation(around: list[Surroundings]) -> str | None:
    """Return the name of the one activation that acts on the units, `"linear"` if none does, None if not known."""
    kinds = set().union(*(found.ways for found in around))
    if len(kinds) != 1:
        return None
    [way] = kinds
    if not way:
        return "linear" if all(found.complete for found in around) else None
    return way[0] if len(way) == 1 and isinstance(way[0], str) else None
