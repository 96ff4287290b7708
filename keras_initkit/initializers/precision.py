"""Matrix products at full precision on every backend."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any


@contextmanager
def exact_products(values: Tensor) -> Iterator[str]:
    """Keep accelerators from rounding the factors of matrix products to 8 or 11 bits, as they do by default.

    Args:
        values: the tensor or array of float32 or float64 to be multiplied.

    Yields:
        The dtype to convert it to before: float64 where it has that already, and on TensorFlow, which rounds float32
        and has no switch for single products.
    """
    backend = keras.backend.backend()
    if keras.backend.standardize_dtype(values.dtype) == "float64" or backend == "tensorflow":
        yield "float64"
    elif backend == "jax":
        import jax

        with jax.default_matmul_precision("highest"):
            yield "float32"
    elif backend == "torch":
        import torch

        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield "float32"
        finally:
            torch.set_float32_matmul_precision(before)
    else:
        yield "float32"


def cast(values: Tensor, dtype: Any) -> Tensor:
    """Return a tensor or an array at another dtype."""
    return values.astype(dtype, copy=False) if isinstance(values, np.ndarray) else ops.cast(values, dtype)


def constant(values: np.ndarray, like: Tensor) -> Tensor:
    """Return an array as what `like` is: a tensor of that dtype, or an array."""
    return values if isinstance(like, np.ndarray) else ops.convert_to_tensor(values, dtype=like.dtype)
