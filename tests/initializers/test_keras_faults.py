"""What Keras' initializers get wrong in its own layers, measured, and the same layers right with the kit.

A test that fails at its first half after an update of Keras is good news: the fault is gone, and so may be the test.
"""

import itertools
import math

import keras
import numpy as np
import pytest
from keras import layers

from keras_initkit.initializers import Distinct, Grouped, LayerFans, PerGate, PerHead, ScaledOrthogonal, Transposed

SEQUENCE = (1, 3, 32)


def singular_values(matrix):
    return np.linalg.svd(matrix, compute_uv=False)


def gates(kernel, number=4):
    return np.split(kernel, number, axis=-1)


def any_equal(arrays):
    return any(np.array_equal(a, b) for a, b in itertools.combinations(arrays, 2))


@pytest.mark.parametrize("seed", [1, "generator"])
def test_query_key_and_value_are_equal(array, seed):
    def kernels(initializer):
        layer = layers.MultiHeadAttention(4, 8, kernel_initializer=initializer)
        layer.build(SEQUENCE, SEQUENCE)
        return [array(dense.kernel) for dense in (layer.query_dense, layer.key_dense, layer.value_dense)]

    query, key, value = kernels(
        keras.initializers.GlorotUniform(keras.random.SeedGenerator(1) if seed == "generator" else seed)
    )
    np.testing.assert_array_equal(query, key)
    np.testing.assert_array_equal(query, value)
    assert not any_equal(kernels(Distinct("glorot_uniform", seed=1)))
    for first, second in zip(kernels(Distinct("he_normal", 2)), kernels(Distinct("he_normal", 2)), strict=True):
        np.testing.assert_array_equal(first, second)


def test_both_directions_are_equal(array):
    def kernels(make):
        layer = layers.Bidirectional(layers.LSTM(4, kernel_initializer=make(), recurrent_initializer=make()))
        layer.build((None, 3, 5))
        forward, backward = layer.forward_layer.cell, layer.backward_layer.cell
        return [array(getattr(cell, name)) for name in ("kernel", "recurrent_kernel") for cell in (forward, backward)]

    kernel, backward_kernel, recurrent, backward_recurrent = kernels(lambda: keras.initializers.GlorotUniform(seed=1))
    np.testing.assert_array_equal(kernel, backward_kernel)
    np.testing.assert_array_equal(recurrent, backward_recurrent)
    kernel, backward_kernel, recurrent, backward_recurrent = kernels(lambda: Distinct("glorot_uniform", seed=1))
    assert not np.array_equal(kernel, backward_kernel)
    assert not np.array_equal(recurrent, backward_recurrent)


def test_layers_that_share_a_seeded_instance_are_equal(array):
    def kernels(shared):
        model = keras.Sequential([keras.Input((8,)), *[layers.Dense(8, kernel_initializer=shared) for _ in range(3)]])
        return [array(layer.kernel) for layer in model.layers]

    assert not any_equal(kernels(Distinct("he_normal", seed=1)))
    first, *others = kernels(keras.initializers.HeNormal(seed=1))
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_identity_reaches_the_input_gate_only(array):
    def traces(initializer, kind=layers.LSTM, number=4):
        layer = kind(4, recurrent_initializer=initializer)
        layer.build((None, 3, 5))
        return [float(np.trace(gate)) for gate in gates(array(layer.cell.recurrent_kernel), number)]

    assert traces("identity") == [4, 0, 0, 0]
    assert traces(PerGate("identity", 4)) == [4, 4, 4, 4]
    assert traces("identity", layers.GRU, 3) == [4, 0, 0]
    assert traces(PerGate("identity", 3), layers.GRU, 3) == [4, 4, 4]


def test_no_gate_of_the_default_lstm_is_orthogonal(array):
    """Blocks of 64 of 256 orthonormal columns: squared singular values average 1/4."""

    def values(initializer):
        layer = layers.LSTM(64, recurrent_initializer=initializer)
        layer.build((None, 3, 5))
        return np.array([singular_values(gate) for gate in gates(array(layer.cell.recurrent_kernel))])

    keras_values = values(keras.initializers.Orthogonal(seed=0))
    assert keras_values.min() < 0.02
    assert 0.8 < keras_values.max() < 0.95
    assert np.mean(keras_values**2) == pytest.approx(0.25, abs=1e-3)
    np.testing.assert_allclose(values(PerGate("orthogonal", 4, seed=0)), 1.0, atol=1e-5)


