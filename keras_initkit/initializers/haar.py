"""Random matrices with orthonormal columns or rows, uniform over all such matrices."""

from typing import Any

import keras
import numpy as np

from keras_initkit.initializers.drawing import Draws
from keras_initkit.initializers.precision import cast, exact_products

Tensor = Any

# From this many rows on, and four times as many rows as columns, a Gaussian matrix is safely far from singular: its
# condition number is close to (1 + sqrt(C / R)) / (1 - sqrt(C / R)) <= 3.
_MANY_ROWS, _TALL = 256, 4

# Tall matrices are multiplied piece by piece, so that intermediate results stay small.
_PIECES, _ROWS_OF_A_PIECE = 16, 4096  # at most so many, and at least so many rows each


def haar(blocks: int, rows: int, columns: int, draws: Draws) -> Tensor:
    """Draw matrices with orthonormal columns, or rows where there are fewer of them, uniformly.

    Let X be the Gaussian matrix with the longer side as rows, and X = QR with orthonormal columns of Q and R upper
    triangular. R is unique only up to the signs of its diagonal; making them positive makes Q a function of X alone
    and hence, like X, invariant under rotations. There are two ways to the same Q:

    - Householder reflections, whose R has arbitrary signs; the columns of Q are multiplied by them;
    - for tall X, Q = X R⁻¹ with the Cholesky factor R of XᵀX, whose diagonal is positive. This takes matrix products
      and little memory. Rounding errors grow with the square of the condition number of X, which is small there.

    Args:
        blocks: number B of independent matrices.
        rows: number of rows R.
        columns: number of columns C.
        draws: where the Gaussian matrix comes from.

    Returns:
        Tensor or array of shape (B, R, C), of the dtype of the draws.
    """
    xp = draws.xp
    long, short = max(rows, columns), min(rows, columns)
    gaussian = _gaussian(blocks, long, short, draws)
    with exact_products(gaussian) as dtype:
        tall = long >= max(_MANY_ROWS, _TALL * short)
        q = _by_cholesky(gaussian, dtype, xp) if tall else _by_householder(gaussian, dtype, draws)
    return xp.transpose(q, (0, 2, 1)) if rows < columns else q


def _gaussian(blocks: int, rows: int, columns: int, draws: Draws) -> Tensor:
    """Draw from N(0, 1); portable numbers piece by piece, since making them takes several arrays of float64.

    The stream of portable numbers goes on from draw to draw, so that the pieces are those of one large draw.
    """
    if draws.xp is not np:
        return draws.normal((blocks, rows, columns))
    values = np.empty((blocks * rows, columns))
    for piece in _pieces(blocks * rows):
        values[piece] = draws.normal(values[piece].shape)
    return values.reshape(blocks, rows, columns)


def _by_householder(gaussian: Tensor, dtype: str, draws: Draws) -> Tensor:
    xp = draws.xp
    q, r = draws.qr(cast(gaussian, dtype))
    diagonal = xp.diagonal(r, axis1=-2, axis2=-1)
    signs = xp.where(diagonal < 0, xp.full_like(diagonal, -1.0), xp.ones_like(diagonal))
    return cast(q * xp.expand_dims(signs, axis=-2), gaussian.dtype)


def _by_cholesky(gaussian: Tensor, dtype: str, xp: Any) -> Tensor:
    pieces = _pieces(gaussian.shape[1])
    gram: Any = 0.0
    for piece in pieces:
        part = cast(gaussian[:, piece], dtype)
        gram = gram + xp.matmul(xp.transpose(part, (0, 2, 1)), part)
    inverse = xp.transpose(xp.linalg.inv(xp.linalg.cholesky(gram)), (0, 2, 1))
    if isinstance(gaussian, np.ndarray):
        for piece in pieces:
            gaussian[:, piece] = gaussian[:, piece] @ inverse
        return gaussian
    if keras.backend.standardize_dtype(gaussian.dtype) == dtype:
        return xp.matmul(gaussian, inverse)
    parts = [cast(xp.matmul(cast(gaussian[:, piece], dtype), inverse), gaussian.dtype) for piece in pieces]
    return xp.concatenate(parts, axis=1)


def _pieces(rows: int) -> list[slice]:
    step = max(_ROWS_OF_A_PIECE, -(-rows // _PIECES))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
