"""PerGate, Grouped, PerHead: every block is what the wrapped scheme promises, in its place, and unlike the others."""

import itertools
import math
import random
import time

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from keras_initkit.initializers import (
    SIREN,
    ConvOrthogonal,
    DeltaOrthogonal,
    DepthScaled,
    Distinct,
    Grouped,
    PerGate,
    PerHead,
    Perturbed,
    Portable,
    Scaled,
    ScaledOrthogonal,
    Sparse,
)

EXACT = 1e-5  # float32 QR of matrices up to 100 wide

# Schemes that are drawn all at once in different ways, and two that are called for every block.
SCHEMES = [
    "glorot_uniform",
    "he_normal",
    "random_normal",
    "truncated_normal",
    "orthogonal",
    ScaledOrthogonal("tanh"),
    DeltaOrthogonal(),
    ConvOrthogonal(),
    Sparse(2),
    Scaled("orthogonal", 2.0),
    DepthScaled("he_normal", 4),
    Perturbed("ones", 0.1),
]


class Counter:
    """An initializer without state of its own but the number of calls, which it writes into all entries."""

    def __init__(self):
        self.calls = 0
        self.shapes = set()

    def __call__(self, shape, dtype=None):
        self.calls += 1
        self.shapes.add(tuple(shape))
        return keras.ops.full(shape, self.calls, dtype=dtype)


def gates(kernel, number):
    return np.split(kernel, number, axis=-1)


def all_differ(blocks):
    return all(not np.array_equal(a, b) for a, b in itertools.combinations(blocks, 2))


def test_gates_lie_side_by_side(array):
    counter = Counter()
    np.testing.assert_array_equal(array(PerGate(counter, 3)((2, 6))), [[1, 1, 2, 2, 3, 3]] * 2)
    assert counter.shapes == {(2, 2)}
    np.testing.assert_array_equal(array(PerGate(Counter(), 4)((8,))), [1, 1, 2, 2, 3, 3, 4, 4])


def test_groups_lie_side_by_side(array):
    counter = Counter()
    np.testing.assert_array_equal(array(Grouped(counter, 2)((3, 5, 4)))[1, 2], [1, 1, 2, 2])
    assert counter.shapes == {(3, 5, 2)}
    depthwise = Counter()
    kernel = array(Grouped(depthwise, "depthwise")((2, 3, 4, 2)))
    np.testing.assert_array_equal(kernel[1, 2], [[1, 1], [2, 2], [3, 3], [4, 4]])
    assert depthwise.shapes == {(2, 3, 1, 2)}


@pytest.mark.parametrize(
    ("shape", "axes", "matrix", "heads"),
    [
        ((5, 3, 2), ([0], [1, 2]), (5, 2), [1]),
        ((3, 2, 5), ([0, 1], [2]), (2, 5), [0]),
        ((5, 3, 4, 2), ([0], [1, 2, 3]), (5, 2), [1, 2]),
        ((5, 3, 2), ([-3], [-2, -1]), (5, 2), [1]),
        ((6, 5, 3, 2), ([1], [2, 3]), (5, 2), [0, 2]),
    ],
)
def test_heads_lie_where_the_axes_say(array, shape, axes, matrix, heads):
    counter = Counter()
    kernel = array(PerHead(counter, input_axes=axes[0], output_axes=axes[1])(shape))
    assert counter.shapes == {matrix}
    sizes = [size if axis in heads else 1 for axis, size in enumerate(shape)]
    numbers = 1 + np.arange(np.prod(sizes)).reshape(sizes)
    np.testing.assert_array_equal(kernel, np.broadcast_to(numbers, shape))


@pytest.mark.parametrize("seed", [3, None, "generator", "portable"])
@pytest.mark.parametrize(
    "scheme", SCHEMES, ids=lambda scheme: scheme if isinstance(scheme, str) else type(scheme).__name__
)
def test_blocks_of_one_kernel_differ(array, scheme, seed):
    wraps = [
        (lambda **s: PerGate(scheme, 4, **s), (6, 24), -1),
        (lambda **s: Grouped(scheme, 4, **s), (3, 6, 24), -1),
        (lambda **s: Grouped(scheme, "depthwise", **s), (3, 4, 5), -2),
        (lambda **s: PerHead(scheme, input_axes=[0], output_axes=[1, 2], **s), (6, 4, 6), 1),
    ]
    for wrap, shape, axis in wraps:
        if seed == "portable":
            kernel = array(Portable(wrap(), seed=3)(shape))
        else:
            kernel = array(wrap(seed=keras.random.SeedGenerator(3) if seed == "generator" else seed)(shape))
        assert np.isfinite(kernel).all()
        assert all_differ(np.split(kernel, 4, axis=axis))


def check_gates(kernel, number, expected):
    for gate in gates(kernel, number):
        np.testing.assert_allclose(np.linalg.svd(gate, compute_uv=False), expected, rtol=EXACT)