@pytest.mark.usefixtures("keras_passes_axes")
def test_orthogonal_attention_is_not_orthogonal(array):
    def query(initializer):
        layer = layers.MultiHeadAttention(4, 8, kernel_initializer=initializer)
        layer.build(SEQUENCE, SEQUENCE)
        return array(layer.query_dense.kernel)

    values = singular_values(query(keras.initializers.Orthogonal(seed=0)).reshape(32, 32))
    assert values.min() < 0.05
    assert values.max() < 0.9999
    together = query(ScaledOrthogonal(seed=0)).reshape(32, 32)
    np.testing.assert_allclose(singular_values(together), 1.0, atol=1e-5)
    heads = query(PerHead("orthogonal", seed=0))
    for head in range(4):
        np.testing.assert_allclose(singular_values(heads[:, head]), 1.0, atol=1e-5)


def output_variance(layer, array, shape, crop=0):
    """Return the mean square of the outputs for inputs of variance 1, without a border of `crop` places."""
    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    y = array(layer(x))
    return float(np.mean(y[:, crop : y.shape[1] - crop] ** 2))


# The mean square of an output over N weights has the relative error sqrt(2 / N), or less for truncated normals.


def test_depthwise_outputs_are_too_small(array):
    def variance(initializer):
        layer = layers.DepthwiseConv2D(3, depth_multiplier=8, use_bias=False, depthwise_initializer=initializer)
        return output_variance(layer, array, (2, 18, 18, 64))

    error = 5 * math.sqrt(2 / (9 * 64 * 8))
    assert variance(keras.initializers.HeNormal(seed=0)) == pytest.approx(2 / 64, rel=error)  # 0.031
    assert variance(LayerFans("he_normal", "depthwise_conv", seed=0)) == pytest.approx(2, rel=error)
    assert variance(Grouped("he_normal", "depthwise", seed=0)) == pytest.approx(2, rel=error)


def test_transposed_convolutions_count_the_wrong_side(array):
    def variance(initializer):
        layer = layers.Conv2DTranspose(256, 3, padding="valid", use_bias=False, kernel_initializer=initializer)
        return output_variance(layer, array, (1, 12, 40, 64), crop=2)

    border = 40 / 42  # along the other axis 40 inputs of 3 taps reach 42 outputs
    variances = [
        variance(i)
        for i in (
            keras.initializers.LecunNormal(seed=0),
            LayerFans("lecun_normal", "conv_transpose", seed=0),
            Transposed("lecun_normal", seed=0),
        )
    ]
    np.testing.assert_allclose(variances, [border / 4, border, border], rtol=0.05)


def test_glorot_takes_the_outputs_of_all_groups(array):
    """2 / (K I / G + K O / G) for one group; Keras divides by K I / G + K O, which leaves 2 / 9 with 8 groups."""

    def variance(initializer):
        layer = layers.Conv1D(128, 3, groups=8, use_bias=False, kernel_initializer=initializer)
        return output_variance(layer, array, (4, 66, 128))

    error = 5 * math.sqrt(2 / (3 * 16 * 128))
    assert variance(keras.initializers.GlorotUniform(seed=0)) == pytest.approx(2 / 9, rel=error)
    assert variance(LayerFans("glorot_uniform", "conv", groups=8, seed=0)) == pytest.approx(1, rel=error)
    assert variance(Grouped("glorot_uniform", 8, seed=0)) == pytest.approx(1, rel=error)


def test_embeddings_shrink_with_the_vocabulary(array):
    def variance(initializer):
        layer = layers.Embedding(50_000, 64, embeddings_initializer=initializer)
        return float(np.mean(array(layer(np.arange(0, 50_000, 50))) ** 2))

    error = 5 * math.sqrt(2 / 64_000)
    assert variance(keras.initializers.GlorotUniform(seed=0)) == pytest.approx(2 / 50_064, rel=error)  # 4e-5
    assert variance(LayerFans("glorot_uniform", "embedding", seed=0)) == pytest.approx(2 / 65, rel=error)
    assert variance(LayerFans("lecun_normal", "embedding", seed=0)) == pytest.approx(1, rel=error)


