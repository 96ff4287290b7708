"""Bilinear enlarges as resizing does; ICNR repeats pixels through depth_to_space."""

from functools import partial

import keras
import numpy as np
import pytest

from keras_initkit.initializers import ICNR, Bilinear, ScaledOrthogonal

TRANSPOSED = {1: keras.layers.Conv1DTranspose, 2: keras.layers.Conv2DTranspose, 3: keras.layers.Conv3DTranspose}
CONVOLUTIONS = {1: keras.layers.Conv1D, 2: keras.layers.Conv2D, 3: keras.layers.Conv3D}


def upsampling(rank, strides, channels):
    window = 2 * strides - strides % 2
    return TRANSPOSED[rank](
        channels, window, strides=strides, padding="same", use_bias=False, kernel_initializer=Bilinear()
    )


def interpolated(x, strides):
    """Linear interpolation at pixel centres along every spatial axis, by NumPy."""
    for axis in range(1, x.ndim - 1):
        pixels = np.arange(x.shape[axis])
        points = (np.arange(len(pixels) * strides) + 0.5) / strides - 0.5
        x = np.apply_along_axis(partial(np.interp, points, pixels), axis, x)
    return x


def inner(x, strides):
    """Leave out the pixels that lean on padding."""
    return x[(slice(None), *(slice(strides, -strides) for _ in range(x.ndim - 2)), slice(None))]


@pytest.mark.parametrize("strides", [2, 3, 4])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_bilinear_layer_is_interpolation(array, rank, strides):
    x = np.random.default_rng(0).standard_normal((2, *(5, 4, 3)[:rank], 3)).astype("float32")
    found = array(upsampling(rank, strides, 3)(x))
    np.testing.assert_allclose(inner(found, strides), inner(interpolated(x, strides), strides), atol=1e-5)


@pytest.mark.parametrize("strides", [2, 3, 4])
def test_bilinear_layer_is_keras_resizing(array, strides):
    x = np.random.default_rng(1).standard_normal((2, 5, 6, 2)).astype("float32")
    size = (5 * strides, 6 * strides)
    expected = array(keras.ops.image.resize(x, size, interpolation="bilinear", data_format="channels_last"))
    np.testing.assert_allclose(inner(array(upsampling(2, strides, 2)(x)), strides), inner(expected, strides), atol=1e-5)
    constant = array(upsampling(2, strides, 2)(np.full_like(x, 1.5)))
    np.testing.assert_allclose(inner(constant, strides), 1.5, rtol=1e-6)


