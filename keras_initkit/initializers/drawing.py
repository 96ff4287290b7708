"""The random numbers of one call of an initializer: from Keras' backend, or the same on every backend."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops
from scipy import special

Array = Any  # a tensor of the backend, or a NumPy array

DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")  # in the words of Keras

_TRUNCATED_STD = 0.87962566103423978  # of N(0, 1) cut at 2 standard deviations

# Streams of an int seed: the numbers of further draws of one call must not meet those of wrappers.
_FURTHER_DRAW = 2**16


@dataclass(frozen=True)
class PortableSeed:
    """A seed whose numbers do not depend on the backend; `Portable` gives it to the initializer it wraps.

    Attributes:
        entropy: non-negative integers, all of which determine the numbers.
    """

    entropy: tuple[int, ...]


class Draws(Protocol):
    """Independent draws for one call, and the functions that process them at the same precision.

    `xp` is `keras.ops` for draws of the backend and `numpy` for portable ones. Schemes use what both call the same.
    """

    @property
    def xp(self) -> Any:
        """The functions that process what was drawn."""

    def normal(self, shape: Sequence[int]) -> Array:
        """Draw from N(0, 1)."""

    def truncated_normal(self, shape: Sequence[int]) -> Array:
        """Draw from N(0, 1) cut at 2 standard deviations; the variance of what is left is 0.774."""

    def uniform(self, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> Array:
        """Draw from U(low, high)."""

    def qr(self, matrices: Array) -> tuple[Array, Array]:
        """Return the reduced QR decompositions of matrices (B, R, C)."""


def draws(seed: Any, dtype: str) -> Draws:
    """Return the draws of one call: the first one is that of Keras with the same seed.

    Args:
        seed: an int, a `keras.random.SeedGenerator` or a `PortableSeed`.
        dtype: float32 or float64; portable draws are always float64.
    """
    return PortableDraws(seed) if isinstance(seed, PortableSeed) else BackendDraws(seed, dtype)


class BackendDraws:
    """Draws of `keras.random`."""

    xp = ops

    def __init__(self, seed: Any, dtype: str) -> None:
        self._seed, self._dtype, self._drawn = seed, dtype, 0

    def normal(self, shape: Sequence[int]) -> Array:
        """Draw from N(0, 1)."""
        return keras.random.normal(shape, dtype=self._dtype, seed=self._next_seed())

    def truncated_normal(self, shape: Sequence[int]) -> Array:
        """Draw from N(0, 1) cut at 2 standard deviations."""
        return keras.random.truncated_normal(shape, dtype=self._dtype, seed=self._next_seed())

    def uniform(self, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> Array:
        """Draw from U(low, high)."""
        return keras.random.uniform(shape, low, high, dtype=self._dtype, seed=self._next_seed())

    def qr(self, matrices: Array) -> tuple[Array, Array]:
        """Return the reduced QR decompositions of matrices (B, R, C)."""
        return ops.qr(matrices)

    def _next_seed(self) -> Any:
        self._drawn += 1
        return self._seed if self._drawn == 1 else derived_seed(self._seed, _FURTHER_DRAW + self._drawn)


class PortableDraws:
    """Draws from the Philox counter generator in float64.

    Only its raw 64-bit numbers are used, whose sequence NumPy guarantees; what `numpy.random.Generator` makes of them
    may change between versions. u = (r >> 11 + 1/2) / 2⁵³ is uniform, and the inverse of the normal distribution
    function makes it normal.
    """

    xp = np

    def __init__(self, seed: PortableSeed) -> None:
        self._bits = np.random.Philox(np.random.SeedSequence([len(seed.entropy), *seed.entropy]))

    def normal(self, shape: Sequence[int]) -> Array:
        """Draw from N(0, 1)."""
        return special.ndtri(self.uniform(shape))

    def truncated_normal(self, shape: Sequence[int]) -> Array:
        """Draw from N(0, 1) cut at 2 standard deviations."""
        return special.ndtri(self.uniform(shape, special.ndtr(-2.0), special.ndtr(2.0)))

    def uniform(self, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> Array:
        """Draw from U(low, high)."""
        raw = self._bits.random_raw(int(np.prod(shape, dtype=np.int64)))
        unit = (np.asarray(raw, np.uint64) >> np.uint64(11)).astype(np.float64)
        return low + (high - low) * ((unit + 0.5) * 2.0**-53).reshape(tuple(shape))

    def qr(self, matrices: Array) -> tuple[Array, Array]:
        """Return the reduced QR decompositions of matrices (B, R, C)."""
        q, r = np.linalg.qr(matrices)
        return q, r


def unit_draws(draws: Draws, distribution: str, shape: tuple[int, ...]) -> Array:
    """Draw numbers of mean 0 and variance 1 from one of `DISTRIBUTIONS`."""
    if distribution == "truncated_normal":
        return draws.truncated_normal(shape) / _TRUNCATED_STD
    if distribution == "untruncated_normal":
        return draws.normal(shape)
    return draws.uniform(shape, -math.sqrt(3.0), math.sqrt(3.0))


def derived_seed(seed: Any, *stream: int) -> Any:
    """Return the seed of a further, independent draw: mixed with the numbers of the stream, or the same generator.

    `SeedSequence` takes missing entropy for zeros, so the length of the stream is mixed in too.
    """
    if isinstance(seed, PortableSeed):
        return PortableSeed((*seed.entropy, *stream))
    if not isinstance(seed, int):
        return seed
    return int(np.random.SeedSequence([seed, len(stream), *stream]).generate_state(1)[0] >> 1)
