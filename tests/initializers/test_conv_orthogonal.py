"""ConvOrthogonal: singular values of the convolution, energy of its taps, and what other orthogonal kernels do."""

import keras
import numpy as np
import pytest

from keras_initkit.initializers import ConvOrthogonal, DeltaOrthogonal, Portable, ScaledOrthogonal
from keras_initkit.theory import convolution_singular_values

EXACT = 5e-6  # a dozen float32 products of matrices that are orthogonal to 1e-6


@pytest.mark.parametrize(
    ("window", "inputs", "outputs"),
    [
        ((2,), 4, 4),
        ((5,), 3, 7),
        ((4,), 7, 3),
        ((3, 3), 5, 8),
        ((3, 3), 8, 5),
        ((2, 5), 6, 6),
        ((1, 4), 1, 2),
        ((3, 3, 3), 4, 6),
        ((2, 1, 3), 5, 2),
    ],
    ids=str,
)
def test_all_singular_values_are_the_gain_on_images_of_any_size(array, window, inputs, outputs):
    kernel = array(ConvOrthogonal(gain=1.5, seed=1)((*window, inputs, outputs)))
    for added in (0, 1, 4):
        values = convolution_singular_values(kernel, [size + added for size in window])
        np.testing.assert_allclose(values, 1.5, rtol=EXACT)
    largest = np.abs(kernel).max(axis=(-1, -2))
    assert (largest > 1e-3).all(), "an empty tap"


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 6), (6, 3)])
def test_a_layer_on_an_image_with_circular_borders(array, inputs, outputs):
    """By a route without Fourier transforms: the layer keeps norms, or its transpose does, channel by channel."""
    layer = keras.layers.Conv2D(outputs, (3, 2), use_bias=False, kernel_initializer=ConvOrthogonal(seed=2))
    unit_images = np.eye(4 * 5 * inputs, dtype="float32").reshape(-1, 4, 5, inputs)
    wrapped = np.pad(unit_images, [(0, 0), (0, 2), (0, 1), (0, 0)], mode="wrap")
    matrix = array(layer(wrapped)).reshape(len(unit_images), -1)
    gram = matrix @ matrix.T if inputs < outputs else matrix.T @ matrix
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=EXACT)


def test_energy_is_spread_over_the_taps_as_the_ranks_say(array):
    """On average a projection of rank r in n dimensions keeps r / n of the energy; cross terms vanish as P(1 - P).

    So taps follow the product of one binomial distribution per axis for even n, and for n = 5 and ranks 3 and 2 the
    distribution 6/25, 13/25, 6/25. Means over 300 groups, within 5 standard errors.
    """
    groups = 300
    for inputs, per_group, expected in (
        (3, 4, np.outer([1, 2, 1], [1, 1]) / 8),
        (4, 2, np.outer([1, 2, 1], [1, 1]) / 8),
        (5, 5, np.outer([6, 13, 6], [3, 2]) / 125),
    ):
        kernel = array(ConvOrthogonal(groups=groups, seed=0)((3, 2, inputs, groups * per_group)))
        energy = np.square(kernel).reshape(3, 2, inputs, groups, per_group).sum(axis=(2, 4)) / min(inputs, per_group)
        error = energy.std(axis=-1) / np.sqrt(groups)
        assert (np.abs(energy.mean(axis=-1) - expected) < 5 * error).all()


@pytest.mark.parametrize(("window", "centre"), [((3, 3), (1, 1)), ((4,), (1,)), ((5, 2), (2, 0))])
def test_one_channel_allows_shifts_only(array, window, centre):
    kernel = array(ConvOrthogonal(groups=40, seed=0)((*window, 1, 40)))
    assert np.count_nonzero(kernel) == 40
    assert set(kernel[centre].ravel()) == {-1.0, 1.0}


@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(4, 12, 2), (6, 6, 3)])
def test_groups_are_orthogonal_each_and_differ(array, inputs, outputs, groups):
    layer = keras.layers.Conv1D(
        outputs, 3, groups=groups, padding="same", kernel_initializer=ConvOrthogonal(groups=groups, seed=0)
    )
    layer.build((None, 8, inputs))
    blocks = np.split(array(layer.kernel), groups, axis=-1)
    for block in blocks:
        np.testing.assert_allclose(convolution_singular_values(block, (6,)), 1.0, atol=EXACT)
    assert len({block.tobytes() for block in blocks}) == groups


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 6), (6, 3)])
def test_constant_images_see_the_orthogonal_matrix(array, inputs, outputs):
    """At frequency 0 each factor P + (1 - P) is the identity, so that the taps add up to Q, which is drawn first."""
    kernel = array(ConvOrthogonal(gain=2.0, seed=3)((3, 4, inputs, outputs))).sum(axis=(0, 1))
    first = array(ConvOrthogonal(gain=2.0, seed=3)((min(inputs, outputs), max(inputs, outputs))))
    np.testing.assert_allclose(kernel, first if inputs < outputs else first.T, atol=2 * EXACT)


def test_dense_kernels_are_those_of_the_delta_scheme(array):
    np.testing.assert_array_equal(array(ConvOrthogonal(seed=4)((5, 8))), array(DeltaOrthogonal(seed=4)((5, 8))))


def test_flattened_kernels_are_no_isometries_of_images(array):
    """Of 3 x 3 x 32 x 32 on 16 x 16 images the spectrum of Keras' Orthogonal goes from about 0.0025 to 1.92."""
    shape, size = (3, 3, 32, 32), (16, 16)
    for flattened in (keras.initializers.Orthogonal(seed=0), ScaledOrthogonal(seed=0)):
        values = convolution_singular_values(array(flattened(shape)), size)
        assert 0 < values.min() < 0.01
        assert 1.8 < values.max() < 2.05
    for exact, error in (
        (DeltaOrthogonal(seed=0), 1e-6),
        (Portable(ConvOrthogonal(), seed=0), 1e-6),
        (ConvOrthogonal(seed=0), EXACT),
    ):
        values = convolution_singular_values(array(exact(shape)), size)
        np.testing.assert_allclose(values, 1.0, atol=error)


def test_zero_padding_takes_norm_at_the_borders(array):
    """Of a 6 x 6 image 20 of 36 pixels lie at the border; the centre tap alone does not look beyond it."""
    x = np.random.default_rng(0).standard_normal((20, 6, 6, 4)).astype("float32")
    kept = []
    for initializer in (ConvOrthogonal(seed=0), DeltaOrthogonal(seed=0)):
        layer = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, kernel_initializer=initializer)
        kept.append(np.square(array(layer(x))).sum() / np.square(x).sum())
    assert kept[0] < 0.95
    assert kept[1] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: ConvOrthogonal(gain=0), "`gain` to be a finite number above 0"),
        (lambda: ConvOrthogonal(groups=0), "`groups` to be an integer of at least 1"),
        (lambda: ConvOrthogonal(groups=2)((3, 4, 5)), "divide the 5 output channels"),
        (lambda: ConvOrthogonal()((5,)), "not defined for vectors"),
    ],
)
def test_bad_arguments(build, text):
    with pytest.raises(ValueError, match=text):
        build()
