"""Gabor: filters that answer to their own direction and wavelength, judged by their Fourier transforms."""

import keras
import numpy as np
import pytest

from keras_initkit.initializers import Gabor

SIZE = 512  # of the transforms: steps of 1 / 512 cycles per pixel


def filters_of(shape, **arguments):
    return np.asarray(keras.ops.convert_to_numpy(Gabor(**arguments)(shape)), dtype=np.float64)


def peak(image):
    """Return the direction in [0, π) and the frequency at which a filter answers most."""
    spectrum = np.abs(np.fft.fft2(image, (SIZE, SIZE)))[:, : SIZE // 2]
    down, right = np.unravel_index(spectrum.argmax(), spectrum.shape)
    down = np.fft.fftfreq(SIZE)[down]
    right = right / SIZE
    return np.arctan2(down, right) % np.pi, np.hypot(down, right)


@pytest.mark.parametrize("orientations", [4, 6])
def test_peaks_lie_where_orientation_and_wavelength_say(orientations):
    """In a window that holds 2 periods or more, the peak is within 3 degrees and 7 % of the stated place.

    Steps of the transform are 1 / 512, at most 2 % of the lowest of these frequencies; the cut of the envelope at the
    window's border moves the peaks of long waves by the rest.
    """
    window, waves = 31, 4
    kernel = filters_of((window, window, 1, 2 * orientations * waves), orientations=orientations)
    for unit in range(2 * orientations * waves):
        step = unit // (2 * orientations)
        wavelength = 3 * ((window + 1) / 3) ** ((step + 0.5) / waves)
        if wavelength > window / 2:
            continue
        direction, frequency = peak(kernel[:, :, 0, unit])
        turn = (direction - np.pi / orientations * (unit % orientations) + np.pi / 2) % np.pi - np.pi / 2
        assert abs(turn) < np.radians(3), unit
        assert frequency * wavelength == pytest.approx(1, abs=0.07), unit


def test_phases_are_lines_and_edges():
    """Even filters equal their reflection at the centre, odd ones change sign."""
    kernel = filters_of((7, 8, 1, 16), orientations=4)[:, :, 0]
    reflected = kernel[::-1, ::-1]
    for unit in range(16):
        sign = -1 if unit // 4 % 2 else 1
        np.testing.assert_allclose(reflected[..., unit], sign * kernel[..., unit], atol=1e-6)


def test_bandwidth_in_octaves():
    """Half of the peak's height is reached at two frequencies, `bandwidth` octaves apart."""
    for octaves in (0.8, 1.0, 1.5):
        line = filters_of((101, 101, 1, 8), orientations=4, bandwidth=octaves)[:, :, 0, 0]
        spectrum = np.abs(np.fft.rfft(line.sum(axis=0), 8192))
        above = np.flatnonzero(spectrum > spectrum.max() / 2)
        assert np.log2(above[-1] / above[0]) == pytest.approx(octaves, abs=0.08)


def test_aspect_makes_filters_longer_along_their_lines():
    kernel = filters_of((41, 41, 1, 1), aspect=0.5)[:, :, 0, 0] ** 2
    position = np.arange(41) - 20
    across = (kernel.sum(axis=0) * position**2).sum() / kernel.sum()
    along = (kernel.sum(axis=1) * position**2).sum() / kernel.sum()
    assert np.sqrt(along / across) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("shape", [(3, 3, 1, 16), (4, 9, 2, 16), (5, 7, 3, 33), (8, 8, 2, 64), (11, 11, 3, 1)], ids=str)
def test_zero_sum_norm_and_distinct_units(shape):
    kernel = filters_of(shape, gain=1.5).reshape(-1, shape[-1])
    assert np.abs(kernel.sum(axis=0)).max() < 1e-5
    np.testing.assert_allclose(np.linalg.norm(kernel, axis=0), 1.5, rtol=1e-6)
    cosines = np.abs(kernel.T @ kernel) / 1.5**2 - np.eye(shape[-1])
    assert cosines.max() < 0.97, "two units are nearly equal or opposite"


def test_all_channels_alike():
    kernel = filters_of((5, 5, 3, 8))
    np.testing.assert_array_equal(kernel, np.repeat(kernel[:, :, :1], 3, axis=2))


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Gabor()((2, 3, 1, 8)), "window of at least 3 × 3.*Received: shape=.2, 3, 1, 8.*use DCT"),
        (lambda: Gabor()((3, 3, 3, 1, 8)), "the kernel of a Conv2D"),
        (lambda: Gabor()((3, 5, 1, 17)), "at most 2 · `orientations` = 16 filters.*larger window or orientations=9"),
        (lambda: Gabor()((3, 1, 8)), "at least 4 axes: Gabor is not defined for 3 axes"),
        (lambda: Gabor(input_axes=[0], output_axes=[1, 2, 3])((3, 3, 1, 8)), "needs spatial axes"),
        (lambda: Gabor(orientations=0), "`orientations` to be an integer of at least 1"),
        (lambda: Gabor(bandwidth=0), "`bandwidth` to be a finite number above 0"),
        (lambda: Gabor(aspect=-1), "`aspect` to be a finite number above 0"),
        (lambda: Gabor(gain=0), "`gain` to be a finite number above 0"),
    ],
)
def test_bad_arguments(build, text):
    with pytest.raises(ValueError, match=text):
        build()
