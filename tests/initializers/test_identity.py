"""Dirac and ZerO: the layer is the identity, the matrix is Hadamard's."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard

from keras_initkit.initializers import Dirac, ZerO

CONVOLUTIONS = {1: keras.layers.Conv1D, 2: keras.layers.Conv2D, 3: keras.layers.Conv3D}


@pytest.mark.parametrize("window", [(1,), (2,), (3,), (4,), (5,), (2, 3), (4, 4), (3, 2, 1)], ids=str)
@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(4, 4, 1), (3, 5, 1), (5, 3, 1), (4, 8, 2), (6, 3, 3)])
def test_dirac_convolution_passes_its_input(array, window, inputs, outputs, groups):
    layer = CONVOLUTIONS[len(window)](
        outputs, window, padding="same", groups=groups, kernel_initializer=Dirac(groups=groups)
    )
    x = np.random.default_rng(0).standard_normal((2, *(6 for _ in window), inputs)).astype("float32")
    y = array(layer(x))
    per_input, per_output = inputs // groups, outputs // groups
    kept = min(per_input, per_output)
    for group in range(groups):
        block = y[..., group * per_output : (group + 1) * per_output]
        np.testing.assert_array_equal(block[..., :kept], x[..., group * per_input :][..., :kept])
        assert not block[..., kept:].any()
    kernel = array(layer.kernel)
    assert np.count_nonzero(kernel) == groups * kept


def test_dirac_dense_is_the_identity(array):
    np.testing.assert_array_equal(array(Dirac()((4, 6))), np.eye(4, 6))


def test_dirac_groups_must_divide_the_outputs():
    with pytest.raises(ValueError, match=r"divide the 5 output channels. Received: groups=2"):
        Dirac(groups=2)((3, 4, 5))
    with pytest.raises(ValueError, match="`groups` to be an integer of at least 1"):
        Dirac(groups=0)


def oracle_zero(inputs, outputs, factor):
    if outputs <= inputs:
        return np.eye(inputs, outputs)
    size = 2 ** math.ceil(math.log2(outputs))
    return factor(size) * hadamard(size)[:inputs, :outputs]


@settings(deadline=None, max_examples=60)
@given(inputs=st.integers(1, 40), outputs=st.integers(1, 140))
def test_zero_is_the_hadamard_corner(inputs, outputs):
    kernel = np.asarray(keras.ops.convert_to_numpy(ZerO()((inputs, outputs))))
    expected = oracle_zero(inputs, outputs, lambda size: size**-0.5).astype("float32")
    np.testing.assert_array_equal(kernel, expected)
    assert np.linalg.matrix_rank(kernel) == min(inputs, outputs)
    distinct = len(np.unique(kernel, axis=1).T)
    if outputs > inputs:
        assert distinct == min(outputs, 2 ** math.ceil(math.log2(inputs)))
        assert np.count_nonzero(kernel) == inputs * outputs
    else:
        assert distinct == outputs
        assert np.count_nonzero(kernel) == outputs


def test_zero_keeps_norms_where_the_width_is_a_power_of_two(array):
    kernel = array(ZerO()((24, 64)))
    np.testing.assert_allclose(np.linalg.svd(kernel, compute_uv=False), 1.0, atol=1e-6)
    kernel = array(ZerO()((129, 130)))
    assert np.linalg.svd(kernel, compute_uv=False).min() == pytest.approx(1 / 16 * math.sqrt(2), rel=1e-4)


def test_zero_as_the_paper_prints_it(array):
    np.testing.assert_allclose(array(ZerO("paper")((3, 12))), oracle_zero(3, 12, lambda size: (size / 2) ** -0.5))
    with pytest.raises(ValueError, match="`scaling` to be one of 'code', 'paper'"):
        ZerO("papers")


@pytest.mark.parametrize("window", [(2,), (3, 3), (4, 3), (2, 1, 5)], ids=str)
def test_zero_convolution_has_only_a_centre_tap(array, window):
    kernel = array(ZerO()((*window, 3, 8)))
    centre = tuple((size - 1) // 2 for size in window)
    np.testing.assert_array_equal(kernel[centre], array(ZerO()((3, 8))))
    assert np.count_nonzero(kernel) == 24


def test_zero_trains_without_random_numbers():
    """The digits of scikit-learn, one hidden layer: within 0.05 of He's final loss."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32")
    losses = []
    for initializer in (ZerO(), keras.initializers.HeNormal(seed=1)):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.layers.Dense(96, "relu", kernel_initializer=initializer),
                keras.layers.Dense(10, kernel_initializer=initializer),
            ]
        )
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.optimizer.learning_rate = 0.1
        losses.append(model.fit(x, y, batch_size=64, epochs=10, verbose=0).history["loss"][-1])
    assert losses[0] < losses[1] + 0.05
