"""Attention: heads, and the features inside of heads, that training keeps equal."""

import keras
import numpy as np
import pytest

from keras_initkit.units.arrays import to_numpy
from tests.units import layer_cases
from tests.units.layer_cases import Case, build, judged, locked, plant

L = keras.layers


HEADS = {
    "query/kernel": lambda w, swap: swap(w, 1),
    "query/bias": lambda w, swap: swap(w, 0),
    "/key/kernel": lambda w, swap: swap(w, 1),
    "value/kernel": lambda w, swap: swap(w, 1),
    "value/bias": lambda w, swap: swap(w, 0),
    "attention_output/kernel": lambda w, swap: swap(w, 0),
}


def inside_first_head(axis):
    """Swap two features of the first head: `axis` is that of the heads, the next one that of the features."""

    def change(w, swap):
        first, others = np.split(w, [1], axis=axis)
        return np.concatenate([swap(first, axis + 1), others], axis=axis)

    return change


CASES = {
    "heads": Case(lambda: L.MultiHeadAttention(3, 4, bias_initializer="normal"), HEADS, twice=True),
    "heads with gates": Case(
        lambda: L.MultiHeadAttention(3, 4, output_shape=4, use_gate=True),
        HEADS | {"gate/kernel": lambda w, swap: swap(w, 1), "gate/bias": lambda w, swap: swap(w, 0)},
        twice=True,
    ),
    "heads of a group": Case(
        lambda: L.GroupQueryAttention(4, 6, 2),
        {end: change for end, change in HEADS.items() if end.startswith(("query", "attention_output"))},
        pair=(0, 2),
        twice=True,
    ),
    "features of values": Case(
        lambda: L.MultiHeadAttention(2, 4, bias_initializer="normal"),
        {
            "value/kernel": inside_first_head(1),
            "value/bias": inside_first_head(0),
            "attention_output/kernel": inside_first_head(0),
        },
        path="/value",
        twice=True,
    ),
    "features of queries and keys": Case(
        lambda: L.MultiHeadAttention(2, 4, bias_initializer="normal"),
        {"query/kernel": inside_first_head(1), "query/bias": inside_first_head(0), "/key/kernel": inside_first_head(1)},
        path="/query",
        twice=True,
    ),
    "outputs": Case(
        lambda: L.MultiHeadAttention(2, 4, bias_initializer="normal"),
        {
            "attention_output/kernel": lambda w, swap: swap(w, 2),
            "attention_output/bias": lambda w, swap: swap(w, 0),
            "after/kernel": lambda w, swap: swap(w, 0),
        },
        path="/attention_output",
        twice=True,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_planted_pair_is_found(name):
    layer_cases.check_that_a_planted_pair_is_found(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_any_other_entry_unlocks(name):
    layer_cases.check_that_any_other_entry_unlocks(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_it_is_found_in_nested_opened_and_shared_models(name):
    layer_cases.check_that_it_is_found_anywhere(CASES[name])


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", CASES)
def test_what_is_dead_stands_still_and_what_is_locked_stays_equal(name, seed):
    layer_cases.check_what_training_does(CASES[name], seed)


def attended(layer, **call):
    keras.utils.set_random_seed(0)
    x = keras.Input((5, 6))
    y = layer(x, x, **call)
    return keras.Model(x, L.Dense(2)(y[0] if isinstance(y, tuple) else y))


def test_heads_are_compared_by_what_does_not_depend_on_coordinates_inside_them():
    layer = L.MultiHeadAttention(3, 4, value_dim=2, bias_initializer="normal", name="mha")
    model = attended(layer)
    before = judged(model)["mha"].units.kernel
    weights = [to_numpy(d.kernel) for d in (layer._query_dense, layer._key_dense, layer._value_dense)]
    out = to_numpy(layer._output_dense.kernel)
    bias = [to_numpy(d.bias) for d in (layer._query_dense, layer._value_dense)]
    # The inner products are those of the matrices themselves.
    qk = [np.vstack([weights[0][:, h], bias[0][h]]) @ weights[1][:, h].T for h in range(3)]
    vo = [np.vstack([weights[2][:, h], bias[1][h]]) @ out[h] for h in range(3)]
    wanted = 0
    for matrices in (qk, vo):
        rows = np.stack([m.ravel() for m in matrices])
        wanted = wanted + rows @ rows.T / np.mean((rows**2).sum(axis=1))
    np.testing.assert_allclose(before.T @ before, wanted, rtol=1e-4, atol=1e-5)
    # Other coordinates inside a head change nothing.
    turn = np.random.default_rng(0).standard_normal((4, 4))
    weights[0][:, 1] = weights[0][:, 1] @ turn
    bias[0][1] = bias[0][1] @ turn
    weights[1][:, 1] = weights[1][:, 1] @ np.linalg.inv(turn).T
    layer._query_dense.kernel.assign(weights[0])
    layer._query_dense.bias.assign(bias[0])
    layer._key_dense.kernel.assign(weights[1])
    after = judged(model)["mha"].units.kernel
    np.testing.assert_allclose(after.T @ after, before.T @ before, atol=1e-4)
    assert judged(model)["mha"].units.inputs == 6 * 6 + 6 * 6


def test_the_bias_of_the_keys_tells_nothing_apart():
    case = CASES["heads"]
    model = build(case)
    plant(model, case)
    layer = next(part for part in model.layers if isinstance(part, L.MultiHeadAttention))
    bias = to_numpy(layer._key_dense.bias)
    bias[0] += 1
    layer._key_dense.bias.assign(bias)
    assert locked(model) == {layer.name: (0, 2)}


@pytest.mark.parametrize(("how", "heads"), [({}, 3), ({"dropout": 0.2}, 0)])
def test_dropout_of_the_scores_tells_heads_apart_but_not_the_features_inside(how, heads):
    ones = {"kernel_initializer": "ones", "name": "mha"}
    found = judged(attended(L.MultiHeadAttention(3, 4, **ones, **how)))
    assert found["mha"].locked == heads
    assert found["mha"].units.noise == bool(how)
    assert found["mha/value"].locked == 12
    assert len(np.unique(found["mha/value"].classes)) == (1 if heads else 3)


def test_scores_that_are_used_tell_heads_apart():
    layer = L.MultiHeadAttention(3, 4, kernel_initializer="ones", name="mha")
    assert judged(attended(layer, return_attention_scores=True))["mha"].locked == 0


def test_masks_and_a_key_of_its_own_change_nothing():
    keras.utils.set_random_seed(0)
    x, y, z = keras.Input((5, 6)), keras.Input((4, 3)), keras.Input((4, 7))
    mask = keras.Input((5, 4), dtype="bool")
    layer = L.MultiHeadAttention(2, 3, kernel_initializer="ones", name="mha")
    out = L.Dense(2)(layer(x, y, key=z, attention_mask=mask))
    found = judged(keras.Model([x, y, z, mask], out))
    assert found["mha"].locked == 2
    assert found["mha"].units.inputs == 6 * 7 + 3 * 6


def test_groups_that_share_keys_are_exchangeable():
    layer = L.GroupQueryAttention(4, 4, 2, name="gqa")
    model = attended(layer)
    for dense, axis in (
        (layer._query_dense, 1),
        (layer._key_dense, 1),
        (layer._value_dense, 1),
        (layer._output_dense, 0),
    ):
        first = np.split(to_numpy(dense.kernel), 2, axis=axis)[0]
        dense.kernel.assign(np.concatenate([first, first], axis=axis))
    assert locked(model) == {"gqa": (0, 1, 2, 3)}
    assert judged(model)["gqa"].classes.tolist() == [0, 1, 0, 1]


def test_heads_that_are_not_finite_are_said_to_explode():
    layer = L.MultiHeadAttention(2, 3, name="mha")
    model = attended(layer)
    layer._key_dense.kernel.assign(keras.ops.full(layer._key_dense.kernel.shape, np.nan))
    assert judged(model)["mha"].verdict == "exploding"


def test_heads_are_hidden_even_in_the_last_layer():
    x = keras.Input((5, 6))
    layer = L.MultiHeadAttention(2, 3, name="mha")
    assert list(judged(keras.Model(x, layer(x, x)))) == ["mha", "mha/query", "mha/value"]
