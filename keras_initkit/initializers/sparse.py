"""Random kernels in which most weights are zero."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_initkit._checks import check_integer, check_number, describe
from keras_initkit.initializers.base import KernelInitializer, Seed, Tensor, from_canonical
from keras_initkit.initializers.drawing import Array, Draws
from keras_initkit.theory.fans import KernelLayout


@keras.saving.register_keras_serializable(package="keras_initkit")
class Sparse(KernelInitializer):
    """A fixed number of random incoming weights per unit, all others zero.

    Each column j of the matrix (n_in, n_out) has exactly k = min(num_inputs, n_in) entries drawn from N(0, stddev²), in
    rows chosen uniformly without replacement, and zeros elsewhere. The input of a unit then has the variance
    k · stddev² for inputs of variance 1, whatever the width of the layer, and units are very unlike one another.

    A unit is an output: the last axis of a dense, recurrent or convolution kernel, whose n_in = ∏k · I rows are all
    taps of all input channels. In `EinsumDense` and attention, the flattened input and output axes count. For depthwise
    kernels, whose units see one channel each, write `Grouped(Sparse(...), "depthwise")`.

    `torch.nn.init.sparse_` counts zeros along the other axis of its (out, in) matrix: it fixes the number of units that
    an input reaches, and some units may get nothing at all.

    The paper uses 15 inputs and variance 1 with logistic units and biases of 0. A layer of fewer than `num_inputs`
    inputs is drawn dense.

    Example:
        >>> kernel = keras.ops.convert_to_numpy(Sparse(3, seed=0)((50, 4)))
        >>> print((kernel != 0).sum(axis=0))
        [3 3 3 3]

    Args:
        num_inputs: number of non-zero incoming weights of each unit, at least 1. Default 15, as in the paper.
        stddev: standard deviation of these weights, above 0. Default 1, as in the paper.
        seed: see `KernelInitializer`.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if `num_inputs` is no positive integer, `stddev` is not positive, or the shape has less than 2 axes.

    Reference:
        James Martens, "Deep learning via Hessian-free optimization", 2010,
        https://www.cs.toronto.edu/~jmartens/docs/Deep_HessianFree.pdf
    """

    def __init__(
        self,
        num_inputs: int = 15,
        stddev: float = 1.0,
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.num_inputs = check_integer("num_inputs", num_inputs, 1)
        self.stddev = check_number("stddev", stddev, minimum=0.0, exclusive=True)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        layout = self._layout(shape)
        draws = self._draws(dtype)
        weights = self.stddev * draws.normal(_matrices(layout))
        return from_canonical(_thinned(weights, self.num_inputs, draws), layout)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"num_inputs": self.num_inputs, "stddev": self.stddev, **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_initkit")
class SparseLecun(KernelInitializer):
    """LeCun-uniform weights of which a fixed fraction is zero in every unit.

    All weights are drawn from U(-1/sqrt(n_in), 1/sqrt(n_in)), where n_in counts all inputs of a unit, those with zero
    weight too; then ceil(sparsity · n_in) weights of each unit, chosen uniformly without replacement, become 0. At
    least one is left, so that no unit is dead; the paper's rule would leave none for n_in < 1 / (1 - sparsity).

    It is made for learning from one sample at a time, where sparse units interfere less with one another. The variance
    that a unit passes on is only (1 - sparsity) / 3 of that of its inputs, so the paper normalises pre-activations by
    layer normalisation. The bound is the one known as LeCun's in the paper; Keras' `LecunUniform` means variance 1 /
    n_in and has the bound sqrt(3 / n_in).

    Units and axes are those of `Sparse`.

    Example:
        >>> kernel = keras.ops.convert_to_numpy(SparseLecun(seed=0)((50, 4)))
        >>> print((kernel != 0).sum(axis=0), bool(abs(kernel).max() <= 50**-0.5))
        [5 5 5 5] True

    Args:
        sparsity: fraction of zeros, at least 0 and below 1. Default 0.9, as in the paper.
        seed: see `KernelInitializer`.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if `sparsity` is out of range, or the shape has less than 2 axes.

    Reference:
        Mohamed Elsayed, Gautham Vasan, A. Rupam Mahmood, "Streaming Deep Reinforcement Learning Finally Works", 2024,
        https://arxiv.org/abs/2410.14606
    """

    def __init__(
        self,
        sparsity: float = 0.9,
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.sparsity = check_number("sparsity", sparsity, minimum=0.0)
        if self.sparsity >= 1.0:
            raise ValueError(
                "Expected `sparsity` to be a fraction of at least 0 and below 1, so that each unit keeps a weight. "
                f"Received: sparsity={describe(sparsity)}. For per cent divide by 100; for no weights use 'zeros'."
            )

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        layout = self._layout(shape)
        draws = self._draws(dtype)
        blocks, rows, columns = _matrices(layout)
        bound = 1.0 / math.sqrt(rows)
        zeros = math.ceil(self.sparsity * rows - 1e-9)  # 0.56 · 100 is 56, not a rounding error more
        weights = draws.uniform((blocks, rows, columns), -bound, bound)
        return from_canonical(_thinned(weights, max(1, rows - zeros), draws), layout)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"sparsity": self.sparsity, **super().get_config()}


def _matrices(layout: KernelLayout) -> tuple[int, int, int]:
    """Return the shape (B, n_in, n_out) of a kernel whose taps count as inputs."""
    return layout.blocks, math.prod(layout.spatial) * layout.inputs, layout.outputs


def _thinned(weights: Array, kept: int, draws: Draws) -> Array:
    """Set all but `kept` weights of each column to zero, each choice equally likely.

    The order of uniform numbers is a random permutation, and so has `kept` entries below `kept` at random places.
    Comparing the numbers with a threshold would keep one too many wherever two of them are equal, as in float32.
    """
    if kept >= weights.shape[-2]:
        return weights
    xp = draws.xp
    order = xp.argsort(draws.uniform(weights.shape), axis=-2)
    return xp.where(order < kept, weights, xp.zeros_like(weights))
