"""Random orthogonal matrices of large and empty shapes, at low precision, and on accelerators that round products."""

import json
import math
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_initkit.initializers import ConvOrthogonal, DeltaOrthogonal, Portable, ScaledOrthogonal
from keras_initkit.initializers.drawing import PortableDraws, PortableSeed
from keras_initkit.initializers.haar import haar
from keras_initkit.initializers.precision import exact_products

BACKEND = keras.backend.backend()
ROOT = Path(__file__).parents[2]

# Keras decomposes at the precision asked for, which only these backends can.
KERAS_CAN = {("tensorflow", "float16")}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of a process")
def test_memory_and_accuracy_of_fifty_thousand_rows():
    """Portable numbers are float64, so that two arrays are four times the result; the last TensorFlow tensors stay."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.initializers.peak_memory"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {"portable", "wide", "convolution"}
    for name, (peak, error) in found.items():
        assert peak < 6, f"{name}: {peak:.1f} times its size"
        assert error < 2e-6, name


@pytest.mark.parametrize(
    "shape", [(700, 700), (2000, 1100), (300, 4000), (4000, 300), (1024, 256), (1023, 256), (3, 3, 200, 300)], ids=str
)
def test_accuracy(array, shape):
    """Both ways of decomposition, and both sides of the border between them."""
    matrix = array(ScaledOrthogonal(seed=0)(shape)).reshape(-1, shape[-1])
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T * math.sqrt(shape[-2] / shape[-1])
    assert np.abs(matrix.T @ matrix - np.eye(matrix.shape[1])).max() < 2e-6


@pytest.mark.parametrize("shape", [(600, 200), (200, 600), (300, 300), (3, 3, 40, 30)], ids=str)
@pytest.mark.parametrize(
    "draw", [lambda kind: kind(seed=5), lambda kind: Portable(kind(), seed=5)], ids=["backend", "portable"]
)
def test_values_are_those_of_keras(array, shape, draw):
    """A decomposition with positive diagonal is unique, however it is found; float32 errors of square ones are larger.

    Keras does not multiply wide kernels by sqrt(n_out / n_in).
    """
    widening = max(1.0, math.sqrt(shape[-1] / math.prod(shape[:-1])))
    ours, theirs = (array(draw(kind)(shape)) for kind in (ScaledOrthogonal, keras.initializers.Orthogonal))
    np.testing.assert_allclose(ours / widening, theirs, atol=1e-4 if shape[0] == shape[1] else 5e-6)


def test_blocks_of_tall_matrices(array):
    class Generator(ScaledOrthogonal):
        def _values(self, shape, dtype):
            return haar(*shape, self._draws(dtype))

    blocks = array(Generator(seed=1)((3, 400, 5)))
    for block in blocks:
        np.testing.assert_allclose(block.T @ block, np.eye(5), atol=2e-6)
    assert len({block.tobytes() for block in blocks}) == 3


@pytest.mark.parametrize(("blocks", "rows", "columns"), [(1, 1000, 3), (4, 300, 2), (2, 5, 4), (1, 4, 300)])
def test_portable_numbers_do_not_depend_on_the_pieces(blocks, rows, columns):
    """The same numbers in one draw, decomposed by LAPACK."""
    shape = (blocks, max(rows, columns), min(rows, columns))
    q, r = np.linalg.qr(PortableDraws(PortableSeed((7,))).normal(shape))
    q = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None]
    found = haar(blocks, rows, columns, PortableDraws(PortableSeed((7,))))
    np.testing.assert_allclose(found, q if rows >= columns else q.transpose(0, 2, 1), atol=1e-13)


@pytest.mark.parametrize("shape", [(0, 512), (50_000, 0), (0, 0), (3, 0, 8), (0, 4, 8)], ids=str)
@pytest.mark.parametrize("kind", [ScaledOrthogonal, DeltaOrthogonal, ConvOrthogonal])
def test_empty_kernels(array, shape, kind):
    assert array(kind(seed=0)(shape)).shape == shape
    assert array(Portable(kind(), seed=0)(shape)).shape == shape


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_which_keras_cannot_decompose(dtype):
    """Its default recurrent kernel is orthogonal, so LSTM(dtype="bfloat16") cannot be built at all.

    One rounding to p bits changes each entry by 2^-p of itself at most, and thus the Gram matrix, a sum of n products
    of entries near 1 / sqrt(n), by less than 2 · 2^-p.
    """
    lstm = layers.LSTM(8, dtype=dtype)
    if (BACKEND, dtype) in KERAS_CAN:
        keras.initializers.Orthogonal(seed=0)((8, 4), dtype=dtype)
        lstm.build((None, 3, 5))
    else:
        with pytest.raises(Exception, match="(?i)bfloat16|float16|half"):
            keras.initializers.Orthogonal(seed=0)((8, 4), dtype=dtype)
        with pytest.raises(Exception, match="(?i)bfloat16|float16|half"):
            lstm.build((None, 3, 5))
    ours = layers.LSTM(8, dtype=dtype, recurrent_initializer=ScaledOrthogonal(seed=0))
    assert np.isfinite(keras.ops.convert_to_numpy(ours(np.ones((2, 3, 5))) * 1).astype("float64")).all()
    for shape in ((40, 8), (500, 8)):
        kernel = ScaledOrthogonal(seed=0)(shape, dtype=dtype)
        assert keras.backend.standardize_dtype(kernel.dtype) == dtype
        kernel = keras.ops.convert_to_numpy(keras.ops.cast(kernel, "float32")).astype("float64")
        bits = 9 if dtype == "bfloat16" else 12
        assert np.abs(kernel.T @ kernel - np.eye(8)).max() < 2 * 2.0**-bits


@pytest.mark.skipif(BACKEND != "jax", reason="JAX rounds the factors of products on accelerators, by default")
@pytest.mark.parametrize(("kind", "shape"), [(ScaledOrthogonal, (600, 20)), (ConvOrthogonal, (3, 40, 30))])
def test_products_are_asked_for_at_full_precision(kind, shape):
    import jax

    def products(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name == "dot_general":
                yield equation.params["precision"]
            for value in equation.params.values():
                inner = getattr(value, "jaxpr", value)
                if hasattr(inner, "eqns"):
                    yield from products(inner)

    highest = jax.lax.Precision.HIGHEST
    found = list(products(jax.make_jaxpr(lambda: kind(seed=0)(shape))().jaxpr))
    assert len(found) > 1
    assert set(found) == {(highest, highest)}


@pytest.mark.skipif(BACKEND != "torch", reason="torch rounds where the user allows it for all products")
def test_a_users_permission_to_round_is_suspended():
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with exact_products(torch.zeros(1)) as dtype:
            assert (dtype, torch.get_float32_matmul_precision()) == ("float32", "highest")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow rounds float32 where it can, for all products or none")
def test_tensorflow_multiplies_in_float64():
    with exact_products(keras.ops.ones(1)) as dtype:
        assert dtype == "float64"


def test_wide_layers_keep_the_variance(array):
    """From 64 to 256 units Keras' Orthogonal leaves a quarter. 4000 samples of 256 outputs of rank 64: error 1 %."""
    x = np.random.default_rng(0).standard_normal((4000, 64))
    variance = {
        kind: (x @ array(kind(seed=0)((64, 256)))).var() for kind in (keras.initializers.Orthogonal, ScaledOrthogonal)
    }
    assert variance[keras.initializers.Orthogonal] == pytest.approx(0.25, rel=0.01)
    assert variance[ScaledOrthogonal] == pytest.approx(1.0, rel=0.01)
