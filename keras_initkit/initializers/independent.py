"""Many independent draws of one initializer for one shape, in as few calls as its scheme allows."""

import math
from typing import Any

import numpy as np
from keras import initializers, ops

from keras_initkit.initializers.base import CheckedInitializer, KernelInitializer, Seed, Tensor
from keras_initkit.initializers.conv_orthogonal import ConvolutionIsometry
from keras_initkit.initializers.drawing import PortableSeed, derived_seed, draws, unit_draws
from keras_initkit.initializers.haar import haar
from keras_initkit.initializers.keras_draws import keras_fans, keras_variance, portable_values
from keras_initkit.initializers.orthogonal import ScaledOrthogonal
from keras_initkit.initializers.scaled import Scaled
from keras_initkit.initializers.seeding import redrawn
from keras_initkit.initializers.sparse import Sparse, SparseLecun
from keras_initkit.initializers.transformer import DepthScaled
from keras_initkit.initializers.variance import VarianceKernel
from keras_initkit.initializers.wrapping import WrapperInitializer
from keras_initkit.theory.fans import fans

_BLOCK = 2**17  # first number of the streams of block seeds: those of other wrappers and of further draws are smaller

_FLATTENING = (ScaledOrthogonal, Sparse, SparseLecun)  # read a convolution kernel as the matrix (∏k · I, O)
_SHAPELESS = tuple(
    getattr(initializers, name).__call__ for name in ("RandomNormal", "RandomUniform", "TruncatedNormal")
)


def independent_draws(initializer: Any, count: int, shape: tuple[int, ...], dtype: str, seed: Seed) -> Tensor:
    """Return `count` independent draws of an initializer, stacked to the shape (count, *shape).

    A call costs a millisecond on some backends, so a thousand channels must not be a thousand calls. Schemes of
    independent weights draw all at once, with the variance of one block; matrices that are orthogonal or sparse are
    drawn as a batch; what takes no seed is drawn once and repeated. The rest is called `count` times.

    Args:
        initializer: an initializer or another function of shape and dtype.
        count: number of draws, at least 1.
        shape: the shape of one draw, none of its axes empty.
        dtype: float32 or float64.
        seed: the seed of all draws. A single draw has the values of the initializer with this seed.
    """
    if isinstance(initializer, (Scaled, DepthScaled)):
        factor = initializer.gain if isinstance(initializer, Scaled) else initializer.factor
        return factor * independent_draws(initializer.initializer, count, shape, dtype, seed)
    if count == 1:
        return ops.expand_dims(_one(initializer, shape, dtype, seed), 0)
    if isinstance(initializer, CheckedInitializer) and not initializer.seeded:
        return ops.broadcast_to(ops.expand_dims(initializer(shape, dtype=dtype), 0), (count, *shape))
    if getattr(initializer, "input_axes", None) is None:
        at_once = _at_once(initializer, count, shape, dtype, seed)
        if at_once is not None:
            return ops.cast(at_once.astype(dtype) if isinstance(at_once, np.ndarray) else at_once, dtype)
    seeds = (derived_seed(seed, _BLOCK, number) for number in range(count))
    return ops.stack([_one(initializer, shape, dtype, each) for each in seeds])


def _one(initializer: Any, shape: tuple[int, ...], dtype: str, seed: Seed) -> Tensor:
    if isinstance(seed, PortableSeed) and not isinstance(initializer, CheckedInitializer):
        return portable_values(initializer, shape, dtype, seed)
    return redrawn(initializer, seed=seed)(shape, dtype=dtype)


def _at_once(initializer: Any, count: int, shape: tuple[int, ...], dtype: str, seed: Seed) -> Any:
    """Return all draws, from one call, or None where the scheme is not known to allow that."""
    method = type(initializer).__call__
    whole = (count, *shape)
    if method in _SHAPELESS:
        return _one(initializer, whole, dtype, seed)
    variance = _weight_variance(initializer, shape)
    if variance is not None:
        return math.sqrt(variance) * unit_draws(draws(seed, dtype), initializer.distribution, whole)
    if len(shape) < 2:
        return None
    if method is initializers.Orthogonal.__call__:
        drawn = draws(seed, dtype)
        return initializer.gain * drawn.xp.reshape(haar(count, math.prod(shape[:-1]), shape[-1], drawn), whole)
    if isinstance(initializer, ConvolutionIsometry) and initializer.groups == 1:
        beside = redrawn(initializer, seed=seed, groups=count)((*shape[:-1], count * shape[-1]), dtype=dtype)
        return ops.moveaxis(ops.reshape(beside, (*shape[:-1], count, shape[-1])), -2, 0)
    matrix = isinstance(initializer, KernelInitializer) and not isinstance(initializer, WrapperInitializer)
    if matrix and len(shape) >= initializer.minimum_rank and (len(shape) == 2 or isinstance(initializer, _FLATTENING)):
        axes = {"input_axes": list(range(1, len(shape))), "output_axes": [len(shape)]}
        return redrawn(initializer, seed=seed, **axes)(whole, dtype=dtype)
    return None


def _weight_variance(initializer: Any, shape: tuple[int, ...]) -> float | None:
    """Return the variance of independent weights in a kernel of this shape, None for any other scheme."""
    kind = type(initializer)
    if isinstance(initializer, VarianceKernel) and kind._values is VarianceKernel._values:
        return initializer.variance(*fans(shape))
    if kind.__call__ is initializers.VarianceScaling.__call__:
        return keras_variance(initializer, *keras_fans(initializer, shape))
    return None
