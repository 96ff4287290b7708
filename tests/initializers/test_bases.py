"""Hadamard and DCT: the bases of scipy, orthonormal where promised, all units distinct."""

import itertools
import math
import tracemalloc

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft
from scipy.linalg import hadamard

from keras_initkit.initializers import DCT, Hadamard

ROUNDING = 3e-6  # of float32 values, summed over up to 150 products


def values_of(initializer, shape):
    return np.asarray(keras.ops.convert_to_numpy(initializer(shape)), dtype=np.float64)


def order_for(size):
    return 2 ** math.ceil(math.log2(size))


def largest_cosine(matrix):
    """Return the largest absolute cosine between two columns: 1 where they are equal or opposite."""
    unit = matrix / np.linalg.norm(matrix, axis=0)
    return np.abs(unit.T @ unit - np.eye(matrix.shape[1])).max()


@settings(deadline=None, max_examples=80)
@given(inputs=st.integers(1, 40), outputs=st.integers(1, 140))
def test_hadamard_vectors_are_rows_of_sylvesters_matrix(inputs, outputs):
    kernel = values_of(Hadamard(gain=2.0), (inputs, outputs))
    larger = max(inputs, outputs)
    vectors = kernel if inputs <= outputs else kernel.T
    known = {row[:larger].tobytes() for row in hadamard(order_for(larger))}
    signs = np.sign(vectors).astype(int)
    assert {row.tobytes() for row in signs} <= known
    np.testing.assert_array_equal(np.abs(kernel), np.full_like(kernel, np.float32(2.0 / math.sqrt(larger))))


@settings(deadline=None, max_examples=80)
@given(inputs=st.integers(1, 70), outputs=st.integers(1, 140))
def test_hadamard_singular_values_keep_the_stated_bounds(inputs, outputs):
    values = np.linalg.svd(values_of(Hadamard(), (inputs, outputs)), compute_uv=False)
    larger, smaller = max(inputs, outputs), min(inputs, outputs)
    order = order_for(larger)
    if larger == order:
        np.testing.assert_allclose(values, 1.0, rtol=ROUNDING)
    assert values.max() <= math.sqrt(order / larger) * (1 + ROUNDING)
    least = math.sqrt(order / (2 * larger)) if smaller <= order / 2 else 1 / math.sqrt(order)
    assert values.min() >= least * (1 - ROUNDING)


def test_hadamard_bound_of_the_worst_corners():
    """Both sides above half of the order; one less than the order is the worst that an exhaustive search finds."""
    for order in (8, 64, 256):
        sizes = [*np.linspace(order // 2 + 1, order, 4, dtype=int), order - 1]
        for larger, smaller in itertools.product(sizes, repeat=2):
            if smaller <= larger:
                least = np.linalg.svd(values_of(Hadamard(), (smaller, larger)), compute_uv=False)[-1]
                assert least >= 1 / math.sqrt(order) * (1 - 1e-4)


@settings(deadline=None, max_examples=80)
@given(inputs=st.integers(1, 12), outputs=st.integers(1, 300))
def test_hadamard_units_are_as_distinct_as_signs_allow(inputs, outputs):
    kernel = values_of(Hadamard(), (inputs, outputs))
    assert len(np.unique(kernel, axis=1).T) == min(outputs, 2**inputs)
    if inputs > math.ceil(math.log2(max(inputs, outputs))) and outputs > 1:
        assert largest_cosine(kernel) < 1 - 1e-4, "two units are opposite"


def test_hadamard_is_no_identity_and_has_only_a_centre_tap():
    assert np.count_nonzero(values_of(Hadamard(), (8, 4))) == 32
    kernel = values_of(Hadamard(), (4, 3, 5, 6))
    np.testing.assert_array_equal(kernel[1, 1], values_of(Hadamard(), (5, 6)))
    assert np.count_nonzero(kernel) == 30


@settings(deadline=None, max_examples=40)
@given(inputs=st.integers(1, 60), outputs=st.integers(1, 150))
def test_dense_dct_is_that_of_scipy(inputs, outputs):
    kernel = values_of(DCT(gain=0.5), (inputs, outputs))
    if outputs <= inputs:
        expected = fft.idct(np.eye(inputs), norm="ortho", axis=0)[:, :outputs]
    else:
        expected = fft.dct(np.eye(outputs), norm="ortho", axis=0)[1 : inputs + 1]
    np.testing.assert_allclose(kernel, 0.5 * expected, atol=1e-7)


@settings(deadline=None, max_examples=60)
@given(window=st.lists(st.integers(1, 4), max_size=3), inputs=st.integers(1, 8), outputs=st.integers(1, 60))
def test_dct_kernels_are_orthonormal_and_all_units_differ(window, inputs, outputs):
    kernel = values_of(DCT(), (*window, inputs, outputs)).reshape(-1, outputs)
    np.testing.assert_allclose(np.linalg.svd(kernel, compute_uv=False), 1.0, rtol=ROUNDING)
    assert len(np.unique(kernel.round(5), axis=1).T) == outputs


@pytest.mark.parametrize("window", [(3, 3), (4, 2), (5,), (2, 3, 2)], ids=str)
def test_dct_filters_of_one_channel_are_the_basis_of_the_window(window):
    """From low to high: the sums of b / k along the units never fall."""
    kernel = values_of(DCT(), (*window, 1, math.prod(window)))[..., 0, :]
    coefficients = fft.dctn(kernel, norm="ortho", axes=range(len(window)))
    peaks = [np.argwhere(np.abs(coefficients[..., unit]) > 0.5) for unit in range(kernel.shape[-1])]
    assert all(len(peak) == 1 for peak in peaks)
    frequencies = [tuple(peak[0]) for peak in peaks]
    assert set(frequencies) == set(itertools.product(*map(range, window)))
    sums = [sum(b / k for b, k in zip(frequency, window, strict=True)) for frequency in frequencies]
    assert np.diff(sums).min() > -1e-9


def test_dct_of_several_channels_meets_every_frequency_once():
    kernel = values_of(DCT(), (3, 3, 4, 36))
    coefficients = fft.dctn(kernel, norm="ortho", axes=(0, 1, 2)).reshape(36, 36)
    np.testing.assert_allclose(np.sort(np.abs(coefficients), axis=None)[-36:], 1.0, atol=1e-6)
    assert (np.abs(coefficients) > 0.5).sum(axis=0).tolist() == [1] * 36
    narrow = fft.dctn(kernel[..., :4], norm="ortho", axes=(0, 1)).reshape(9, 4, 4)
    assert len({int(np.abs(narrow[..., unit]).sum(axis=1).argmax()) for unit in range(4)}) == 4


@pytest.mark.parametrize("shape", [(4000, 4), (4, 4000)])
@pytest.mark.parametrize("kind", [Hadamard, DCT])
def test_long_kernels_need_no_square_matrix(kind, shape):
    """The whole basis would take 128 MB, the kernel in float64 takes 0.128 MB."""
    tracemalloc.start()
    values_of(kind(), shape)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2e6


@pytest.mark.parametrize("kind", [Hadamard, DCT])
@pytest.mark.parametrize("gain", [0, -1, math.nan, None])
def test_bad_arguments(kind, gain):
    with pytest.raises(ValueError, match="`gain` to be a finite number above 0"):
        kind(gain=gain)
