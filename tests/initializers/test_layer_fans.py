"""LayerFans: the variance of what comes out of real layers, and the same bits where Keras reads the fans rightly."""

import json
import math

import keras
import numpy as np
import pytest
from keras import layers

from keras_initkit.initializers import Grouped, LayerFans, PerGate, PerHead, Scaled, ScaledOrthogonal, Transposed

SCHEMES = ("he_normal", "glorot_uniform", "lecun_normal", "he_uniform")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("layer", "shape"), [("dense", (6, 9)), ("conv", (3, 3, 4, 6)), ("simple_rnn", (5, 5))])
def test_bits_of_the_wrapped_scheme_where_keras_is_right(array, scheme, layer, shape):
    plain = type(keras.initializers.get(scheme))(seed=3)
    np.testing.assert_array_equal(array(LayerFans(scheme, layer, seed=3)(shape)), array(plain(shape)))


# Layer, its input without the batch, kind, variance of an output of he_normal by the true fans.
PLACES = {
    "depthwise": (lambda i: layers.DepthwiseConv2D(3, depthwise_initializer=i, use_bias=False), (24, 24, 64)),
    "transposed": (lambda i: layers.Conv2DTranspose(32, 3, kernel_initializer=i, use_bias=False), (16, 16, 64)),
    "strided transposed": (
        lambda i: layers.Conv2DTranspose(32, 4, strides=2, kernel_initializer=i, use_bias=False),
        (16, 16, 64),
    ),
    "grouped": (lambda i: layers.Conv2D(64, 3, groups=4, kernel_initializer=i, use_bias=False), (16, 16, 64)),
    "embedding": (lambda i: layers.Embedding(500, 64, embeddings_initializer=i), None),
}
KINDS = {"transposed": "conv_transpose", "strided transposed": "conv_transpose", "depthwise": "depthwise_conv"}


def output_variance(array, place, initializer):
    """Return the mean square of what the layer makes of independent inputs of variance 1, away from the border."""
    make, shape = PLACES[place]
    draw = np.random.default_rng(0)
    x = draw.integers(0, 500, (8, 40)) if shape is None else draw.standard_normal((8, *shape)).astype("float32")
    y = array(make(initializer)(x))
    inner = y if shape is None else y[:, 4:-4, 4:-4]
    return float(np.mean(inner**2))


@pytest.mark.parametrize("place", PLACES)
def test_variance_of_what_comes_out(array, place):
    """He's scheme makes the output's variance 2. Kernels of n weights give it up to 5 sqrt(2 / n) of that."""
    options = {"strides": 2} if place.startswith("strided") else {"groups": 4} if place == "grouped" else {}
    kind = KINDS.get(place, "conv" if place == "grouped" else place)
    found = output_variance(array, place, LayerFans("he_normal", kind, seed=1, **options))
    weights = {"depthwise": 9 * 64, "embedding": 500 * 64}.get(place, 9 * 16 * 64)
    assert found == pytest.approx(2.0, rel=5 * math.sqrt(2 / weights))


@pytest.mark.parametrize(
    ("kind", "shape", "options", "fan_in", "fan_out"),
    [
        ("lstm", (64, 256), {}, 64, 64),
        ("gru", (40, 192), {}, 40, 64),
        ("conv_lstm", (3, 3, 16, 64), {}, 144, 144),
        ("conv", (3, 3, 16, 64), {"groups": 4}, 144, 144),
    ],
)
def test_glorot_of_gates_and_groups(array, kind, shape, options, fan_in, fan_out):
    kernel = array(LayerFans("glorot_uniform", kind, seed=0, **options)(shape))
    bound = math.sqrt(6 / (fan_in + fan_out))
    assert np.abs(kernel).max() == pytest.approx(bound, rel=2e-3)
    assert np.abs(kernel).max() <= bound * (1 + 1e-6)


def test_layers_are_named_in_many_ways():
    conv = layers.Conv2D(8, 3, groups=4, strides=(2, 1))
    config = LayerFans("he_normal", conv).get_config()
    assert (config["layer"], config["groups"], config["strides"]) == ("conv", 4, [2, 1])
    json.dumps(config)
    for name in ("DepthwiseConv2D", "depthwise_conv", "depthwise_conv1d", layers.DepthwiseConv1D):
        assert LayerFans("he_normal", name).layer == "depthwise_conv"
    assert LayerFans("he_normal", "conv", strides=np.array([2, 1])).get_config()["strides"] == [2, 1]
    kinds = {
        layers.Conv1DTranspose: "conv_transpose",
        layers.LSTMCell: "lstm",
        layers.ConvLSTM2D: "conv_lstm",
        layers.GRU: "gru",
        layers.Embedding: "embedding",
        layers.SimpleRNN: "simple_rnn",
    }
    for layer, kind in kinds.items():
        assert LayerFans("he_normal", layer).layer == kind


@pytest.mark.usefixtures("keras_passes_axes")
def test_axes_from_attention_are_the_truth(array):
    expected = array(keras.initializers.HeNormal(seed=1, input_axes=[0], output_axes=[1, 2])((8, 2, 4)))
    found = LayerFans("he_normal", "dense", seed=1, input_axes=[0], output_axes=[1, 2])((8, 2, 4))
    np.testing.assert_array_equal(array(found), expected)


@pytest.mark.parametrize(
    "wrap",
    [lambda i: PerGate(i, 4), lambda i: Grouped(i, 2), Transposed, PerHead, lambda i: PerGate(Scaled(i, 2.0), 4)],
)
def test_blocks_have_plain_fans(wrap):
    with pytest.raises(ValueError, match="Expected no LayerFans inside .* fans are read rightly|has plain fans"):
        wrap(LayerFans("he_normal", "lstm"))


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: LayerFans("he_normal", "depthwise"), "Received: layer='depthwise'"),
        (lambda: LayerFans("he_normal", 3), "Received: layer=3"),
        (lambda: LayerFans("he_normal", layers.SeparableConv2D), "depthwise_conv' for its depthwise_initializer"),
        (lambda: LayerFans("he_normal", layers.MultiHeadAttention), "they need no LayerFans"),
        (lambda: LayerFans("orthogonal", "conv"), "scale the variance of independent weights"),
        (lambda: LayerFans(ScaledOrthogonal(), "conv"), "use PerGate, PerHead, Grouped or Transposed"),
        (lambda: LayerFans("random_normal", "conv"), "scale the variance"),
        (lambda: LayerFans("he_normal", layers.Bidirectional), "Give the layer inside it"),
        (lambda: LayerFans("he_normal", "conv", strides=[]), "`strides` to be an integer"),
        (lambda: LayerFans("he_normal", "conv", groups=0), "`groups` to be an integer of at least 1"),
        (lambda: LayerFans("he_normal", "conv", strides=(1, 0)), "`strides` to be an integer of at least 1"),
        (lambda: LayerFans("he_normal", "lstm")((3, 6)), "4 equal blocks"),
        (lambda: LayerFans("he_normal", "conv")((6,)), "to have the shape"),
    ],
)
def test_errors(build, text):
    with pytest.raises(ValueError, match=text):
        build()
