"""What the same wish gives in each library: `python -m tests.benchmarks.initializers.peers`.

Measured are torch, JAX, timm and AnyInit where they are installed beside Keras; Keras runs on its present backend.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import importlib.util
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_initkit.initializers as kit
from keras_initkit.theory import convolution_singular_values

Measurement = Callable[[], str]
MISSING = "not there"


def _array(values: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(values, "float32")), "float64")


def _torch(name: str, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    """Return a kernel of torch.nn.init, whose units come first, with units last."""
    import torch

    torch.manual_seed(0)
    values = torch.empty(shape, dtype=getattr(torch, dtype))
    getattr(torch.nn.init, name)(values)
    return np.moveaxis(np.asarray(values.float().numpy(), "float64"), (0, 1), (-1, -2))


def _jax(name: str, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    import jax

    values = getattr(jax.nn.initializers, name)()(jax.random.key(0), shape, dtype)
    return np.asarray(values.astype("float32"), "float64")


def _variance(kernel: np.ndarray) -> str:
    """Return the mean square of the outputs for inputs of mean square 1."""
    matrix = kernel.reshape(-1, kernel.shape[-1])
    return f"{np.square(matrix).sum() / matrix.shape[1]:.3f}"


def _spread(kernel: np.ndarray) -> str:
    values = convolution_singular_values(kernel, (8, 8))
    return f"{values.min():.3f} to {values.max():.3f}"


def _depthwise(initializer: Any) -> str:
    layer = keras.layers.DepthwiseConv2D(3, depth_multiplier=8, depthwise_initializer=initializer, use_bias=False)
    x = np.random.default_rng(0).standard_normal((8, 16, 16, 64)).astype("float32")
    return f"{np.square(_array(layer(x))).mean():.3f}"


def _anyinit_depthwise() -> str:
    import anyinit

    layer = keras.layers.DepthwiseConv2D(3, depth_multiplier=8, use_bias=False)
    model = keras.Sequential([keras.Input((16, 16, 64)), layer])
    x = np.random.default_rng(0).standard_normal((64, 16, 16, 64)).astype("float32")
    anyinit.initialize(model, "analytic", x, seed=0)
    return f"{np.square(_array(model(x[:8]))).mean():.3f}"


def _gates(initializer: Any) -> str:
    layer = keras.layers.LSTM(64, recurrent_initializer=initializer)
    layer.build((None, None, 8))
    values = [np.linalg.svd(g, compute_uv=False) for g in np.split(_array(layer.cell.recurrent_kernel + 0), 4, axis=1)]
    return f"{np.min(values):.3f} to {np.max(values):.3f}"


def _equal_kernels(initializer: Any) -> str:
    layer = keras.layers.MultiHeadAttention(2, 8, kernel_initializer=initializer)
    layer.build((None, 3, 16), (None, 3, 16))
    query, key = _array(layer.query_dense.kernel + 0), _array(layer.key_dense.kernel + 0)
    return "equal" if np.array_equal(query, key) else "differ"


def _low(values: np.ndarray) -> str:
    return f"works, error {np.abs(values.T @ values - np.eye(values.shape[1])).max():.3f}"


WISHES: dict[str, dict[str, Measurement]] = {
    "orthogonal dense 64 → 256: variance out, for 1 in": {
        "keras-initkit": lambda: _variance(_array(kit.ScaledOrthogonal(seed=0)((64, 256)))),
        "keras": lambda: _variance(_array(keras.initializers.Orthogonal(seed=0)((64, 256)))),
        "torch": lambda: _variance(_torch("orthogonal_", (256, 64))),
        "jax": lambda: _variance(_jax("orthogonal", (64, 256))),
    },
    "orthogonal 3 × 3 convolution 32 → 32: its singular values": {
        "keras-initkit": lambda: _spread(_array(kit.ConvOrthogonal(seed=0)((3, 3, 32, 32)))),
        "keras": lambda: _spread(_array(keras.initializers.Orthogonal(seed=0)((3, 3, 32, 32)))),
        "torch": lambda: _spread(_torch("orthogonal_", (32, 32, 3, 3))),
        "jax": lambda: _spread(_jax("delta_orthogonal", (3, 3, 32, 32))),
    },
    "the same 32 → 16": {
        "keras-initkit": lambda: _spread(_array(kit.DeltaOrthogonal(seed=0)((3, 3, 32, 16)))),
        "keras": lambda: _spread(_array(keras.initializers.Orthogonal(seed=0)((3, 3, 32, 16)))),
        "torch": lambda: _spread(_torch("orthogonal_", (16, 32, 3, 3))),
        "jax": lambda: _spread(_jax("delta_orthogonal", (3, 3, 32, 16))),
    },
    "bfloat16 orthogonal 64 × 64": {
        "keras-initkit": lambda: _low(_array(kit.ScaledOrthogonal(seed=0)((64, 64), dtype="bfloat16"))),
        "keras": lambda: _low(_array(keras.initializers.Orthogonal(seed=0)((64, 64), dtype="bfloat16"))),
        "torch": lambda: _low(_torch("orthogonal_", (64, 64), "bfloat16")),
        "jax": lambda: _low(_jax("orthogonal", (64, 64), "bfloat16")),
    },
    "He in DepthwiseConv2D, 64 channels: variance out (2 is right; AnyInit aims at 1)": {
        "keras-initkit": lambda: _depthwise(kit.LayerFans("he_normal", "depthwise_conv", seed=0)),
        "keras": lambda: _depthwise(keras.initializers.HeNormal(seed=0)),
        "anyinit": _anyinit_depthwise,
    },
    "orthogonal recurrent kernel of LSTM(64): singular values of its gates": {
        "keras-initkit": lambda: _gates(kit.PerGate("orthogonal", 4, seed=0)),
        "keras": lambda: _gates(keras.initializers.Orthogonal(seed=0)),
    },
    "query and key of attention under seed 1": {
        "keras-initkit": lambda: _equal_kernels(kit.Distinct("glorot_uniform", seed=1)),
        "keras": lambda: _equal_kernels(keras.initializers.GlorotUniform(seed=1)),
    },
}
LIBRARIES = ("keras-initkit", "keras", "torch", "jax", "anyinit")


def measured(library: str, measure: Measurement | None) -> str:
    """Return what came out, the error if one was raised, or that there is nothing to measure."""
    if measure is None:
        return "–"
    if library not in ("keras-initkit", "keras") and importlib.util.find_spec(library) is None:
        return MISSING
    try:
        return measure()
    except Exception as error:  # a library may fail in any way
        return f"{type(error).__name__}"


def main() -> None:
    """Print the table."""
    print(f"Keras {keras.__version__} on {keras.backend.backend()}\n")
    print(f"| wish | {' | '.join(LIBRARIES)} |\n|{'---|' * (len(LIBRARIES) + 1)}")
    for wish, ways in WISHES.items():
        print(f"| {wish} | {' | '.join(measured(library, ways.get(library)) for library in LIBRARIES)} |")


if __name__ == "__main__":
    main()
