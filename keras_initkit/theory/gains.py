"""The factor by which weights must be scaled so that an activation keeps the size of signals or gradients."""

import math
from functools import lru_cache

from keras_initkit._checks import check_choice, check_number
from keras_initkit.theory.activations import Activation
from keras_initkit.theory.critical_line import critical_point
from keras_initkit.theory.elementwise import Elementwise

MODES = ("forward", "variance", "backward", "critical")


def gain(activation: str | Activation, mode: str = "forward", q: float = 1.0) -> float:
    """Compute the gain g of an activation f for pre-activations h = sqrt(q) z, z ~ N(0, 1).

    - `"forward"`: g = sqrt(q / E f(h)²). Weights of variance g² / fan_in and zero biases give pre-activations of
      variance q again: the second moment is kept from layer to layer.
    - `"variance"`: g = sqrt(q / Var f(h)). The same for the variance, where f has a mean (sigmoid, relu).
    - `"backward"`: g = 1 / sqrt(E f'(h)²). Weights of variance g² / fan_out keep the gradient's second moment.
    - `"critical"`: g = sigma_w at the edge of chaos with zero biases. Forward and backward gain are equal there:
      q* = g² E f(h)² is a fixed point that does not repel, and g² E f'(h)² = 1 at q = q*, so that neither nearby inputs
      nor gradients move apart or together exponentially. It is sqrt(2) for relu, where every q is a fixed point, and
      1 / |f'(0)| for tanh-like functions, whose fixed point is q* = 0: 1 for tanh. Where f(0) is not 0, q* > 0 is
      solved for: 10.15 for sigmoid, with q* = 45.6. For some functions there is none; see `critical_point`.

    The expectations are integrals against the normal density, by quadrature that refines around kinks; derivatives are
    difference quotients. Results are accurate to about 1e-7, relatively. A function that computes in float32 gives 1e-7
    too, and 1e-6 in the modes that need its derivative, `"backward"` and `"critical"`.

    Args:
        activation: a name in `keras_initkit.theory.ACTIVATIONS` (Keras' default parameters, for example
            slope 0.2 of `leaky_relu`), or an elementwise function from a NumPy array of shape (n,) to an array of
            shape (n,), in float64 or float32.
        mode: one of `"forward"`, `"variance"`, `"backward"`, `"critical"`.
        q: variance of the pre-activations, above 0. Default 1. `"critical"` finds its own.

    Returns:
        A positive float. `"forward"` gives 1.41421 for relu, 1.59254 for tanh and 1 for selu, where tables used
        elsewhere say 5/3 for tanh and 3/4 for selu.

    Raises:
        ValueError: if the name or the mode is unknown, q is not positive or given for `"critical"`, the function is not
            elementwise, the expectation does not exist or is zero (a constant activation); for `"backward"` and
            `"critical"`, if the activation has jumps; for `"critical"`, if there is no such point.

    Example:
        >>> round(gain("relu"), 5)
        1.41421
        >>> import numpy as np
        >>> round(gain(lambda z: np.maximum(z, 0) ** 2), 5)
        0.8165
        >>> round(gain("tanh", q=0.5), 5), round(gain("tanh", "critical"), 5)
        (1.35166, 1.0)

    Reference:
        Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun, "Delving Deep into Rectifiers: Surpassing Human-Level
        Performance on ImageNet Classification", 2015, https://arxiv.org/abs/1502.01852. The critical gain is that of
        Samuel S. Schoenholz, Justin Gilmer, Surya Ganguli, Jascha Sohl-Dickstein, "Deep Information Propagation", 2017,
        https://arxiv.org/abs/1611.01232
    """
    check_choice("mode", mode, MODES)
    q = check_number("q", q, minimum=0.0, exclusive=True)
    if mode == "critical" and q != 1.0:
        raise ValueError(
            f"Expected no `q` for mode='critical', which finds the q where both gains agree. Received: q={q:g}."
        )
    if isinstance(activation, str):
        return _gain_by_name(activation, mode, q)
    return _gain(activation, mode, q)


@lru_cache(maxsize=256)
def _gain_by_name(name: str, mode: str, q: float) -> float:
    return _gain(name, mode, q)


def _gain(activation: str | Activation, mode: str, q: float) -> float:
    f = Elementwise.of(activation)
    if mode == "critical":
        return math.sqrt(critical_point(f, 0.0).weight_variance)
    if mode == "backward":
        moment = f.derivative_moment(q)
    else:
        moment = (f.variance(q) if mode == "variance" else f.second_moment(q)) / q
    if moment * q < 1e-20:
        raise ValueError(
            f"Expected an `activation` that varies. Received: one whose moment for mode={mode!r} is {moment * q:.1e}, "
            "which no gain can restore."
        )
    return 1.0 / math.sqrt(moment)
