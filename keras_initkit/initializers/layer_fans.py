"""Variance scaling with the fans that a layer really has."""

import inspect
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_initkit._checks import check_integer, describe
from keras_initkit.initializers.base import Seed, Tensor
from keras_initkit.initializers.keras_draws import keras_fans, keras_variance
from keras_initkit.initializers.variance import VarianceKernel
from keras_initkit.initializers.wrapping import Axes, WrapperInitializer
from keras_initkit.theory.layer_fans import LAYER_KINDS, layer_fans


@keras.saving.register_keras_serializable(package="keras_initkit")
class LayerFans(WrapperInitializer):
    """The wrapped scheme of variance scaling, with the fans of the layer it is used in.

    W = V · sqrt(v(fan_in, fan_out) / v(f_in, f_out)), where V are the wrapped initializer's values, v is the variance
    that its scheme gives to weights with certain fans, (f_in, f_out) are the fans that Keras reads from the shape, and
    (fan_in, fan_out) those of the layer, see `keras_initkit.theory.layer_fans`. An initializer sees a shape and
    nothing else, and Keras reads every shape as that of a plain convolution. He's scheme is then 64 times too small in
    variance for a depthwise convolution of 64 channels, Glorot's too small for grouped convolutions and for the gates
    of an LSTM, and a transposed convolution has its fans exchanged.

    In layers whose fans Keras reads rightly, the values are those of the wrapped initializer, bit for bit. Attention
    and `EinsumDense` kernels need no `LayerFans` from Keras 3.15 on.

    Example:
        >>> initializer = LayerFans("he_normal", "depthwise_conv", seed=0)
        >>> kernel = keras.ops.convert_to_numpy(initializer((3, 3, 64, 8)))
        >>> print(f"variance {kernel.var():.1f}, He's is 2 / 9 = {2 / 9:.2f}")
        variance 0.2, He's is 2 / 9 = 0.22

    Args:
        initializer: `VarianceScaling` or one of Keras' classes made from it (Glorot, He, LeCun), or a class of the kit
            whose variance follows from the fans; whatever `keras_initkit.initializers.get` takes.
        layer: the layer that the kernel belongs to: a kind in `keras_initkit.theory.LAYER_KINDS`, the name of a layer
            as `"DepthwiseConv2D"`, a layer class, or a layer, whose `groups` and `strides` are then taken.
        groups: `groups` of the convolution, at least 1. Default 1.
        strides: `strides` of the convolution, one for all axes or one for each. Default 1.
        seed: see `CheckedInitializer`. A seed given to the wrapped initializer instead becomes this one.
        input_axes: set by `EinsumDense`; passed on to the wrapped initializer.
        output_axes: set by `EinsumDense`; passed on to the wrapped initializer.

    Raises:
        ValueError: if the layer is of no known kind, the wrapped scheme does not scale a variance, an argument is out
            of range, or the shape is not that of such a layer's kernel.

    Reference:
        Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun, "Delving Deep into Rectifiers: Surpassing Human-Level
        Performance on ImageNet Classification", 2015, https://arxiv.org/abs/1502.01852 (fan_in is the number of
        connections of a response, whatever the layer)
    """

    def __init__(
        self,
        initializer: Any,
        layer: Any,
        groups: int | None = None,
        strides: int | Sequence[int] | None = None,
        seed: Seed = None,
        input_axes: Axes = None,
        output_axes: Axes = None,
    ) -> None:
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)
        if not isinstance(self.initializer, VarianceKernel) and not _is_variance_scaling(self.initializer):
            raise ValueError(
                "Expected `initializer` to scale the variance of independent weights with the fans, as 'he_normal' or "
                f"ActivationScaled do. Received: initializer={describe(self.initializer)}. Orthogonal and identity "
                "kernels go by blocks: use PerGate, PerHead, Grouped or Transposed, which need no LayerFans. Scaled, "
                "DepthScaled, Perturbed and Portable go around it."
            )
        self.layer = _kind_of(layer)
        built = layer if isinstance(layer, keras.layers.Layer) else None
        self.groups = check_integer("groups", getattr(built, "groups", 1) if groups is None else groups, 1)
        self.strides = _checked_strides(getattr(built, "strides", 1) if strides is None else strides)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        values = self._wrapped(shape, dtype)
        if self.input_axes is not None:
            return values
        plain = keras_fans(self.initializer, shape)
        true = layer_fans(self.layer, shape, groups=self.groups, strides=self.strides)
        ratio = math.sqrt(self._variance(*true) / self._variance(*plain))
        return values if ratio == 1.0 else ratio * values

    def _variance(self, fan_in: float, fan_out: float) -> float:
        if isinstance(self.initializer, VarianceKernel):
            return self.initializer.variance(fan_in, fan_out)
        return keras_variance(self.initializer, fan_in, fan_out)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer, the wrapped one serialised."""
        return {"layer": self.layer, "groups": self.groups, "strides": self.strides, **super().get_config()}


def _is_variance_scaling(initializer: Any) -> bool:
    scaling = keras.initializers.VarianceScaling
    return isinstance(initializer, scaling) and type(initializer).__call__ is scaling.__call__


def _kind_of(layer: Any) -> str:
    """Return the kind of a layer given by kind, name, class or instance."""
    cls = layer if inspect.isclass(layer) else type(layer)
    name = layer if isinstance(layer, str) else cls.__name__ if issubclass(cls, keras.layers.Layer) else ""
    known = {kind.replace("_", ""): kind for kind in LAYER_KINDS}
    plain = name.removesuffix("Cell").replace("_", "").lower()
    for dimension in ("1d", "2d", "3d"):
        plain = plain.replace(dimension, "")
    if plain in known:
        return known[plain]
    kinds = ", ".join(repr(kind) for kind in LAYER_KINDS)
    hint = ""
    if plain.startswith("separableconv"):
        hint = " Use 'depthwise_conv' for its depthwise_initializer; its pointwise_initializer needs no LayerFans."
    elif plain in ("timedistributed", "bidirectional", "rnn", "stackedrnns"):
        hint = " Give the layer inside it."
    elif plain in ("einsumdense", "multiheadattention", "groupedqueryattention", "groupqueryattention"):
        hint = " Attention and EinsumDense tell initializers their axes; they need no LayerFans."
    raise ValueError(
        f"Expected `layer` to be one of the kinds {kinds}, or a Keras layer of such a kind. "
        f"Received: layer={describe(layer)}.{hint}"
    )


def _checked_strides(strides: Any) -> int | list[int]:
    if isinstance(strides, (list, tuple, np.ndarray)) and len(strides):
        return [check_integer("strides", stride, 1) for stride in strides]
    return check_integer("strides", strides, 1)
