"""Activations: as an argument of a layer, as a layer, and as an operation."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.activations import is_odd
from keras_initkit.symmetry.network import Response
from keras_initkit.units.features import NotUnderstood
from keras_initkit.units.functions import layer_activation, treats_features_alike, value_and_slope
from keras_initkit.units.operations.registry import handles
from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call

_layers = keras.layers


def activate(plan: Plan, units: int, output: Any, activation: tuple[str | None, Any], axes: int = 1) -> int:
    """Add the features of a layer's output, an activation of its units, and return their space."""
    name, function = activation
    if function is None:
        plan.set_space(output, units, axes)
        return units
    if name is None and not treats_features_alike(function, plan.spaces[units].size):
        raise NotUnderstood
    behind = plan.result(output, axes)
    plan.copy(units, behind, odd=is_odd(name), response=response_of(function), activation=activation)
    return behind


def response_of(function: Any) -> Response:
    """Return value and slope of a function at constants."""

    def response(constants: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return value_and_slope(function, constants)

    return response


@handles(
    _layers.Activation,
    _layers.ReLU,
    _layers.LeakyReLU,
    _layers.ELU,
    _layers.Softmax,
)
def activation_layer(call: Call, plan: Plan) -> None:
    """Add a function of single features, or one such as softmax that treats all of them alike."""
    axes = plan.axes_of(call.tensors[0])
    source = plan.space_of(call.tensors[0], axes)
    found = layer_activation(call.operation)
    if found[1] is None:
        plan.set_space(call.outputs[0], source, axes)
    else:
        activate(plan, source, call.outputs[0], found, axes)


@handles(_layers.PReLU)
def prelu(call: Call, plan: Plan) -> None:
    """Let the slopes `(..., features)` belong to the units; they may differ from place to place."""
    source = plan.space_of(call.tensors[0])
    behind = plan.result(call.outputs[0])
    layer = call.operation
    plan.copy(source, behind, odd=False, response=response_of(_layers.LeakyReLU().call), activation=(None, layer.call))
    size = plan.spaces[behind].size

    def per_feature(alpha: NDArray[Any]) -> NDArray[Any]:
        rows = alpha.reshape(-1, alpha.shape[-1])
        return np.broadcast_to(rows, (len(rows), size))

    plan.values(behind, layer, "alpha", per_feature, role="tag")