@settings(deadline=None, max_examples=40)
@given(
    number=st.integers(1, 4),
    inputs=st.integers(1, 12),
    units=st.integers(1, 12),
    scheme=st.sampled_from(["orthogonal", "scaled_orthogonal", "scaled"]),
    seed=st.integers(0, 2**31),
)
def test_every_gate_is_orthogonal(number, inputs, units, scheme, seed):
    """With portable draws, since JAX compiles every function anew for every shape."""
    inner = Scaled("orthogonal", 0.5) if scheme == "scaled" else scheme
    kernel = keras.ops.convert_to_numpy(Portable(PerGate(inner, number), seed=seed)((inputs, number * units)))
    expected = {"scaled": 0.5, "scaled_orthogonal": max(1.0, math.sqrt(units / inputs)), "orthogonal": 1.0}[scheme]
    check_gates(np.asarray(kernel, "float64"), number, expected)


@pytest.mark.parametrize("shape", [(8, 32), (5, 32), (32, 20), (1, 4)])
def test_every_gate_is_orthogonal_with_draws_of_the_backend(array, shape):
    for seed in (1, keras.random.SeedGenerator(1)):
        check_gates(array(PerGate(Scaled("orthogonal", 2.0), 4, seed=seed)(shape)), 4, 2.0)


@pytest.mark.parametrize(("kind", "number"), [(layers.LSTM, 4), (layers.GRU, 3)])
def test_recurrent_layers(array, kind, number):
    layer = kind(
        16,
        kernel_initializer=PerGate("glorot_uniform", number, seed=1),
        recurrent_initializer=PerGate("orthogonal", number, seed=2),
    )
    layer.build((None, 5, 3))
    recurrent = gates(array(layer.cell.recurrent_kernel), number)
    for gate in recurrent:
        np.testing.assert_allclose(gate.T @ gate, np.eye(16), atol=EXACT)
    assert all_differ(recurrent)
    assert np.abs(array(layer.cell.kernel)).max() <= math.sqrt(6 / 19)


def test_convolutional_lstm(array):
    layer = layers.ConvLSTM1D(8, 3, padding="same", recurrent_initializer=PerGate("delta_orthogonal", 4, seed=1))
    layer.build((None, 2, 6, 3))
    for gate in gates(array(layer.cell.recurrent_kernel), 4):
        np.testing.assert_allclose(gate[1].T @ gate[1], np.eye(8), atol=EXACT)
        assert not gate[[0, 2]].any()


def test_variances_are_those_of_one_block(array):
    """Glorot's, for fans (I, U) of a gate, (K I / G, K O / G) of a group, (K, K m) of a channel; 5 standard errors."""
    cases = [
        (PerGate("glorot_normal", 4, seed=0), (100, 800), 2 / 300),
        (Grouped("glorot_normal", 5, seed=0), (3, 3, 40, 100), 2 / (9 * 40 + 9 * 20)),
        (Grouped("glorot_normal", "depthwise", seed=0), (3, 3, 500, 4), 2 / (9 + 36)),
        (Grouped(SIREN(), "depthwise", seed=0), (3, 3, 500, 4), 2 / 9 / 30**2),
        (PerHead("glorot_normal", seed=0, input_axes=[0], output_axes=[1, 2]), (100, 8, 25), 2 / 125),
    ]
    for initializer, shape, variance in cases:
        values = array(initializer(shape))
        error = math.sqrt(2 / values.size)  # of a normal sample; a truncated one has less
        assert values.var() == pytest.approx(variance, rel=5 * error), shape
        assert abs(values.mean()) < 5 * math.sqrt(variance / values.size)


def test_blocks_are_uncorrelated(array):
    """200 entries per gate pair; 5 standard errors."""
    for initializer in (PerGate("random_normal", 4, seed=1), PerGate(Perturbed("zeros", 1.0), 4, seed=1)):
        blocks = [gate.ravel() for gate in gates(array(initializer((20, 4000))), 4)]
        for a, b in itertools.combinations(blocks, 2):
            assert abs(np.corrcoef(a, b)[0, 1]) < 5 / math.sqrt(len(a))


@pytest.mark.parametrize("scheme", ["he_normal", "orthogonal", Scaled("random_normal", 3.0), "dirac"])
def test_one_block_is_the_wrapped_scheme(array, scheme):
    from keras_initkit.initializers import reseeded

    expected = array(reseeded(scheme, 7)((3, 4, 6)))
    for wrap in (PerGate, Grouped):
        np.testing.assert_array_equal(array(wrap(scheme, 1, seed=7)((3, 4, 6))), expected)


def test_nested_and_wrapped(array):
    inner = PerGate(Scaled("orthogonal", 2.0), 4)
    for initializer in (
        Distinct(inner, seed=1),
        Portable(inner, seed=1),
        Scaled(PerGate("orthogonal", 4, seed=1), 2.0),
    ):
        blocks = gates(array(initializer((6, 24))), 4)
        for gate in blocks:
            np.testing.assert_allclose(np.linalg.svd(gate, compute_uv=False), 2.0, rtol=EXACT)
        assert all_differ(blocks)
    halves = gates(array(PerGate(PerGate("random_normal", 2), 2, seed=1)((3, 8))), 4)
    assert all_differ(halves)
    shared = Distinct(inner, seed=1)
    assert not np.array_equal(array(shared((6, 24))), array(shared((6, 24))))


