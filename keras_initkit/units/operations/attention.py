"""Attention layers with weights: a unit is a head; inside a head the features of values, and of queries with keys."""

from typing import Any

import keras
import numpy as np

from keras_initkit.units.features import UnitsAt
from keras_initkit.units.functions import layer_activation
from keras_initkit.units.operations.activations import response_of
from keras_initkit.units.operations.arguments import arguments
from keras_initkit.units.operations.einsum import add_einsum_bias, matrix_form
from keras_initkit.units.operations.elementwise import never_zero
from keras_initkit.units.operations.heads import HeadWeights
from keras_initkit.units.operations.low_rank import mix_with_update
from keras_initkit.units.operations.registry import handles
from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call

_layers = keras.layers


@handles(_layers.MultiHeadAttention, getattr(_layers, "GroupQueryAttention", None), units=True)
def attention_heads(call: Call, plan: Plan) -> None:
    """Head h gives softmax(q_h k_hᵀ) v_h O_h with q_h = x Q_h, k_h = z K_h, v_h = z V_h.

    Query heads of a group share keys and values.

    Only Q_h K_hᵀ and V_h O_h matter, so what is said about the weights of a head is said about these. The bias of the
    keys adds the same number to all scores of a query, which the softmax does not see.
    """
    layer = call.operation
    given = arguments(call)
    query, value = plan.space_of(given["query"]), plan.space_of(given["value"])
    key = plan.space_of(given["key"]) if given.get("key") is not None else value
    weights = HeadWeights(layer)
    q = _project(query, layer._query_dense, weights.heads, plan)
    k = _project(key, layer._key_dense, weights.groups, plan, bias=False)
    v = _project(value, layer._value_dense, weights.groups, plan, signed=True)
    shared = np.arange(weights.heads) * weights.groups // weights.heads  # the group of each head
    head_of_product = np.repeat(np.arange(weights.heads), weights.key_size)
    products = plan.add_space(len(head_of_product), product=True)
    keys_of_heads = plan.add_space(len(head_of_product))
    plan.copy(k, keys_of_heads, _inside(shared, weights.key_size))
    plan.copy(q, products)
    plan.copy(keys_of_heads, products)

    shown = len(call.outputs) > 1  # the scores are an output too
    scores = plan.add_space(weights.heads, apart=shown, observed=shown)
    plan.mix_fixed(products, scores, (head_of_product[:, None] == np.arange(weights.heads)).astype(np.float32))
    dropout = bool(getattr(layer, "_dropout", 0) or getattr(layer, "dropout", 0))
    shares = plan.add_space(weights.heads, apart=dropout)
    if dropout:
        plan.noisy.add(shares)
    plan.copy(scores, shares, odd=False, response=never_zero, activation=(None, keras.activations.softmax))

    head_of_context = np.repeat(np.arange(weights.heads), weights.value_size)
    context = plan.add_space(len(head_of_context), product=True)
    plan.copy(v, context, _inside(shared, weights.value_size))
    plan.copy(shares, context, head_of_context, odd=False)
    inner: tuple[int, ...] = (v,)
    if getattr(layer, "_gate_dense", None) is not None:
        gate = _project(query, layer._gate_dense, weights.heads, plan)
        function = layer_activation(layer._gate_dense)[1]
        plan.copy(gate, context, odd=False, response=response_of(function))
        if weights.groups == weights.heads:
            inner = (v, gate)

    shape = tuple(call.outputs[0].shape)[-matrix_form(layer._output_dense).outputs :]
    output = plan.add_space(int(np.prod(shape)), signed=True)
    _mix(context, output, layer._output_dense, plan)
    plan.units += [
        UnitsAt(layer, (scores,), "head", weights.coordinates, inputs=weights.inputs, inside=True),
        UnitsAt(layer._query_dense, (q, keys_of_heads), "unit", weights.query_key_pairs, comparable=False, inside=True),
        UnitsAt(layer._value_dense, inner, comparable=False, inside=True),
        UnitsAt(layer._output_dense, (output,)),
    ]
    plan.set_space(call.outputs[0], add_einsum_bias(layer._output_dense, output, shape, plan), len(shape))
    plan.not_understood([], call.outputs[1:])


def _inside(group: np.ndarray, size: int) -> np.ndarray:
    """Return for every feature of every head the feature of its group."""
    return np.asarray(group[:, None] * size + np.arange(size)).reshape(-1)


def _project(source: int, dense: Any, heads: int, plan: Plan, *, signed: bool = False, bias: bool = True) -> int:
    """Add queries, keys or values, all heads side by side."""
    shape = (heads, dense.kernel.shape[-1])
    # One low-rank update works on all heads, which links cannot say.
    apart = bool(getattr(dense, "lora_enabled", False)) and heads > 1
    space = plan.add_space(int(np.prod(shape)), signed=signed, apart=apart)
    _mix(source, space, dense, plan)
    return add_einsum_bias(dense, space, shape, plan) if bias else space


def _mix(source: int, target: int, dense: Any, plan: Plan) -> None:
    form = matrix_form(dense)
    if getattr(dense, "lora_enabled", False) and form.outputs > 1:
        plan.mix(source, target, dense, "kernel", lambda kernel: form.matrix(kernel)[:, :, None])
    else:
        mix_with_update(plan, source, target, dense, "kernel", form.matrix)
