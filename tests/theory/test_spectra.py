"""Spectra of convolutions against the dense matrix of the same map."""

import itertools

import numpy as np
import pytest

from keras_initkit.theory import convolution_singular_values


def circular_matrix(kernel, size):
    """Return the map of images to images as a matrix, entry by entry."""
    *window, inputs, outputs = kernel.shape
    positions = list(itertools.product(*map(range, size)))
    matrix = np.zeros((len(positions), inputs, len(positions), outputs))
    for source, target in itertools.product(range(len(positions)), repeat=2):
        for tap in itertools.product(*map(range, window)):
            moved = tuple((p + t) % n for p, t, n in zip(positions[target], tap, size, strict=True))
            if moved == positions[source]:
                matrix[source, :, target, :] += kernel[tap]
    return matrix.reshape(len(positions) * inputs, len(positions) * outputs)


@pytest.mark.parametrize(("window", "size"), [((3,), (5,)), ((2, 3), (4, 3)), ((2, 1, 2), (2, 2, 3)), ((), ())])
@pytest.mark.parametrize(("inputs", "outputs"), [(2, 3), (3, 2), (1, 1)])
def test_against_dense_matrix(window, size, inputs, outputs):
    kernel = np.random.default_rng(1).standard_normal((*window, inputs, outputs))
    values = convolution_singular_values(kernel, size)
    assert values.shape == (*size, min(inputs, outputs))
    dense = np.linalg.svd(circular_matrix(kernel, size), compute_uv=False)
    np.testing.assert_allclose(np.sort(values.ravel())[::-1], dense[: values.size], atol=1e-12)


@pytest.mark.parametrize("size", [(2,), (4, 4), ()])
def test_bad_size(size):
    with pytest.raises(ValueError, match="one image size per spatial axis"):
        convolution_singular_values(np.ones((3, 2, 2)), size)