@pytest.mark.parametrize("strides", range(1, 9))
def test_bilinear_kernel_of_caffe_and_mxnet(array, strides):
    """Their formula, 1 - |x / f - c| with f = ceil(k / 2) and c = (2f - 1 - f mod 2) / (2f)."""
    window = 2 * strides - strides % 2
    f = -(-window // 2)
    c = (2 * f - 1 - f % 2) / (2 * f)
    line = 1 - np.abs(np.arange(window) / f - c)
    kernel = array(Bilinear()((window, window, 2, 2)))
    np.testing.assert_allclose(kernel[:, :, 0, 0], np.outer(line, line), rtol=1e-6)
    np.testing.assert_array_equal(kernel[:, :, 1, 1], kernel[:, :, 0, 0])
    assert not kernel[:, :, 0, 1].any()
    assert not kernel[:, :, 1, 0].any()


@pytest.mark.parametrize("window", range(1, 9))
def test_bilinear_kernel_is_symmetric_for_every_window(array, window):
    line = array(Bilinear()((window, 1, 1))).ravel()
    np.testing.assert_array_equal(line, line[::-1])
    assert line.min() > 0


def depth_to_space(x, scale):
    """Channel q = b · C + c goes to position b of the block of channel c, for any number of spatial axes."""
    batch, *spatial, channels = x.shape
    rank = len(spatial)
    x = x.reshape(batch, *spatial, *[scale] * rank, channels // scale**rank)
    pairs = [axis for i in range(rank) for axis in (1 + i, 1 + rank + i)]
    return x.transpose(0, *pairs, 2 * rank + 1).reshape(batch, *(size * scale for size in spatial), -1)


def nearest(x, scale):
    for axis in range(1, x.ndim - 1):
        x = np.repeat(x, scale, axis)
    return x


@pytest.mark.parametrize(("rank", "scale"), [(1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 2)])
def test_icnr_enlarges_by_nearest_neighbours(array, rank, scale):
    """The small layer has the wrapped scheme's values for its own shape."""
    channels = 3
    large = CONVOLUTIONS[rank](channels * scale**rank, 3, kernel_initializer=ICNR("he_normal", scale, seed=4))
    small = CONVOLUTIONS[rank](channels, 3, kernel_initializer=keras.initializers.HeNormal(seed=4))
    x = np.random.default_rng(0).standard_normal((2, *(6, 5, 4)[:rank], 4)).astype("float32")
    found, expected = depth_to_space(array(large(x)), scale), nearest(array(small(x)), scale)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.std() > 0.5


@pytest.mark.skipif(not hasattr(keras.ops, "depth_to_space"), reason="this version of Keras has no depth_to_space")
@pytest.mark.parametrize("scale", [2, 3])
def test_icnr_through_keras_depth_to_space(array, scale):
    layer = keras.layers.Conv2D(2 * scale**2, 3, kernel_initializer=ICNR(ScaledOrthogonal(), scale, seed=1))
    y = layer(np.random.default_rng(0).standard_normal((1, 5, 6, 3)).astype("float32"))
    assert_blocks_are_equal(array(keras.ops.depth_to_space(y, scale, data_format="channels_last")), scale)


def test_icnr_through_tensorflow_depth_to_space(array):
    tf = pytest.importorskip("tensorflow")
    layer = keras.layers.Conv2D(8, 3, kernel_initializer=ICNR("he_normal", 2, seed=1))
    y = array(layer(np.random.default_rng(0).standard_normal((1, 5, 6, 3)).astype("float32")))
    assert_blocks_are_equal(tf.nn.depth_to_space(y, 2).numpy(), 2)


def test_icnr_through_torch_pixel_shuffle(array):
    torch = pytest.importorskip("torch")
    layer = keras.layers.Conv2D(18, 3, kernel_initializer=ICNR("he_normal", 3, order="pixel_shuffle", seed=1))
    y = array(layer(np.random.default_rng(0).standard_normal((1, 5, 6, 3)).astype("float32")))
    shuffled = torch.nn.functional.pixel_shuffle(torch.tensor(y).permute(0, 3, 1, 2), 3)
    assert_blocks_are_equal(shuffled.permute(0, 2, 3, 1).numpy(), 3)


def assert_blocks_are_equal(image, scale):
    np.testing.assert_allclose(image, nearest(image[:, ::scale, ::scale], scale), atol=1e-6)
    assert np.ptp(image[:, ::scale, ::scale], axis=(1, 2)).min() > 0.1, "different blocks differ"


def test_icnr_orders_differ_only_in_the_order_of_channels(array):
    shape = (3, 3, 2, 12)
    spread = array(ICNR("he_normal", 2, seed=0)(shape))
    together = array(ICNR("he_normal", 2, order="pixel_shuffle", seed=0)(shape))
    np.testing.assert_array_equal(spread[..., [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]], together)


def test_icnr_units_separate_in_the_first_step(array):
    """Each of the equal filters answers for pixels of its own, whose errors differ."""
    layer = keras.layers.Conv2D(4, 3, kernel_initializer=ICNR("he_normal", 2, seed=1))
    inputs = keras.Input((8, 8, 2))
    model = keras.Model(inputs, keras.layers.Reshape((12, 12, 1))(layer(inputs)))
    assert len(np.unique(array(layer.kernel).reshape(-1, 4), axis=1).T) == 1
    model.compile("sgd", "mse")
    data = np.random.default_rng(0)
    model.fit(data.standard_normal((16, 8, 8, 2)), data.standard_normal((16, 12, 12, 1)), batch_size=16, verbose=0)
    assert len(np.unique(array(layer.kernel).reshape(-1, 4), axis=1).T) == 4


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Bilinear()((4, 4, 2, 3)), r"\(\*k, O, I\) with O = I.*from 3 to 2 channels. Change the number"),
        (lambda: Bilinear()((4, 4)), "at least 3 axes: Bilinear is not defined for 2 axes"),
        (lambda: Bilinear(input_axes=[0], output_axes=[1, 2])((4, 2, 2)), "needs spatial axes.*convolutions only"),
        (lambda: ICNR("zeros", 2)((3, 3, 4, 6)), "multiple of 4, .*Received: .*scale=2. Give the layer 4 times"),
        (lambda: ICNR("zeros", 3)((3, 4, 4)), "multiple of 3, .*of the 1 spatial axes"),
        (lambda: ICNR("zeros", 2)((4, 4)), "at least 3 axes"),
        (lambda: ICNR("zeros", 2, input_axes=[0], output_axes=[1, 2])((4, 2, 2)), "needs spatial axes"),
        (lambda: ICNR("zeros", 0), "`scale` to be an integer of at least 1"),
        (lambda: ICNR("zeros", 2.0), "`scale` to be an integer of at least 1"),
        (lambda: ICNR("zeros", 2, order="torch"), "`order` to be one of 'depth_to_space', 'pixel_shuffle'"),
        (lambda: ICNR(None, 2), "`initializer` to be an initializer"),
    ],
)
def test_bad_arguments(build, text):
    with pytest.raises(ValueError, match=text):
        build()
