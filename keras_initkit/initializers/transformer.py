"""Weights of transformers, scaled by the width of the model and by depth."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_initkit._checks import check_choice, check_integer
from keras_initkit.initializers.base import Seed, Tensor
from keras_initkit.initializers.drawing import DISTRIBUTIONS
from keras_initkit.initializers.variance import VarianceKernel
from keras_initkit.initializers.wrapping import Axes, WrapperInitializer
from keras_initkit.theory.depth import depth_factor


class _ModelWidth(VarianceKernel):
    """Base class: the variance depends on the width d of the model, which is read from the shape or given."""

    def __init__(
        self,
        width: int | None = None,
        distribution: str = "untruncated_normal",
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.width = None if width is None else check_integer("width", width, 1)
        self.distribution = check_choice("distribution", distribution, DISTRIBUTIONS)

    def _width(self, fan_in: float, fan_out: float) -> float:
        return min(fan_in, fan_out) if self.width is None else self.width

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"width": self.width, "distribution": self.distribution, **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_initkit")
class SmallInit(_ModelWidth):
    """Small weights for all kernels of a transformer.

    W ~ N(0, 2 / (5 d)), where d is the width of the model: the variance that Glorot's scheme gives to a feed-forward
    kernel (d, 4 d), used for attention kernels (d, d) too, where Glorot's is 2.5 times as large. GPT-NeoX draws
    embeddings and all kernels that do not end a residual branch this way, and those that do with `WangInit`.

    Example:
        >>> kernel = SmallInit(seed=0)((250, 1000))
        >>> print(f"{keras.ops.convert_to_numpy(kernel).std():.3f}")
        0.040

    Args:
        width: d, at least 1. None (default) takes the smaller fan, which is d for the kernels (d, d), (d, 4 d) and
            (4 d, d) and for embeddings (V, d); give it where heads or experts are narrower.
        distribution: one of `"untruncated_normal"` (default, as in the paper), `"truncated_normal"`, `"uniform"`.
        seed: see `KernelInitializer`.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if an argument is none of these, or the shape has less than 2 axes.

    Reference:
        Toan Q. Nguyen, Julian Salazar, "Transformers without Tears: Improving the Normalization of Self-Attention",
        2019, https://arxiv.org/abs/1910.05895
    """

    def variance(self, fan_in: float, fan_out: float) -> float:
        """Return 2 / (5 d)."""
        return 0.4 / self._width(fan_in, fan_out)


@keras.saving.register_keras_serializable(package="keras_initkit")
class WangInit(_ModelWidth):
    """Weights that end the residual branches of a deep transformer.

    W ~ N(0, (2 / (L sqrt(d)))²), where d is the width of the model and L the number of its layers. It is for the output
    kernel of attention and the second feed-forward kernel, beside `SmallInit` for the others, as in GPT-J and GPT-NeoX.

    Example:
        >>> kernel = WangInit(num_layers=4, seed=0)((1024, 256))
        >>> print(f"{keras.ops.convert_to_numpy(kernel).std():.3f}, 2 / (4 sqrt(256)) = {0.5 / 16}")
        0.031, 2 / (4 sqrt(256)) = 0.03125

    Args:
        num_layers: L, at least 1: transformer layers of attention and feed-forward each.
        width: d, at least 1. None (default) takes the smaller fan, which is d for (d, d) and (4 d, d).
        distribution: one of `"untruncated_normal"` (default, as in the code), `"truncated_normal"`, `"uniform"`.
        seed: see `KernelInitializer`.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if an argument is none of these, or the shape has less than 2 axes.

    Reference:
        Sid Black et al., "GPT-NeoX-20B: An Open-Source Autoregressive Language Model", 2022,
        https://arxiv.org/abs/2204.06745, which takes it from Ben Wang, "Mesh-Transformer-JAX", 2021
    """

    def __init__(
        self,
        num_layers: int,
        width: int | None = None,
        distribution: str = "untruncated_normal",
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(width, distribution, seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.num_layers = check_integer("num_layers", num_layers, 1)

    def variance(self, fan_in: float, fan_out: float) -> float:
        """Return 4 / (L² d)."""
        return 4.0 / (self.num_layers**2 * self._width(fan_in, fan_out))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"num_layers": self.num_layers, **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_initkit")
class DepthScaled(WrapperInitializer):
    """Another initializer, shrunk as the depth of a residual network demands.

    W = c · V, where V are the wrapped initializer's values and c follows from a published rule; see the table of
    `keras_initkit.theory.depth_factor`, which says for which kernels and on top of which scheme each is meant. Without
    it the variance of the skip stream grows with each branch that is added: with 48 branches of variance 1 to 48 or so,
    with GPT-2's rule to 2.

    This is the part of a method that one kernel can show. DeepNet also multiplies the skip connections by
    `keras_initkit.theory.deepnet_alpha`; Fixup also sets the last kernel of each branch and the classifier to zero and
    adds scalar biases and multipliers; Fixup and T-Fixup leave normalisation out.

    Example:
        >>> out = DepthScaled(keras.initializers.RandomNormal(stddev=0.02), num_layers=8, seed=0)
        >>> print(f"{keras.ops.convert_to_numpy(out((300, 300))).std():.4f}, 0.02 / sqrt(16) = 0.005")
        0.0050, 0.02 / sqrt(16) = 0.005

    Args:
        initializer: whatever `keras_initkit.initializers.get` takes.
        num_layers: the number N of layers, blocks or branches that the rule counts, at least 1.
        rule: one of `keras_initkit.theory.DEPTH_RULES`: `"gpt2"` (default), `"ds_init"`, `"beit"`, `"fixup"`,
            `"deepnet"`, `"deepnet_encoder"`, `"deepnet_decoder"`, `"tfixup_encoder"`, `"tfixup_decoder"`.
        layer: which layer this is, from 1 to N; for `"ds_init"` and `"beit"`.
        branch_layers: number of layers in a branch, at least 2; for `"fixup"`.
        decoder_layers: number of layers of the decoder, at least 1; for `"deepnet_encoder"`.
        seed: see `KernelInitializer`. A seed given to the wrapped initializer instead becomes this one.
        input_axes: set by `EinsumDense`; passed on to the wrapped initializer.
        output_axes: set by `EinsumDense`; passed on to the wrapped initializer.

    Raises:
        ValueError: if the rule is unknown, a number is out of range, one that the rule needs is missing or one that it
            does not use is given, or both initializers have a seed.

    Reference:
        Alec Radford, Jeffrey Wu, Rewon Child, David Luan, Dario Amodei, Ilya Sutskever, "Language Models are
        Unsupervised Multitask Learners", 2019, https://github.com/openai/gpt-2; those of the other rules are in
        `keras_initkit.theory.DEPTH_RULES`
    """

    def __init__(
        self,
        initializer: Any,
        num_layers: int,
        rule: str = "gpt2",
        layer: int | None = None,
        branch_layers: int | None = None,
        decoder_layers: int | None = None,
        seed: Seed = None,
        input_axes: Axes = None,
        output_axes: Axes = None,
    ) -> None:
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)
        self._counts = {"layer": layer, "branch_layers": branch_layers, "decoder_layers": decoder_layers}
        self.factor = depth_factor(rule, num_layers, **self._counts)
        self.num_layers = int(num_layers)
        self.rule = rule

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        return self.factor * self._wrapped(shape, dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer, the wrapped one serialised."""
        return {"num_layers": self.num_layers, "rule": self.rule, **self._counts, **super().get_config()}
