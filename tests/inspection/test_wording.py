"""The message of a running training: layers, causes and lines of code, of real models."""

import keras
import numpy as np
import pytest

from keras_initkit.inspection.verdicts import judge_model
from keras_initkit.inspection.wording import fault_message
from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.reading import UnitReader

L = keras.layers


def message(model, when="before training"):
    reader = UnitReader(model)
    faulty = [state for state in judge_model(reader, {}, False) if state.verdict in ("locked", "dead")]
    return fault_message(reader, faulty, when)


def test_the_message_names_the_layers_what_is_wrong_and_what_to_change():
    hidden = [
        L.Dense(4, "tanh", name="one", kernel_initializer="ones"),
        L.Dense(4, "tanh", name="two", kernel_initializer=keras.initializers.Constant(0.5)),
    ]
    model = keras.Sequential([keras.Input((3,)), *hidden, L.Dense(2, kernel_initializer="ones")])
    copies = (
        "All 4 units are copies (one group of 4): incoming and outgoing weights are equal, so they get the same "
        "gradients and stay equal for ever."
    )
    assert message(model) == (
        "2 hidden layers cannot learn, measured before training:\n"
        f"  one: {copies} The weights into them are all 1 (kernel_initializer is Ones).\n"
        "    fix: # mended with two\n"
        f"  two: {copies} The weights into them are all 0.5 (kernel_initializer is Constant(0.5)).\n"
        '    fix: w = model.get_layer("two").kernel; w.assign(keras.initializers.get("glorot_uniform")(w.shape))'
        '  # or kernel_initializer="glorot_uniform" where the layer is made'
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_opposite_weights_are_equal_up_to_sign(sign):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), L.Dense(4, "tanh", name="hidden"), L.Dense(2, name="out")])
    kernel, rows = to_numpy(model.get_layer("hidden").kernel), to_numpy(model.get_layer("out").kernel)
    kernel[:, 1], rows[1] = sign * kernel[:, 0], sign * rows[0]
    model.get_layer("hidden").kernel.assign(kernel)
    model.get_layer("out").kernel.assign(rows)
    said = message(model, "after epoch 3")
    assert said.startswith("1 hidden layer cannot learn as it is, measured after epoch 3:\n")
    assert "2 of 4 units are copies" in said
    assert ("equal up to sign" in said) == (sign < 0)


def test_units_of_zeros_are_dead_where_the_activation_is_flat():
    model = keras.Sequential([keras.Input((3,)), L.Dense(4, "relu", name="deep"), L.Dense(2)])
    model.get_layer("deep").kernel.assign(np.zeros((3, 4)))
    assert "deep: All 4 units cannot get a gradient: the incoming weights are zero, and relu is flat" in message(model)
