"""What stands around the units of a layer: which weights read them, and what acts on them on the way."""

import keras
import numpy as np
import pytest

from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.reading import UnitReader
from tests.units.test_plan import chain, concatenated, conv_target, functional, target

L = keras.layers


def units_of(model):
    [units] = [units for units in UnitReader(model).read().layers if units.layer == "target"]
    return units


@pytest.mark.parametrize("position", [0, 1, 2])
def test_the_rows_of_a_reader_behind_a_concatenation_are_those_at_its_offset(position):
    model = concatenated(position)
    start = [0, 3, 8][position]
    rows = to_numpy(model.layers[-1].kernel)[start : start + 4]
    np.testing.assert_array_equal(units_of(model).outgoing, rows.T)


def test_units_that_are_read_twice_have_the_rows_of_both_places():
    def make(i):
        x = target()(i)
        return L.Dense(2)(L.Concatenate()([x, L.Dense(3)(i), x]))

    model = functional(make)
    rows = to_numpy(model.layers[-1].kernel)
    outgoing = units_of(model).outgoing
    for unit in range(4):
        np.testing.assert_array_equal(np.sort(outgoing[:, unit]), np.sort(np.r_[rows[unit], rows[7 + unit]]))


def test_each_channel_has_the_rows_of_all_its_positions():
    model = chain((2, 3, 5), conv_target(), L.Flatten(), L.Dense(2))
    rows = to_numpy(model.layers[-1].kernel).reshape(6, 4, 2)
    for channel in range(4):
        np.testing.assert_array_equal(units_of(model).outgoing[:, channel], rows[:, channel].ravel())


@pytest.mark.parametrize(
    ("layer", "acts"),
    [
        (L.Dropout(0.2), True),
        (L.Dropout(0.0), False),
        (L.Dropout(0.2, noise_shape=(None, 1)), False),
        (L.AlphaDropout(0.2), True),
        (L.GaussianDropout(0.2), True),
        (L.GaussianNoise(0.2), True),
        (L.GaussianNoise(0.0), False),
        (L.ActivityRegularization(0.1), False),
    ],
)
def test_noise_is_what_acts_on_single_units(layer, acts):
    assert units_of(chain((6,), target(), layer, L.Dense(2))).noise is acts


def test_noise_before_the_layer_and_behind_the_reader_does_not_count():
    assert not units_of(chain((6,), L.Dropout(0.5), target(), L.Dense(3), L.Dropout(0.5), L.Dense(2))).noise


@pytest.mark.parametrize(
    "make",
    [
        lambda: chain((6,), target()),
        lambda: chain((6,), target(), L.Dropout(0.1), L.Softmax()),
        lambda: chain((6,), target(), L.BatchNormalization(), L.Activation("softmax")),
        lambda: chain((4, 4, 6), conv_target(), L.GlobalAveragePooling2D(), L.Activation("softmax")),
        lambda: functional(
            lambda i: L.Activation("sigmoid")(L.Add()([target(2)(i), L.Dense(2)(L.Dense(4, "relu")(i))]))
        ),
        lambda: functional(lambda i: L.Softmax()(L.BatchNormalization()(target()(i) / 10.0))),
        lambda: keras.Sequential([keras.Input((6,)), keras.Sequential([keras.Input((6,)), target()]), L.Softmax()]),
    ],
)
def test_units_with_no_weights_behind_them_are_outputs_and_not_read(make):
    assert not any(path.endswith("target") for path in UnitReader(make()).paths)
