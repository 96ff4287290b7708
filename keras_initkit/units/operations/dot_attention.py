"""Attention layers without projections: scores of queries and keys, and means of values."""

from typing import Any

import keras
import numpy as np

from keras_initkit.units.features import NotUnderstood
from keras_initkit.units.operations.activations import response_of
from keras_initkit.units.operations.arguments import arguments
from keras_initkit.units.operations.elementwise import never_zero
from keras_initkit.units.operations.registry import handles
from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call

_layers = keras.layers


@handles(_layers.Attention)
def attention(call: Call, plan: Plan) -> None:
    """Score with `scale · q kᵀ`, or with `weight · Σ tanh(scale (q + k))`, both numbers of the layer."""
    layer = call.operation
    query, value, key = _inputs(call, plan)
    score = _score(call, plan)
    if layer.score_mode == "dot":
        products = plan.add_space(plan.spaces[query].size, product=True)
        plan.copy(query, products)
        plan.copy(key, products)
        _sum(products, score, layer, "scale", plan)
    else:
        _sum(_tanh_of_sum(query, key, plan), score, layer, "concat_score_weight", plan)
    _average(call, score, value, plan)


@handles(_layers.AdditiveAttention)
def additive_attention(call: Call, plan: Plan) -> None:
    """Score with `Σ scale · tanh(q + k)`, with a scale for every feature."""
    layer = call.operation
    query, value, key = _inputs(call, plan)
    score = _score(call, plan)
    features = _tanh_of_sum(query, key, plan)
    if isinstance(layer.scale, keras.Variable):
        scaled = plan.add_space(plan.spaces[features].size, product=True)
        plan.scale(features, scaled, layer, "scale", lambda scale: scale.reshape(1, -1))
        features = scaled
    _sum(features, score, None, "", plan)
    _average(call, score, value, plan)


def _inputs(call: Call, plan: Plan) -> tuple[int, int, int]:
    """Return the spaces of queries, values and keys."""
    given = [plan.space_of(tensor) for tensor in arguments(call)["inputs"]]
    if plan.spaces[given[0]].size != plan.spaces[given[-1]].size:
        raise NotUnderstood
    return given[0], given[1], given[-1] if len(given) > 2 else given[1]


def _score(call: Call, plan: Plan) -> int:
    shown = len(call.outputs) > 1  # the scores are an output too
    return plan.add_space(1, observed=shown)


def _tanh_of_sum(query: int, key: int, plan: Plan) -> int:
    size = plan.spaces[query].size
    together, behind = plan.add_space(size), plan.add_space(size)
    plan.copy(query, together)
    plan.copy(key, together)
    plan.copy(together, behind, response=response_of(keras.activations.tanh))
    return behind


def _sum(features: int, score: int, layer: Any, factor: str, plan: Plan) -> None:
    """Sum features to the score, times one number of the layer if it has that."""
    ones = np.ones((plan.spaces[features].size, 1), np.float32)
    if isinstance(getattr(layer, factor, None), keras.Variable):
        total = plan.add_space(1)
        scaled = plan.add_space(1, product=True)
        plan.mix_fixed(features, total, ones)
        plan.scale(total, scaled, layer, factor, lambda number: number.reshape(1, 1))
        plan.copy(scaled, score)
    else:
        plan.mix_fixed(features, score, ones)


def _average(call: Call, score: int, value: int, plan: Plan) -> None:
    """Average values with the softmax of the scores, of which one score alone gives no zero."""
    share = plan.add_space(1)
    plan.copy(score, share, odd=False, response=never_zero)
    output = plan.result(call.outputs[0], product=True)
    plan.copy(value, output)
    plan.copy(share, output, np.zeros(plan.spaces[output].size, dtype=np.intp), odd=False)
    plan.not_understood([], call.outputs[1:])
