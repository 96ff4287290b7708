"""Transposed: what a scheme promises of a convolution holds for the transposed one."""

import math

import numpy as np
import pytest
from keras import layers

from keras_initkit.initializers import Grouped, Portable, ScaledOrthogonal, Transposed, reseeded


@pytest.mark.parametrize("scheme", ["glorot_uniform", "orthogonal", "sparse", "zeros"])
@pytest.mark.parametrize("shape", [(5, 7), (3, 5, 7), (2, 3, 5, 7)])
def test_last_axes_are_exchanged(array, scheme, shape):
    exchanged = (*shape[:-2], shape[-1], shape[-2])
    expected = array(reseeded(scheme, 4)(exchanged)).swapaxes(-1, -2)
    np.testing.assert_array_equal(array(Transposed(scheme, seed=4)(shape)), expected)


@pytest.mark.parametrize("window", [1, 2, 3, 4, 5])
def test_identity_returns_its_input(array, window):
    layer = layers.Conv2DTranspose(4, window, padding="same", kernel_initializer=Transposed("dirac"))
    x = np.random.default_rng(0).standard_normal((2, 6, 6, 4)).astype("float32")
    np.testing.assert_allclose(array(layer(x)), x, atol=1e-6)
    wider = layers.Conv2DTranspose(6, window, padding="same", kernel_initializer=Transposed("dirac"))
    np.testing.assert_allclose(array(wider(x))[..., :4], x, atol=1e-6)


@pytest.mark.parametrize("window", [2, 3])
def test_orthogonal_centre_keeps_norms(array, window):
    initializer = Transposed("delta_orthogonal", seed=1)
    layer = layers.Conv2DTranspose(8, window, padding="same", kernel_initializer=initializer)
    x = np.random.default_rng(0).standard_normal((5, 6, 6, 3)).astype("float32")
    axes = (1, 2, 3)
    np.testing.assert_allclose(np.square(array(layer(x))).sum(axes), np.square(x).sum(axes), rtol=1e-5)


def test_variance_counts_the_inputs(array):
    kernel = array(Transposed("lecun_normal", seed=1)((3, 3, 256, 64)))
    assert kernel.var() == pytest.approx(1 / (9 * 64), rel=5 * math.sqrt(2 / kernel.size))


def test_sparse_units_are_the_second_last_axis(array):
    kernel = array(Transposed("sparse", seed=1)((3, 3, 20, 8)))
    np.testing.assert_array_equal((kernel != 0).sum(axis=(0, 1, 3)), 15)


@pytest.mark.parametrize("scheme", ["orthogonal", "scaled_orthogonal", "glorot_uniform"])
def test_axes_are_exchanged(array, scheme):
    """A query kernel (D, H, K) becomes the transpose of the matrix (H·K, D)."""
    query = array(Transposed(scheme, seed=2, input_axes=[0], output_axes=[1, 2])((6, 2, 5)))
    np.testing.assert_allclose(query.reshape(6, 10), array(reseeded(scheme, 2)((10, 6))).T, atol=1e-6)
    output = array(Transposed(scheme, seed=2, input_axes=[0, 1], output_axes=[2])((2, 5, 6)))
    np.testing.assert_allclose(output.reshape(10, 6), array(reseeded(scheme, 2)((6, 10))).T, atol=1e-6)


def test_leftover_axes_are_matrices_of_their_own(array):
    kernel = array(Transposed("orthogonal", seed=2, input_axes=[1], output_axes=[2])((3, 4, 6)))
    for matrix in kernel:
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(4), atol=1e-5)
    assert not np.allclose(kernel[0], kernel[1])


def test_nested(array):
    twice = array(Transposed(Transposed(ScaledOrthogonal()), seed=1)((4, 6)))
    np.testing.assert_array_equal(twice, array(ScaledOrthogonal(seed=1)((4, 6))))
    grouped = array(Portable(Transposed(Grouped("orthogonal", 2)), seed=1)((3, 8, 4)))
    for block in np.split(grouped, 2, axis=1):
        matrix = block.swapaxes(1, 2).reshape(12, 4)
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(4), atol=1e-5)


def test_vectors_are_refused():
    with pytest.raises(ValueError, match="at least 2 axes: Transposed is not defined for vectors"):
        Transposed("zeros")((5,))
