"""NormalizedPositive and BlockRotation: eigenvalues, blocks, and many steps."""

import math

import keras
import numpy as np
import pytest
from scipy import linalg, stats

from keras_initkit.initializers import BlockRotation, NormalizedPositive, PerGate


@pytest.mark.parametrize("units", [1, 2, 7, 100])
def test_positive_definite_with_largest_eigenvalue_one(array, units):
    kernel = array(NormalizedPositive(seed=1)((units, units)))
    np.testing.assert_array_equal(kernel, kernel.T)
    values = np.linalg.eigvalsh(kernel)
    assert values[-1] == pytest.approx(1.0, abs=2e-6)
    assert values[0] > 0


def test_normalized_positive_is_the_formula_of_the_paper(array):
    gaussian = array(keras.random.normal((1, 50, 50), seed=3))[0]
    matrix = gaussian.T @ gaussian / 50 + np.eye(50)
    np.testing.assert_allclose(
        array(NormalizedPositive(seed=3)((50, 50))), matrix / np.linalg.eigvalsh(matrix)[-1], atol=1e-6
    )


def test_spectrum_of_wide_layers(array):
    """Eigenvalues of RᵀR / U fill [0, 4], by Marchenko and Pastur, with edges blurred by U^(-2/3) = 0.02 times 4."""
    values = np.linalg.eigvalsh(array(NormalizedPositive(seed=0)((300, 300))))
    assert 1 / values[0] == pytest.approx(5.0, abs=0.4)
    assert (values * 5).mean() == pytest.approx(2.0, abs=0.15)  # 1 + the mean of RᵀR / U


def test_states_of_a_relu_network_do_not_grow(array):
    layer = keras.layers.SimpleRNN(
        16, "relu", recurrent_initializer=NormalizedPositive(seed=0), return_sequences=True, kernel_initializer="zeros"
    )
    start = np.abs(np.random.default_rng(0).standard_normal((4, 16))).astype("float32")
    states = array(layer(np.zeros((4, 200, 1), "float32"), initial_state=keras.ops.convert_to_tensor(start)))
    norms = np.linalg.norm(np.concatenate([start[:, None], states], axis=1), axis=-1)
    assert (np.diff(norms, axis=1) <= 1e-6).all()


@pytest.mark.parametrize("units", [1, 2, 5, 8, 101])
def test_rotations_of_pairs(array, units):
    kernel = array(BlockRotation(seed=1)((units, units)))
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(units), atol=1e-6)
    blocks = [np.ones((2, 2))] * (units // 2) + [np.ones((1, 1))] * (units % 2)
    assert not kernel[linalg.block_diag(*blocks) == 0].any()
    if units % 2:
        assert kernel[-1, -1] == 1.0
    angles = np.arctan2(kernel.diagonal(1)[::2], kernel.diagonal()[: units - 1 : 2])
    generators = [np.array([[0, angle], [-angle, 0]]) for angle in angles] + [np.zeros((1, 1))] * (units % 2)
    np.testing.assert_allclose(kernel, linalg.expm(linalg.block_diag(*generators)), atol=1e-6)


def test_angles_are_uniform(array):
    kernel = array(BlockRotation(seed=2)((2000, 2000)))
    angles = np.arctan2(kernel.diagonal(1)[::2], kernel.diagonal()[::2])
    assert stats.kstest(angles, stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 1e-4


def test_norms_last_for_a_thousand_steps(array):
    """A relative error of 1e-7 per step may add up to 1e-4."""
    kernel = array(BlockRotation(seed=3)((64, 64)))
    state = np.random.default_rng(0).standard_normal(64)
    assert np.linalg.norm(state @ np.linalg.matrix_power(kernel, 1000)) == pytest.approx(
        np.linalg.norm(state), rel=1e-4
    )


@pytest.mark.parametrize(("layer", "gates"), [(keras.layers.LSTM, 4), (keras.layers.GRU, 3)])
@pytest.mark.parametrize("kind", [NormalizedPositive, BlockRotation])
def test_gates(array, layer, gates, kind):
    built = layer(6, recurrent_initializer=PerGate(kind(), gates, seed=1))
    built.build((None, 4, 5))
    blocks = np.split(array(built.cell.recurrent_kernel), gates, axis=1)
    for block in blocks:
        assert np.abs(np.linalg.eigvals(block)).max() == pytest.approx(1.0, abs=2e-6)
    assert len({block.tobytes() for block in blocks}) == gates


@pytest.mark.parametrize("kind", [NormalizedPositive, BlockRotation])
@pytest.mark.parametrize("shape", [(4, 16), (3, 4, 4)])
def test_other_kernels_are_refused(kind, shape):
    with pytest.raises(ValueError, match=rf"square matrix: {kind.__name__} .*PerGate\({kind.__name__}\(\)\) for LSTM"):
        kind()(shape)
