"""Embeddings, einsum, depthwise and wrapped layers: the pair that training keeps equal is found, and nothing else."""

import keras
import numpy as np
import pytest

from keras_initkit.units.arrays import to_numpy
from tests.units import layer_cases
from tests.units.layer_cases import Case, judged, locked, rows_behind

L = keras.layers


def columns(w, swap):
    return swap(w, w.ndim - 1)


def swap_flat(axes):
    """Swap units that are the last `axes` axes of a weight together."""

    def change(w, swap):
        flat = w.reshape(*w.shape[: w.ndim - axes], -1)
        return swap(flat, flat.ndim - 1).reshape(w.shape)

    return change


BEHIND = {"after/kernel": rows_behind}
CASES = {
    "embedding": Case(
        lambda: L.Embedding(7, 4, mask_zero=True, name="table"),
        {"table/embeddings": columns} | BEHIND,
        shape=(6,),
        tokens=7,
    ),
    "einsum of the last axis": Case(
        lambda: L.EinsumDense("...x,xy->...y", (4,), bias_axes="y", activation="relu", name="einsum"),
        {"einsum/kernel": columns, "einsum/bias": columns} | BEHIND,
    ),
    "einsum with a transposed kernel": Case(
        lambda: L.EinsumDense("abc,dc->abd", (6, 4), bias_axes="d", activation="tanh", name="einsum"),
        {"einsum/kernel": rows_behind, "einsum/bias": columns} | BEHIND,
    ),
    "einsum to two axes": Case(
        lambda: keras.Sequential(
            [
                L.EinsumDense("abc,cde->abde", (6, 2, 4), bias_axes="de", activation="tanh", name="first"),
                L.EinsumDense("abde,def->abf", (6, 5), bias_axes="f", activation="tanh", name="second"),
            ],
            name="inner",
        ),
        {
            "first/kernel": swap_flat(2),
            "first/bias": swap_flat(2),
            "second/kernel": lambda w, swap: swap(w.reshape(8, 5), 0).reshape(w.shape),
        },
        path="/first",
        pair=(1, 6),
    ),
    "einsum with a bias at every position": Case(
        lambda: L.EinsumDense("abc,cd->abd", (6, 4), bias_axes="bd", activation="tanh", name="einsum"),
        {"einsum/kernel": columns, "einsum/bias": columns} | BEHIND,
    ),
    "filters of one channel": Case(
        lambda: L.DepthwiseConv1D(2, depth_multiplier=3, activation="relu", name="depthwise"),
        {
            "depthwise/kernel": swap_flat(2),
            "depthwise/bias": columns,
        }
        | BEHIND,
        pair=(3, 5),
    ),
    "channels": Case(
        lambda: L.DepthwiseConv1D(2, activation="relu", name="depthwise"),
        {
            "before/kernel": columns,
            "before/bias": columns,
            "depthwise/kernel": lambda w, swap: swap(w, 1),
            "depthwise/bias": columns,
        }
        | BEHIND,
        path="before",
    ),
    "channels in two dimensions": Case(
        lambda: L.DepthwiseConv2D(2, name="depthwise"),
        {
            "before/kernel": columns,
            "before/bias": columns,
            "depthwise/kernel": lambda w, swap: swap(w, 2),
            "depthwise/bias": columns,
        }
        | BEHIND,
        path="before",
        shape=(4, 4, 3),
    ),
    "separable": Case(
        lambda: L.SeparableConv1D(4, 2, depth_multiplier=2, activation="tanh", name="separable"),
        {"pointwise_kernel": columns, "separable/bias": columns} | BEHIND,
    ),
    "channels of a separable layer": Case(
        lambda: L.SeparableConv2D(4, 2, activation="tanh", name="separable"),
        {
            "before/kernel": columns,
            "before/bias": columns,
            "depthwise_kernel": lambda w, swap: swap(w, 2),
            "pointwise_kernel": lambda w, swap: swap(w, 2),
        },
        path="before",
        shape=(4, 4, 3),
    ),
    "spectral normalisation": Case(
        lambda: L.SpectralNormalization(L.Dense(4, "tanh", name="wrapped")),
        {"wrapped/kernel": columns, "wrapped/bias": columns} | BEHIND,
        path="/wrapped",
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


def constant(model):
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, 0.3))
    return model