def test_glorot_takes_all_gates_for_outputs(array):
    """With open gates a step of an LSTM returns its candidate x W_c: 2 I / (I + 4 U) of the signal instead of 1."""

    def variance(initializer):
        layer = layers.LSTM(
            128,
            activation="linear",
            recurrent_activation=keras.ops.ones_like,
            use_bias=False,
            recurrent_initializer="zeros",
            kernel_initializer=initializer,
        )
        return float(
            np.mean(array(layer(np.random.default_rng(0).standard_normal((500, 1, 128)).astype("float32"))) ** 2)
        )

    error = 5 * math.sqrt(2 / 128**2 + 2 / (500 * 128))
    assert variance(keras.initializers.GlorotUniform(seed=0)) == pytest.approx(2 / 5, rel=error)
    assert variance(LayerFans("glorot_uniform", "lstm", seed=0)) == pytest.approx(1, rel=error)
    assert variance(PerGate("glorot_uniform", 4, seed=0)) == pytest.approx(1, rel=error)


def lecun(kind, **arguments):
    return LayerFans("lecun_normal", kind, seed=3, **arguments)


# Layer, input shape, border to leave out, number of weights that the outputs depend on.
UNIT_VARIANCE = {
    "dense": (lambda: layers.Dense(100, kernel_initializer=lecun("dense")), (300, 100), 0, 10_000),
    "conv": (lambda: layers.Conv2D(32, 3, kernel_initializer=lecun("conv")), (2, 16, 16, 32), 0, 9216),
    "grouped": (
        lambda: layers.Conv2D(64, 3, groups=4, kernel_initializer=lecun("conv", groups=4)),
        (2, 16, 16, 64),
        0,
        9216,
    ),
    "strided": (lambda: layers.Conv1D(64, 4, strides=2, kernel_initializer=lecun("conv")), (8, 66, 32), 0, 8192),
    "depthwise": (
        lambda: layers.DepthwiseConv1D(5, depth_multiplier=4, depthwise_initializer=lecun("depthwise_conv")),
        (8, 40, 200),
        0,
        4000,
    ),
    "separable": (
        lambda: layers.SeparableConv1D(
            100, 5, depthwise_initializer=lecun("depthwise_conv"), pointwise_initializer=lecun("conv")
        ),
        (20, 40, 200),
        0,
        1000,
    ),
    "transposed": (
        lambda: layers.Conv1DTranspose(64, 4, kernel_initializer=lecun("conv_transpose")),
        (8, 40, 32),
        3,
        8192,
    ),
    "transposed, strided": (
        lambda: layers.Conv1DTranspose(64, 4, strides=2, kernel_initializer=lecun("conv_transpose", strides=2)),
        (8, 40, 32),
        4,
        8192,
    ),
    "simple_rnn": (
        lambda: layers.SimpleRNN(100, activation="linear", kernel_initializer=lecun("simple_rnn")),
        (300, 1, 100),
        0,
        10_000,
    ),
    "lstm": (
        lambda: layers.LSTM(
            100, "linear", recurrent_activation=keras.ops.ones_like, use_bias=False, kernel_initializer=lecun("lstm")
        ),
        (300, 1, 100),
        0,
        10_000,
    ),
    "gru": (
        lambda: layers.GRU(100, "linear", recurrent_activation=keras.ops.zeros_like, kernel_initializer=lecun("gru")),
        (300, 1, 100),
        0,
        10_000,
    ),
}


@pytest.mark.parametrize("name", UNIT_VARIANCE)
def test_unit_variance_through_every_layer(array, name):
    """LeCun's scheme keeps variance 1, measured on outputs; 5 standard errors of weights and of inputs."""
    make, shape, crop, weights = UNIT_VARIANCE[name]
    error = 5 * math.sqrt(2 / weights + 2 / math.prod(shape))
    assert output_variance(make(), array, shape, crop) == pytest.approx(1, rel=error)


@pytest.mark.usefixtures("keras_passes_axes")
@pytest.mark.parametrize("initializer", [Distinct("lecun_normal", seed=0), Distinct(PerHead("lecun_normal"), seed=0)])
def test_unit_variance_through_attention(array, initializer):
    layer = layers.MultiHeadAttention(4, 16, kernel_initializer=initializer)
    x = np.random.default_rng(0).standard_normal((1, 200, 64)).astype("float32")
    layer.build(x.shape, x.shape)
    error = 5 * math.sqrt(2 / 64**2 + 2 / x.size)
    for dense in (layer.query_dense, layer.key_dense, layer.value_dense):
        assert np.mean(array(dense(x)) ** 2) == pytest.approx(1, rel=error)
