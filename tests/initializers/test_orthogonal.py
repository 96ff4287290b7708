"""ScaledOrthogonal and DeltaOrthogonal: singular values, Haar measure, isometry of the convolution."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_initkit.initializers import DeltaOrthogonal, ScaledOrthogonal
from keras_initkit.theory import convolution_singular_values, gain

EXACT = 2e-6  # float32 QR of matrices up to 150 wide


@settings(deadline=None, max_examples=40)
@given(
    window=st.lists(st.integers(1, 3), max_size=2),
    inputs=st.integers(1, 20),
    outputs=st.integers(1, 40),
    factor=st.floats(0.1, 10),
    seed=st.integers(0, 2**31),
)
def test_singular_values_of_the_flattened_kernel(window, inputs, outputs, factor, seed):
    kernel = np.asarray(
        keras.ops.convert_to_numpy(ScaledOrthogonal(gain=factor, seed=seed)((*window, inputs, outputs)))
    )
    rows = math.prod(window) * inputs
    expected = factor * max(1.0, math.sqrt(outputs / rows))
    values = np.linalg.svd(kernel.reshape(rows, outputs).astype("float64"), compute_uv=False)
    np.testing.assert_allclose(values, expected, rtol=5 * EXACT)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "selu", keras.activations.relu, keras.activations.silu])
def test_activation_multiplies_by_its_forward_gain(array, activation):
    name = activation if isinstance(activation, str) else activation.__name__
    initializer = ScaledOrthogonal(activation, gain=0.5, seed=3)
    assert initializer.get_config()["activation"] == name
    plain = array(ScaledOrthogonal(seed=3)((7, 9)))
    np.testing.assert_allclose(array(initializer((7, 9))), 0.5 * gain(name) * plain, rtol=1e-6)


@pytest.mark.parametrize("name", ["relu", "tanh", "silu"])
def test_signals_keep_their_size_through_layers_of_changing_width(array, name):
    """After 4 layers the second moment is still 1.

    The mean of relu outputs is one direction that holds a third of the signal, so the 250 units of the narrow layer see
    it with an error of sqrt(2 / 250) / 3 = 3 %, and silu amplifies errors; a missing factor would cost a third or more.
    """
    f = getattr(keras.activations, name)
    h = np.random.default_rng(0).standard_normal((400, 300))
    for depth, (inputs, outputs) in enumerate([(300, 500), (500, 250), (250, 600), (600, 500)]):
        x = np.asarray(keras.ops.convert_to_numpy(f(h))) if depth else h
        h = x @ array(ScaledOrthogonal(name if depth else None, seed=depth)((inputs, outputs)))
    assert np.mean(h**2) == pytest.approx(1.0, abs=0.15)


def test_haar_measure(array):
    """Over n draws of 3 x 3: mean entries 0, mean squares 1/3, both signs of the determinant (5 standard errors).

    Without the sign correction LAPACK's Householder QR gives determinants of one sign only.
    """
    n = 600
    draws = np.stack([array(ScaledOrthogonal(seed=seed)((3, 3))) for seed in range(n)])
    assert np.abs(draws.mean(axis=0)).max() < 5 * math.sqrt(1 / 3 / n)
    fourth = 3 / (3 * 5)  # E q⁴ = 3 / (d (d + 2)) on the sphere
    assert np.abs(np.square(draws).mean(axis=0) - 1 / 3).max() < 5 * math.sqrt((fourth - 1 / 9) / n)
    assert abs(np.linalg.det(draws).mean()) < 5 / math.sqrt(n)


def test_leftover_axes_are_independent_matrices(array):
    kernel = array(ScaledOrthogonal(seed=0, input_axes=[1], output_axes=[2])((3, 6, 4)))
    for block in kernel:
        np.testing.assert_allclose(block.T @ block, np.eye(4), atol=EXACT)
    assert not np.allclose(kernel[0], kernel[1])


@pytest.mark.usefixtures("keras_passes_axes")
@pytest.mark.parametrize("kind", [ScaledOrthogonal, DeltaOrthogonal])
def test_attention_kernels_are_orthogonal_as_matrices(array, kind):
    x = np.ones((1, 3, 32), "float32")
    layer = keras.layers.MultiHeadAttention(4, 8, kernel_initializer=kind(seed=1))
    layer(x, x)
    query, output = array(layer.query_dense.kernel), array(layer.output_dense.kernel)
    assert (query.shape, output.shape) == ((32, 4, 8), (4, 8, 32))
    for matrix in (query.reshape(32, 32), output.reshape(32, 32)):
        np.testing.assert_allclose(np.linalg.svd(matrix, compute_uv=False), 1.0, atol=5 * EXACT)


@pytest.mark.parametrize("window", [(3,), (2,), (4, 3), (2, 2), (3, 2, 2), ()], ids=str)
@pytest.mark.parametrize(("inputs", "outputs"), [(4, 4), (3, 7), (7, 3)])
def test_delta_orthogonal_is_an_isometry(array, window, inputs, outputs):
    kernel = array(DeltaOrthogonal(gain=1.5, seed=2)((*window, inputs, outputs)))
    assert np.count_nonzero(kernel) == inputs * outputs
    values = convolution_singular_values(kernel, [5 for _ in window])
    np.testing.assert_allclose(values, 1.5, rtol=5 * EXACT)


@pytest.mark.parametrize("window", [2, 3, 4])
def test_delta_orthogonal_keeps_norms_with_zero_padding(array, window):
    layer = keras.layers.Conv2D(8, window, padding="same", use_bias=False, kernel_initializer=DeltaOrthogonal(seed=0))
    x = np.random.default_rng(0).standard_normal((5, 6, 6, 3)).astype("float32")
    axes = (1, 2, 3)
    np.testing.assert_allclose(np.square(array(layer(x))).sum(axes), np.square(x).sum(axes), rtol=1e-5)


@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(6, 6, 3), (6, 12, 2), (12, 4, 2), (5, 5, 5)])
def test_delta_orthogonal_groups_are_orthogonal_each(array, inputs, outputs, groups):
    layer = keras.layers.Conv1D(
        outputs, 3, groups=groups, padding="same", kernel_initializer=DeltaOrthogonal(groups=groups, seed=0)
    )
    layer.build((None, 8, inputs))
    tap = array(layer.kernel)[1]
    blocks = np.split(tap, groups, axis=1)
    for block in blocks:
        np.testing.assert_allclose(np.linalg.svd(block, compute_uv=False), 1.0, atol=5 * EXACT)
    assert len({block.tobytes() for block in blocks}) > 1


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: ScaledOrthogonal("rellu"), "Did you mean 'relu'"),
        (lambda: ScaledOrthogonal(keras.activations.softmax), "`activation` to be elementwise"),
        (lambda: ScaledOrthogonal("relu", activation_gain=0.0), "`activation_gain` to be a finite number above 0"),
        (lambda: ScaledOrthogonal(activation_gain=2.0), "`activation` with `activation_gain`"),
        (lambda: ScaledOrthogonal(gain=0), "`gain` to be a finite number above 0"),
        (lambda: DeltaOrthogonal(gain=math.nan), "`gain` to be a finite number above 0"),
        (lambda: DeltaOrthogonal(groups=1.5), "`groups` to be an integer of at least 1"),
        (lambda: DeltaOrthogonal(groups=2)((3, 4, 5)), "divide the 5 output channels"),
    ],
)
def test_bad_arguments(build, text):
    with pytest.raises(ValueError, match=text):
        build()