def test_portable_values_are_the_same_everywhere(array):
    kernel = array(Portable(PerGate("glorot_uniform", 2), seed=1)((1, 4)))
    np.testing.assert_allclose(kernel, [[0.8697191, -0.9601341, 1.2562456, -0.5519034]], atol=1e-7)


def test_no_call_touches_the_randomness_of_python():
    initializers = [
        PerGate("glorot_uniform", 2, seed=1, input_axes=[0], output_axes=[1]),
        Grouped("he_normal", "depthwise", seed=1),
        Grouped("ZerO", 2, seed=1),
        PerHead("orthogonal", seed=1, input_axes=[0], output_axes=[1, 2]),
    ]
    state = random.getstate()
    for initializer in initializers:
        initializer((4, 6, 8))
    assert random.getstate() == state


@pytest.mark.usefixtures("keras_passes_axes")
@pytest.mark.parametrize(
    "make",
    [
        lambda i: layers.MultiHeadAttention(4, 8, kernel_initializer=i),
        lambda i: layers.GroupQueryAttention(8, 4, 2, kernel_initializer=i),
    ],
)
def test_attention_layers(array, make):
    layer = make(Distinct(PerHead("orthogonal"), seed=1))
    layer.build((1, 3, 24), (1, 3, 24))
    dense = [getattr(layer, f"_{name}_dense") for name in ("query", "key", "value")]
    heads = [array(d.kernel)[:, h] for d in dense for h in range(d.kernel.shape[1])]
    for head in heads:
        np.testing.assert_allclose(head.T @ head, np.eye(8), atol=EXACT)
    output = array(layer._output_dense.kernel)
    for head in output:
        np.testing.assert_allclose(head @ head.T, np.eye(8), atol=EXACT)
    assert all_differ([*heads, *(head.T for head in output)])


def test_per_head_identity(array):
    kernel = array(PerHead("identity", input_axes=[0], output_axes=[1, 2])((4, 3, 4)))
    for head in range(3):
        np.testing.assert_array_equal(kernel[:, head], np.eye(4))


@pytest.mark.parametrize("scheme", ["he_normal", "orthogonal", "scaled_orthogonal", "delta_orthogonal", Sparse(3)])
def test_a_thousand_channels_are_quick(array, scheme):
    """Called one by one they take seconds on some backends; the second call is without compilation."""
    initializer = Grouped(scheme, "depthwise", seed=0)
    initializer((3, 3, 1024, 1))
    started = time.perf_counter()
    kernel = array(initializer((3, 3, 1024, 1)))
    assert time.perf_counter() - started < 1.0
    distinct = len({kernel[:, :, channel].tobytes() for channel in range(1024)})
    assert distinct > 1000 or (scheme == "delta_orthogonal" and distinct == 2)  # one weight, 1 or -1


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: PerGate("orthogonal", 0), "`gates` to be an integer of at least 1"),
        (
            lambda: PerGate("orthogonal", 4)((5, 6)),
            r"4 gates of equal size. Received: shape=\(5, 6\).*GRU 3.*unit_forget_b",
        ),
        (lambda: PerGate(PerGate("zeros", 2, seed=1), 2, seed=1), "Expected one seed"),
        (lambda: PerGate(Distinct("zeros"), 2), "outermost"),
        (lambda: PerGate("orthogonal", 4)((8,)), "at least two"),
        (lambda: Grouped("orthogonal", 0), "`groups` to be an integer of at least 1"),
        (lambda: Grouped("orthogonal", "channels"), "an integer or 'depthwise'. Received: groups='channels'"),
        (lambda: Grouped("orthogonal", 3)((3, 4, 8)), "divide the 8 output channels. Received: groups=3"),
        (lambda: Grouped("orthogonal", 3)((4, 9)), "at least 3 axes: Grouped is not defined"),
        (lambda: Grouped("zeros", "depthwise", input_axes=[0], output_axes=[1, 2])((2, 3, 4)), "no axes to be told"),
        (lambda: PerHead("orthogonal")((8, 2, 4)), r"from Keras 3.15 on. Received: neither.*input_axes=\[0\]"),
        (lambda: PerHead("orthogonal")((8, 2)), "have no heads"),
        (lambda: PerHead("zeros", input_axes=[0], output_axes=[1])((8, 2)), "not both, have an axis of heads"),
        (
            lambda: PerHead("zeros", input_axes=[0, 1], output_axes=[2, 3])((2, 3, 4, 5)),
            "not both, have an axis of heads",
        ),
        (lambda: PerHead("zeros", input_axes=[0], output_axes=[1, 7])((2, 3, 4)), "different axes of a kernel with 3"),
    ],
)
def test_bad_arguments(call, text):
    with pytest.raises(ValueError, match=text):
        call()
