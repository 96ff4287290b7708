"""ConvolutionAware: spectra of its filters, variance, and the share of noise."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from keras_initkit.initializers import ConvolutionAware, Portable


def half(window):
    """Frequencies of which no two are conjugate, found without the code under test."""
    chosen = []
    for frequency in itertools.product(*map(range, window)):
        if tuple((k - f) % k for f, k in zip(frequency, window, strict=True)) not in chosen:
            chosen.append(frequency)
    return tuple(zip(*chosen, strict=True))


@pytest.mark.parametrize("window", [(4,), (3, 3), (4, 3), (2, 3, 3)], ids=str)
def test_filters_of_a_unit_are_orthogonal_in_fourier_space(array, window):
    """Channels in blocks of as many as there are frequencies; the last block is cut."""
    frequencies = half(window)
    size = len(frequencies[0])
    kernel = array(ConvolutionAware(eps_std=0.0, seed=1)((*window, 2 * size + 1, 3)))
    spectrum = np.fft.fftn(kernel, axes=range(len(window)))
    np.testing.assert_allclose(spectrum.imag, 0, atol=1e-6)
    for unit, start in itertools.product(range(3), (0, size, 2 * size)):
        rows = spectrum.real[frequencies][:, start : start + size, unit].T
        gram = rows @ rows.T
        np.testing.assert_allclose(gram / gram[0, 0], np.eye(len(rows)), atol=2e-6)
    units = spectrum.real[frequencies]
    assert not np.allclose(units[:, 0, 0], units[:, 0, 1])
    assert not np.allclose(units[:, 0, 0], units[:, size, 0])


def test_half_of_the_last_axis_alone_is_not_enough():
    """What the authors' code does with an orthogonal matrix: at f and -f of the first axis the results are averaged."""
    rows = stats.ortho_group.rvs(6, random_state=0)
    filters = np.fft.irfft2(rows.reshape(6, 3, 2), (3, 3))
    overlap = np.abs(np.corrcoef(np.fft.rfft2(filters).real.reshape(6, 6)) - np.eye(6))
    assert overlap.max() > 0.3


@pytest.mark.parametrize("shape", [(3, 5, 7), (3, 3, 2, 2), (1, 1, 4, 4), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("eps_std", [0.0, 0.05])
def test_the_mean_square_is_that_of_he(array, shape, eps_std):
    kernel = array(ConvolutionAware(eps_std, seed=0)(shape))
    assert np.square(kernel).mean() * math.prod(shape[:-1]) == pytest.approx(2.0, rel=1e-5)


@pytest.mark.parametrize(("window", "expected"), [((3, 3), 0.10), ((7, 7), 0.75)])
def test_noise_prevails_in_large_kernels(array, window, expected):
    """Filters have mean square 1 / (N |F|) before the noise; 2 % are five standard errors of these correlations."""
    taps, size = math.prod(window), len(half(window)[0])
    share = 0.05**2 / (0.05**2 + 1 / (taps * size))
    assert share == pytest.approx(expected, abs=0.005)
    shape = (*window, 16, 128)
    noisy, clean = (array(ConvolutionAware(eps_std, seed=0)(shape)).ravel() for eps_std in (0.05, 0.0))
    assert 1 - np.corrcoef(noisy, clean)[0, 1] ** 2 == pytest.approx(share, abs=0.02)


def test_single_taps_are_normal(array):
    values = array(ConvolutionAware(seed=3)((1, 1, 40, 50))).ravel()
    assert stats.kstest(values / values.std(), "norm").pvalue > 1e-4


def test_no_global_seed_is_touched():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002 (the state that must stay)
    ConvolutionAware(seed=1)((3, 3, 2, 2))
    Portable(ConvolutionAware(), seed=1)((3, 3, 2, 2))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: ConvolutionAware(eps_std=-0.1), "`eps_std` to be a finite number of at least 0"),
        (lambda: ConvolutionAware()((3, 4)), "not defined for 2 axes"),
        (lambda: ConvolutionAware(input_axes=[0], output_axes=[1, 2])((3, 4, 5)), "Use ScaledOrthogonal there"),
    ],
)
def test_bad_arguments(build, text):
    with pytest.raises(ValueError, match=text):
        build()
