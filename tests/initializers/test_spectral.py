"""Spectral: the largest singular value between 1 and 2 times sqrt(n_out / n_in), at any width."""

import math

import numpy as np
import pytest

from keras_initkit.initializers import Spectral

SHAPES = [(400, 400), (200, 800), (800, 200), (100, 2000), (2000, 100), (1000, 10)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("distribution", ["untruncated_normal", "truncated_normal", "uniform"])
def test_norm_of_independent_entries(array, shape, distribution):
    """(1 + sqrt(r)) sqrt(n_out / n_in) with edge fluctuations of the order n^(-2/3), here below 5 %."""
    inputs, outputs = shape
    norm = np.linalg.norm(array(Spectral(distribution, seed=0)(shape)), 2)
    ratio = min(shape) / max(shape)
    assert norm / math.sqrt(outputs / inputs) == pytest.approx(1 + math.sqrt(ratio), rel=0.05)


@pytest.mark.parametrize("shape", [*SHAPES[:4], (7, 3), (3, 7)])
def test_orthogonal(array, shape):
    values = np.linalg.svd(array(Spectral("orthogonal", seed=0)(shape)), compute_uv=False)
    np.testing.assert_allclose(values, math.sqrt(shape[1] / shape[0]), rtol=2e-5)


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (3, 3, 20, 30), (3, 3, 30, 20), (2, 4, 30)])
def test_both_kinds_have_the_same_variance(array, shape):
    """Exactly so for orthogonal ones, whose squares sum to the number of singular values."""
    initializer = Spectral("orthogonal", seed=0)
    window = math.prod(shape[:-2])
    expected = initializer.variance(window * shape[-2], window * shape[-1])
    assert np.mean(array(initializer(shape)) ** 2) == pytest.approx(expected, rel=1e-5)
    values = array(Spectral(seed=0)(shape))
    assert np.mean(values**2) == pytest.approx(expected, rel=5 * math.sqrt(2 / values.size))


@pytest.mark.parametrize("width", [64, 256, 1024])
def test_outputs_do_not_depend_on_the_width(array, width):
    """An input of ones aligned with the largest singular direction gives outputs of size 1: ‖Wx‖ = sqrt(n_out)."""
    kernel = array(Spectral("orthogonal", seed=0)((width, 16)))
    direction = np.linalg.svd(kernel)[0][:, 0] * math.sqrt(width)
    assert np.sqrt(np.mean((direction @ kernel) ** 2)) == pytest.approx(1.0, rel=1e-5)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`distribution` to be one of .*'orthogonal'"):
        Spectral("normal")
