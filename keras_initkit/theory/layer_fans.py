"""The fans that a layer really has, where the shape of its kernel alone tells something else."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from keras_initkit._checks import check_choice, describe
from keras_initkit.theory.fans import fans


class _Kernel(NamedTuple):
    window: int  # product of the spatial axes
    first: int  # second last axis
    last: int  # last axis
    groups: int
    strides: int  # product over the spatial axes


class _Kind(NamedTuple):
    shape: str
    fans: Callable[[_Kernel], tuple[float, float]]
    least_rank: int = 2
    blocks: int = 1  # the last axis holds this many gates


def _conv(kernel: _Kernel) -> tuple[float, float]:
    return kernel.window * kernel.first, kernel.window * kernel.last / kernel.groups / kernel.strides


def _depthwise(kernel: _Kernel) -> tuple[float, float]:
    return kernel.window, kernel.window * kernel.last / kernel.strides


def _transposed(kernel: _Kernel) -> tuple[float, float]:
    return kernel.window * kernel.last / kernel.strides, kernel.window * kernel.first


def _gated(gates: int) -> Callable[[_Kernel], tuple[float, float]]:
    return lambda kernel: (kernel.window * kernel.first, kernel.window * kernel.last / gates)


_KINDS: Mapping[str, _Kind] = MappingProxyType(
    {
        "dense": _Kind("(I, O)", _gated(1)),
        "conv": _Kind("(*k, I / groups, O)", _conv, 3),
        "depthwise_conv": _Kind("(*k, C, m)", _depthwise, 3),
        "conv_transpose": _Kind("(*k, O, I)", _transposed, 3),
        "simple_rnn": _Kind("(I, U)", _gated(1)),
        "gru": _Kind("(I, 3 U)", _gated(3), blocks=3),
        "lstm": _Kind("(I, 4 U)", _gated(4), blocks=4),
        "conv_lstm": _Kind("(*k, I, 4 U)", _gated(4), 3, blocks=4),
        "embedding": _Kind("(V, D)", lambda kernel: (1, kernel.last)),
    }
)
LAYER_KINDS = tuple(_KINDS)


def layer_fans(
    kind: str, shape: Sequence[int], *, groups: int = 1, strides: int | Sequence[int] = 1
) -> tuple[float, float]:
    """Count the inputs that a unit of a layer sums over, and the outputs that an input reaches.

    With K = ∏k the number of taps, S = ∏strides, and G groups:

    | kind | kernel | fan_in | fan_out |
    |---|---|---|---|
    | `dense` | (I, O) | I | O |
    | `conv` | (*k, I / G, O) | K · I / G | K · O / (G · S) |
    | `depthwise_conv` | (*k, C, m) | K | K · m / S |
    | `conv_transpose` | (*k, O, I) | K · I / S | K · O |
    | `simple_rnn` | (I, U) | I | U |
    | `gru`, `lstm` | (I, n · U), n = 3, 4 gates | I | U, of one gate |
    | `conv_lstm` | (*k, I, 4 · U) | K · I | K · U, of one gate |
    | `embedding` | (V, D) | 1: a row is picked, not summed | D |

    Recurrent kernels are those of their kind with I = U. The depthwise kernel of a separable convolution is a
    `depthwise_conv`, its pointwise kernel a `conv`. Keras reads all of these as (*k, I, O), see `fans`: a depthwise
    kernel then has C times too many inputs, a transposed one its fans exchanged.

    Fans are averages over the image: at its border, padding takes some taps away.

    Args:
        kind: one of the names in the table.
        shape: sizes of the kernel's axes.
        groups: `groups` of a convolution, at least 1.
        strides: `strides` of a convolution, one for all axes or one for each.

    Returns:
        `(fan_in, fan_out)`, two positive numbers; strides can make them fractions.

    Raises:
        ValueError: if the kind is unknown, the shape has too few axes, its last axis does not hold whole gates or
            groups, or the strides do not fit the spatial axes.

    Example:
        >>> layer_fans("depthwise_conv", (3, 3, 64, 1))
        (9, 9.0)
        >>> layer_fans("conv_transpose", (4, 4, 8, 16), strides=2)
        (64.0, 128)
    """
    rule = _KINDS[check_choice("kind", kind, LAYER_KINDS)]
    shape = tuple(shape)
    if len(shape) < rule.least_rank or (rule.least_rank == 2 and len(shape) > 2):
        raise ValueError(
            f"Expected the kernel of a {kind} layer to have the shape {rule.shape}. Received: shape={shape}."
        )
    blocks = rule.blocks if kind != "conv" else groups
    if shape[-1] % blocks:
        raise ValueError(
            f"Expected the last axis of a {kind} kernel to hold {blocks} equal blocks. Received: shape={shape}."
        )
    per_axis = [strides] * (len(shape) - 2) if isinstance(strides, int) else list(strides)
    if len(per_axis) != len(shape) - 2:
        raise ValueError(
            f"Expected `strides` to be one number, or one for each of the {len(shape) - 2} spatial axes. "
            f"Received: strides={describe(strides)}, shape={shape}."
        )
    if 0 in shape:
        return fans(shape)
    kernel = _Kernel(math.prod(shape[:-2]), shape[-2], shape[-1], groups, math.prod(per_axis))
    return rule.fans(kernel)
