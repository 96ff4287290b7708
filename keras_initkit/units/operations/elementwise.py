"""Operations of `keras.ops` on single features."""

import numpy as np

from keras_initkit.symmetry.activations import is_odd
from keras_initkit.units.features import NotUnderstood
from keras_initkit.units.functions import zero_or_unknown
from keras_initkit.units.operations.activations import response_of
from keras_initkit.units.operations.registry import handles_operations
from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call

_SIGNED = {"Negative": True, "Arcsinh": True, "Arctan": True, "Sinh": True, "Sign": True}


@handles_operations("Identity", "Cast", "StopGradient", "Copy", "NanToNum")
def unchanged(call: Call, plan: Plan) -> None:
    """Keep the features."""
    axes = plan.axes_of(call.tensors[0])
    plan.set_space(call.outputs[0], plan.space_of(call.tensors[0], axes), axes)


@handles_operations(
    "Absolute", "Arcsinh", "Arctan", "Celu", "Clip", "Cos", "Elu", "Erf", "Exp", "Expm1", "Gelu", "HardShrink",
    "HardSigmoid", "HardSilu", "HardTanh", "LeakyRelu", "Log", "Log1p", "LogSigmoid", "Mish", "Negative", "Reciprocal",
    "Relu", "Relu6", "Rsqrt", "Selu", "Sigmoid", "Sign", "Silu", "Sin", "Sinh", "SoftShrink", "Softplus", "Softsign",
    "SparsePlus", "Sqrt", "Square", "SquarePlus", "Squareplus", "Swish", "Tanh", "TanhShrink", "Threshold",
)  # fmt: skip
def function_of_one(call: Call, plan: Plan) -> None:
    """Add an elementwise function."""
    operation = call.operation
    kind = type(operation).__name__
    axes = plan.axes_of(call.tensors[0])
    source = plan.space_of(call.tensors[0], axes)
    name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind).lstrip("_")
    odd = is_odd(name) or _SIGNED.get(kind, False)
    behind = plan.result(call.outputs[0], axes)
    plan.copy(source, behind, odd=odd, response=response_of(operation.call), activation=(name, operation.call))


@handles_operations("Softmax", "LogSoftmax")
def softmax(call: Call, plan: Plan) -> None:
    """Treats all features alike if it works along them."""
    source = plan.space_of(call.tensors[0])
    operation = call.operation
    behind = plan.result(call.outputs[0])
    plan.copy(source, behind, odd=False, response=never_zero, activation=(None, operation.call))


@handles_operations("Mean", "Sum", "Max", "Min", "Amax", "Amin")
def reduce(call: Call, plan: Plan) -> None:
    """Over other axes than the features."""
    operation = call.operation
    rank = len(call.tensors[0].shape)
    axes = operation.axis
    if axes is None:
        raise NotUnderstood
    reduced = {axis % rank for axis in (axes if isinstance(axes, (list, tuple)) else [axes])}
    if rank - 1 in reduced or 0 in reduced:
        raise NotUnderstood
    source = plan.space_of(call.tensors[0])
    if type(operation).__name__ == "Mean":
        plan.set_space(call.outputs[0], source)
    elif type(operation).__name__ == "Sum":
        plan.copy(source, plan.result(call.outputs[0]), response=zero_or_unknown)
    else:
        plan.copy(source, plan.result(call.outputs[0]), odd=False)


def never_zero(constants: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the response of a function of which only is known that it is never 0."""
    return np.full_like(constants, np.nan), np.ones_like(constants)