def test_several_filters_per_channel_are_units_and_channels_are_those_before():
    layers = [L.Conv1D(3, 2, name="before"), L.DepthwiseConv1D(2, depth_multiplier=2, name="depthwise")]
    model = constant(keras.Sequential([keras.Input((6, 2)), *layers, L.Flatten(), L.Dense(2)]))
    assert locked(model) == {"before": (0, 1, 2), "depthwise": (0, 1, 2, 3, 4, 5)}
    kernel = to_numpy(layers[1].kernel)
    kernel[0, 1, 0] = 0.5
    layers[1].kernel.assign(kernel)
    assert judged(model)["depthwise"].classes.tolist() == [0, 0, 1, 2, 0, 0]
    assert locked(model) == {"before": (0, 2), "depthwise": (0, 1, 4, 5)}
    layers[1].kernel.assign(np.eye(2)[1][:, None, None] * np.ones((2, 3, 2)))  # the first tap is zero, the other is not
    assert not any(state.dead for state in judged(model).values())


@pytest.mark.parametrize("equation", ["abc,bd->adc", "abc,cd->adb", "abc,bcd->abd", "ab...,bc->ac...", "abc,cde->aebd"])
def test_equations_that_are_no_product_with_a_matrix_are_not_understood(equation):
    shape = {"abc,bd->adc": (4, 5), "abc,cd->adb": (4, 6), "ab...,bc->ac...": (4,), "abc,cde->aebd": (4, 6, 3)}
    layer = L.EinsumDense(equation, shape.get(equation, (6, 4)), name="einsum", kernel_initializer="ones")
    before = L.Dense(5, kernel_initializer="ones", name="before")
    model = keras.Sequential([keras.Input((6, 3)), before, layer, L.Flatten(), L.Dense(2, kernel_initializer="ones")])
    assert locked(model) == {}
    assert judged(model)["before"].units.outgoing is None


@pytest.mark.parametrize("tied", [True, False])
def test_an_embedding_that_is_read_in_reverse(tied):
    keras.utils.set_random_seed(0)
    tokens = keras.Input((6,), dtype="int32")
    table = L.ReversibleEmbedding(7, 4, tie_weights=tied, embeddings_initializer="ones", name="table")
    model = keras.Model(tokens, table(L.Dense(4, name="between")(table(tokens)), reverse=True))
    assert locked(model) == {}
    assert judged(constant(model))["table"].locked == 4
    assert judged(model)["between"].locked == 4


def test_low_rank_updates_tell_units_apart_on_either_side():
    def model(layer):
        keras.utils.set_random_seed(0)
        made = constant(keras.Sequential([keras.Input((6, 3)), L.Dense(5, "tanh", name="before"), layer, L.Dense(2)]))
        made.layers[-1].kernel.assign(keras.ops.full(made.layers[-1].kernel.shape, 0.3))
        return made

    layer = L.EinsumDense("abc,cd->abd", (6, 4), bias_axes="d", name="einsum")
    made = model(layer)
    assert locked(made) == {"before": (0, 1, 2, 3, 4), "einsum": (0, 1, 2, 3)}
    layer.enable_lora(2)
    # A is random and B is zero: A tells the inputs apart as soon as B moves, which has equal columns for ever.
    assert locked(made) == {"einsum": (0, 1, 2, 3)}
    layer.lora_kernel_b.assign(np.random.default_rng(0).standard_normal((2, 4)))
    assert locked(made) == {}
    np.testing.assert_allclose(judged(made)["einsum"].units.kernel, to_numpy(layer.kernel))


def test_a_low_rank_update_of_an_embedding():
    table = L.Embedding(7, 4, embeddings_initializer="ones", name="table")
    model = keras.Sequential([keras.Input((6,)), table, L.Dense(2, kernel_initializer="ones")])
    table.enable_lora(2)
    assert locked(model) == {"table": (0, 1, 2, 3)}
    table.lora_embeddings_b.assign(np.random.default_rng(0).standard_normal((2, 4)))
    assert locked(model) == {}


def test_layers_of_small_integers_are_unknown_and_stay_as_they_are():
    layers = [L.Dense(8, "tanh", name="before"), L.Dense(8, name="packed"), L.Dense(2)]
    model = constant(keras.Sequential([keras.Input((3,)), *layers]))
    layers[1].quantize("int8")
    before = [to_numpy(weight) for weight in model.weights]
    assert locked(model) == {}
    assert list(judged(model)) == ["before"]
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, to_numpy(weight))


def test_reading_a_spectral_normalisation_changes_no_weights():
    model = keras.Sequential([keras.Input((3,)), L.SpectralNormalization(L.Dense(4)), L.Dense(2)])
    before = [to_numpy(weight) for weight in model.weights]
    assert len(judged(model)) == 1
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, to_numpy(weight))
