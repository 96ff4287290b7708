"""Recurrent layers: the pair that training keeps equal is found, and nothing else."""

import keras
import numpy as np
import pytest

from keras_initkit.units.arrays import to_numpy
from tests.units import layer_cases
from tests.units.layer_cases import Case, build, judged, locked, plant, rows_behind

L = keras.layers


def cell(blocks, name, bias_axis=0, window=0):
    """Swaps for one cell: the units are in the columns of all blocks, and in the rows of the recurrent weights."""
    return {
        f"{name}/kernel": lambda w, swap: swap(w, 1 + window, blocks),
        f"{name}/recurrent_kernel": lambda w, swap: swap(swap(w, window), 1 + window, blocks),
        f"{name}/bias": lambda w, swap: swap(w, bias_axis, blocks),
    }


def first_half(w, swap):
    return np.concatenate([swap(w[: len(w) // 2], 0), w[len(w) // 2 :]])


BEHIND = {"after/kernel": rows_behind}
CASES = {
    "SimpleRNN": Case(
        lambda: L.SimpleRNN(4, bias_initializer="normal", return_sequences=True),
        cell(1, "simple_rnn_cell") | BEHIND,
    ),
    "LSTM": Case(lambda: L.LSTM(4, bias_initializer="normal"), cell(4, "lstm_cell") | BEHIND),
    "GRU": Case(lambda: L.GRU(4, bias_initializer="normal"), cell(3, "gru_cell", 1) | BEHIND),
    "GRU that resets before": Case(
        lambda: L.GRU(4, bias_initializer="normal", reset_after=False, go_backwards=True),
        cell(3, "gru_cell") | BEHIND,
    ),
    "cells on top of each other": Case(
        lambda: L.RNN([L.GRUCell(4, name="gru"), L.LSTMCell(3, name="lstm")], name="rnn"),
        cell(3, "gru", 1) | {"lstm/kernel": rows_behind},
        path="/stacked_rnn_cells/gru",
    ),
    "both directions": Case(
        lambda: L.Bidirectional(L.LSTM(4, name="lstm", return_sequences=True)),
        cell(4, "forward_lstm/lstm_cell") | {"after/kernel": first_half},
        path="/forward_lstm",
    ),
    "sum of both directions": Case(
        lambda: L.Bidirectional(L.GRU(4, name="gru"), merge_mode="sum"),
        cell(3, "forward_gru/gru_cell", 1) | cell(3, "backward_gru/gru_cell", 1) | BEHIND,
        path="/forward_gru",
    ),
    "ConvLSTM1D": Case(
        lambda: L.ConvLSTM1D(4, 2, bias_initializer="normal"),
        cell(4, "conv_lstm_cell", window=1) | BEHIND,
        shape=(3, 5, 2),
    ),
    "ConvLSTM2D": Case(
        lambda: L.ConvLSTM2D(4, 2, return_sequences=True),
        cell(4, "conv_lstm_cell", window=2) | BEHIND,
        shape=(3, 3, 4, 2),
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


@pytest.mark.parametrize("kind", [L.LSTM, L.GRU, L.SimpleRNN])
@pytest.mark.parametrize("rate", ["dropout", "recurrent_dropout"])
def test_dropout_in_a_cell_tells_what_it_acts_on_apart(kind, rate):
    keras.utils.set_random_seed(0)
    layers = [L.Dense(5, "tanh"), kind(4, name="recurrent", **{rate: 0.2}), L.Dense(2)]
    model = keras.Sequential([keras.Input((6, 3)), *layers])
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    found = judged(model)
    assert found["recurrent"].locked == (4 if rate == "dropout" else 0)
    assert found[layers[0].name].locked == (0 if rate == "dropout" else 5)
    assert found["recurrent"].units.noise == (rate != "dropout")


@pytest.mark.parametrize("kind", [L.LSTM, L.GRU, L.SimpleRNN])
def test_states_to_begin_with_count(kind):
    states = 2 if kind is L.LSTM else 1

    def model(given):
        keras.utils.set_random_seed(0)
        x = keras.Input((6, 3))
        if given:
            first = [keras.Input((4,)) for _ in range(states)]
            inputs = [x, *first]
        else:
            first = kind(4, return_state=True, name="encoder")(x)[1:]
            inputs = x
        y = kind(4, return_sequences=True, name="decoder")(x, initial_state=first)
        made = keras.Model(inputs, L.Dense(2)(y))
        for variable in made.trainable_variables:
            variable.assign(np.ones(variable.shape))
        return made

    assert locked(model(True)) == {}  # the states are data
    assert locked(model(False)) == {"encoder": (0, 1, 2, 3), "decoder": (0, 1, 2, 3)}


def test_orthogonal_recurrent_weights_unlock_and_the_forget_bias_does_not():
    def units(recurrent):
        keras.utils.set_random_seed(0)
        layer = L.LSTM(4, kernel_initializer="ones", recurrent_initializer=recurrent, name="lstm")
        return judged(keras.Sequential([keras.Input((6, 3)), layer, L.Dense(2, kernel_initializer="ones")]))["lstm"]

    assert units("zeros").locked == 4
    assert units("ones").locked == 4
    assert units("orthogonal").locked == 0
    assert units("orthogonal").verdict == "transient"


def test_opposite_units_are_locked_where_the_activation_is_odd():
    case = CASES["LSTM"]
    for activation in ("tanh", "relu"):
        model = build(Case(lambda a=activation: L.LSTM(4, a, name="lstm"), case.swaps))
        plant(model, case)
        layer, after = model.get_layer("lstm").cell, model.get_layer("after")
        kernel, recurrent, rows = (to_numpy(v) for v in (layer.kernel, layer.recurrent_kernel, after.kernel))
        kernel[:, 8], rows[0] = -kernel[:, 8], -rows[0]  # the candidate of unit 0 is in column 2 · 4
        recurrent[0] *= -1
        recurrent[:, 8] *= -1
        for variable, array in ((layer.kernel, kernel), (layer.recurrent_kernel, recurrent), (after.kernel, rows)):
            variable.assign(array)
        assert locked(model) == ({"lstm": (0, 2)} if activation == "tanh" else {})


def test_a_cell_of_the_user_is_not_understood():
    class Cell(L.SimpleRNNCell):
        def call(self, sequence, states, training=False):
            output, states = super().call(sequence, states, training)
            return 2 * output, states

    model = keras.Sequential([keras.Input((6, 3)), L.Dense(5, kernel_initializer="ones"), L.RNN(Cell(4)), L.Dense(2)])
    assert list(judged(model)) == [model.layers[0].name]
    assert judged(model)[model.layers[0].name].units.outgoing is None
