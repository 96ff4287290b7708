"""Embeddings: the features of a token's vector are hidden units, which read one input per token."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.activations import is_odd
from keras_initkit.units.functions import zero_or_unknown
from keras_initkit.units.operations.activations import response_of
from keras_initkit.units.operations.arguments import arguments
from keras_initkit.units.operations.dense import layer_units
from keras_initkit.units.operations.low_rank import mix_with_update
from keras_initkit.units.operations.registry import handles
from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call
from keras_initkit.units.weights import Weights

_layers = keras.layers


@handles(_layers.Embedding, units=True)
def embedding(call: Call, plan: Plan) -> None:
    """Say that row t of the weights `(tokens, units)` is what the units get if token t is there."""
    layer = call.operation
    tokens = plan.add_space(layer.input_dim, apart=True, given=True)
    low_rank = getattr(layer, "lora_enabled", False)
    units = layer_units(layer, layer.output_dim, plan, vectors=_vectors(layer) if low_rank else None)
    mix_with_update(plan, tokens, units, layer, "embeddings", lambda rows: rows)
    plan.set_space(call.outputs[0], units)


@handles(getattr(_layers, "ReversibleEmbedding", None), units=True)
def reversible_embedding(call: Call, plan: Plan) -> None:
    """Read features as scores of the tokens where it is called in reverse, with the same weights or others."""
    layer = call.operation
    if not arguments(call).get("reverse", False):
        embedding(call, plan)
        return
    source, scores = plan.space_of(call.tensors[0]), plan.add_space(layer.input_dim, signed=True)
    if layer.tie_weights:
        plan.mix(source, scores, layer, "embeddings", lambda rows: rows.T[:, :, None], transposed=True)
    else:
        plan.mix(source, scores, layer, "reverse_embeddings", lambda matrix: matrix[:, :, None])
    if layer.logit_soft_cap is None:
        plan.set_space(call.outputs[0], scores)
        return
    function = keras.activations.tanh
    plan.copy(scores, plan.result(call.outputs[0]), odd=is_odd("tanh"), response=response_of(function))


@handles(_layers.Rescaling)
def rescaled(call: Call, plan: Plan) -> None:
    """Scale and shift by fixed numbers, the same for all features or not."""
    layer = call.operation
    source, behind = plan.space_of(call.tensors[0]), plan.result(call.outputs[0])
    place = np.arange(plan.spaces[source].size) if np.size(layer.scale) > 1 or np.size(layer.offset) > 1 else None
    shifts = bool(np.any(layer.offset))
    plan.copy(source, behind, place=place, odd=not shifts, response=_unknown if shifts else zero_or_unknown)


@handles(_layers.Normalization)
def normalised(call: Call, plan: Plan) -> None:
    """Take off the mean that every feature of the data has, and divide by its deviation."""
    source, behind = plan.space_of(call.tensors[0]), plan.result(call.outputs[0])
    plan.copy(source, behind, place=np.arange(plan.spaces[source].size), odd=False, response=_unknown)


def _vectors(layer: Any) -> Any:
    def vectors(weights: Weights) -> NDArray[Any]:
        return weights.value(layer, "embeddings")

    return vectors


def _unknown(constants: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.full_like(constants, np.nan), np.ones_like(constants)
