import dataclasses

import numpy as np
import pytest

from keras_initkit.symmetry.similarity import unit_similarity
from keras_initkit.symmetry.stacked_similarity import StackedSimilarity, stacked_similarity

NAMES = ("mean", "rms", "mean_abs", "max_abs", "participation", "null_z", "nearest")


def layers(rng, count, inputs, units, dtype):
    stack = rng.normal(size=(count, inputs, units))
    stack[0] += 3  # a common direction
    stack[1, :, 1] = -stack[1, :, 0]
    stack[2] *= 1e-6
    return stack.astype(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 3e-6)])
@pytest.mark.parametrize(("inputs", "units"), [(64, 64), (3, 20), (50, 7), (12, 300), (9, 2)])
def test_numbers_are_those_of_single_layers(inputs, units, dtype, tolerance):
    stack = layers(np.random.default_rng(0), 5, inputs, units, dtype)
    found = stacked_similarity(stack)
    assert found.plain.all()
    for number, kernel in enumerate(stack):
        single = unit_similarity(kernel)
        for name in NAMES:
            expected = getattr(single, name)
            # The score is a difference in units of a standard deviation.
            scale = 1e3 if name == "null_z" else units if name == "participation" else 1
            np.testing.assert_allclose(getattr(found, name)[number], expected, rtol=tolerance, atol=scale * tolerance)
        squares = (kernel.astype(np.float64) ** 2).sum(axis=0)
        assert found.shortest[number] == pytest.approx(squares.min() / np.abs(kernel).max() ** 2, rel=1e-5)


def test_many_layers_are_measured_in_parts():
    stack = np.random.default_rng(1).normal(size=(50, 4, 120)).astype(np.float32)
    np.testing.assert_allclose(stacked_similarity(stack).mean[-1], stacked_similarity(stack[-1:]).mean[0], atol=1e-7)


def test_views_of_other_layouts_give_the_same():
    stack = np.random.default_rng(1).normal(size=(3, 5, 6)).astype(np.float32)
    other = np.asfortranarray(stack)
    np.testing.assert_allclose(stacked_similarity(stack).rms, stacked_similarity(other).rms, rtol=1e-6)


@pytest.mark.parametrize("units", [1, 4, 300])
def test_zero_units_and_odd_sizes_are_not_plain(units):
    stack = np.random.default_rng(2).normal(size=(4, 5, units)).astype(np.float32)
    stack[1, :, 0] = 0
    stack[2] *= np.float32(1e-18)
    stack[3] *= np.float32(1e15)
    assert stacked_similarity(stack).plain.tolist() == [True, False, False, False]


def test_one_unit_has_no_pairs():
    found = stacked_similarity(np.ones((2, 3, 1)))
    assert found.plain.all()
    assert np.isnan([found.mean, found.rms, found.max_abs, found.null_z]).all()
    assert found.participation.tolist() == [1.0, 1.0]


def test_number_of_inputs_may_be_another_one():
    stack = np.random.default_rng(3).normal(size=(2, 4, 6))
    assert stacked_similarity(stack).rms.tolist() == stacked_similarity(stack, 100).rms.tolist()
    assert (stacked_similarity(stack, 100).null_z > stacked_similarity(stack).null_z).all()


@pytest.mark.parametrize("units", [4, 300])
def test_no_layers_give_no_numbers(units):
    found = stacked_similarity(np.zeros((0, 3, units), np.float32))
    assert all(len(getattr(found, field.name)) == 0 for field in dataclasses.fields(StackedSimilarity))
