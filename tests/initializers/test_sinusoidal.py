"""Sinusoidal: waves of stated frequency, phase and variance, which share no direction that they need not share."""

import math
import re

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_initkit.initializers import Sinusoidal

SHAPES = {
    "window": st.lists(st.integers(1, 3), max_size=2),
    "inputs": st.integers(3, 30),
    "units": st.integers(1, 90),
}


def columns_of(shape, **arguments):
    """Return the kernel as (n, O), flattened as torch would: channels first, taps fastest."""
    kernel = np.asarray(keras.ops.convert_to_numpy(Sinusoidal(**arguments)(shape)), dtype=np.float64)
    return np.moveaxis(np.moveaxis(kernel, -1, 0), -1, 1).reshape(kernel.shape[-1], -1).T


@settings(deadline=None, max_examples=60)
@given(**SHAPES, scale=st.floats(0.1, 10), mode=st.sampled_from(["fan_in", "fan_avg", "fan_out"]))
def test_sum_and_variance_of_each_unit(window, inputs, units, scale, mode):
    """Both are exact; float32 leaves 6e-8 of the amplitude per entry."""
    columns = columns_of((*window, inputs, units), scale=scale, mode=mode)
    taps = math.prod(window)
    fan = taps * {"fan_in": inputs, "fan_out": units, "fan_avg": (inputs + units) / 2}[mode]
    variance = scale / fan
    np.testing.assert_allclose(columns.var(axis=0), variance, rtol=1e-6)
    assert np.abs(columns.sum(axis=0)).max() < 2e-7 * len(columns) * math.sqrt(variance)


@settings(deadline=None, max_examples=60)
@given(**SHAPES)
def test_no_two_units_are_equal_or_opposite(window, inputs, units):
    """The nearest phases of N units are π / N apart: their cosine is cos(π / N)."""
    columns = columns_of((*window, inputs, units))
    unit = columns / np.linalg.norm(columns, axis=0)
    cosines = np.abs(unit.T @ unit - np.eye(units))
    sharing = -(-units // ((len(columns) - 1) // 2))
    assert cosines.max() < (math.cos(math.pi / sharing) if sharing > 2 else 0.0) + 1e-5


@settings(deadline=None, max_examples=60)
@given(**SHAPES)
def test_singular_values_in_closed_form(window, inputs, units):
    columns = columns_of((*window, inputs, units), mode="fan_in")
    n = len(columns)
    frequencies = (n - 1) // 2
    amplitude = math.sqrt(2 / n)
    expected = []
    for sharing in np.bincount(np.arange(units) % frequencies, minlength=frequencies):
        if sharing == 1:
            expected.append(amplitude * math.sqrt(n / 2))
        elif sharing > 1:
            expected += 2 * [amplitude * math.sqrt(n * sharing) / 2]
    found = np.linalg.svd(columns, compute_uv=False)
    np.testing.assert_allclose(found[: len(expected)], sorted(expected, reverse=True), rtol=1e-5)
    assert (found[len(expected) :] < 1e-5).all()


def test_every_entry_by_hand():
    """7 inputs have 3 frequencies; 8 units share them as 3, 3 and 2."""
    columns = columns_of((7, 8), scale=0.5, mode="fan_in")
    amplitude = math.sqrt(2 * 0.5 / 7)
    waves = [(1, 0), (2, 0), (3, 0), (1, 1 / 3), (2, 1 / 3), (3, 1 / 2), (1, 2 / 3), (2, 2 / 3)]
    for unit, (frequency, turn) in enumerate(waves):
        expected = [amplitude * math.sin(2 * math.pi * frequency * j / 7 + math.pi * turn) for j in range(7)]
        np.testing.assert_allclose(columns[:, unit], expected, atol=1e-7)


def test_units_are_the_columns():
    """A Dense layer answers to a constant input with zeros, whatever the constant is."""
    layer = keras.layers.Dense(20, kernel_initializer=Sinusoidal())
    output = keras.ops.convert_to_numpy(layer(np.full((2, 12), 3.0, "float32")))
    assert np.abs(output).max() < 1e-5


@pytest.mark.parametrize("shape", [(1, 4), (2, 4), (1, 2, 8)])
def test_too_few_inputs(shape):
    with pytest.raises(
        ValueError, match=rf"at least 3 inputs.*Received: shape={re.escape(str(shape))}.*Use DCT, Hadamard"
    ):
        Sinusoidal()(shape)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"scale": 0}, "`scale` to be a finite number above 0"),
        ({"mode": "fan"}, "`mode` to be one of 'fan_in', 'fan_avg', 'fan_out'"),
    ],
)
def test_bad_arguments(arguments, text):
    with pytest.raises(ValueError, match=text):
        Sinusoidal(**arguments)
