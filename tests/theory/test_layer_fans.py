"""The fans of real layers, counted by pushing ones through them."""

import numpy as np
import pytest

from keras_initkit.theory import LAYER_KINDS, fans, layer_fans


@pytest.mark.parametrize(
    ("kind", "shape", "options", "expected"),
    [
        ("dense", (3, 4), {}, (3, 4)),
        ("conv", (3, 3, 16, 32), {}, (144, 288)),
        ("conv", (3, 3, 4, 32), {"groups": 4}, (36, 72)),
        ("conv", (3, 3, 16, 32), {"strides": 2}, (144, 72)),
        ("conv", (3, 5, 16, 32), {"strides": (1, 2)}, (240, 240)),
        ("depthwise_conv", (3, 3, 64, 1), {}, (9, 9)),
        ("depthwise_conv", (3, 3, 64, 8), {}, (9, 72)),
        ("conv_transpose", (3, 3, 16, 64), {}, (576, 144)),
        ("conv_transpose", (4, 4, 8, 16), {"strides": 2}, (64, 128)),
        ("simple_rnn", (5, 7), {}, (5, 7)),
        ("gru", (5, 21), {}, (5, 7)),
        ("lstm", (5, 28), {}, (5, 7)),
        ("conv_lstm", (3, 3, 5, 28), {}, (45, 63)),
        ("embedding", (50000, 64), {}, (1, 64)),
        ("dense", (0, 4), {}, (0, 4)),
    ],
)
def test_table(kind, shape, options, expected):
    assert layer_fans(kind, shape, **options) == expected


def dense_map(forward, inputs):
    """Return the matrix of a linear map from one flat sample to one flat sample, by its columns."""
    size = int(np.prod(inputs))
    basis = np.eye(size, dtype="float32").reshape(size, *inputs)
    return np.asarray(forward(basis)).reshape(size, -1)


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("kind", ["conv", "grouped", "depthwise_conv", "conv_transpose"])
def test_fans_are_the_connections_of_the_layer(kind, strides):
    """Away from the border, the average number of inputs of an output, and of outputs of an input, are the fans."""
    import keras

    options = {"strides": strides, "use_bias": False, "padding": "same"}
    layer = {
        "conv": lambda: keras.layers.Conv1D(6, 4, kernel_initializer="ones", **options),
        "grouped": lambda: keras.layers.Conv1D(6, 4, groups=2, kernel_initializer="ones", **options),
        "depthwise_conv": lambda: keras.layers.DepthwiseConv1D(
            4, depth_multiplier=3, depthwise_initializer="ones", **options
        ),
        "conv_transpose": lambda: keras.layers.Conv1DTranspose(6, 4, kernel_initializer="ones", **options),
    }[kind]()
    length, channels = 32, 4
    matrix = dense_map(lambda x: keras.ops.convert_to_numpy(layer(x)), (length, channels)) != 0
    outputs = matrix.shape[1] // length if strides == 1 else None
    inner_inputs = matrix.reshape(length, channels, -1)[8:-8].reshape(-1, matrix.shape[1])
    steps = matrix.shape[1] // (12 if kind == "depthwise_conv" else 6)
    middle = matrix.reshape(matrix.shape[0], steps, -1)[:, steps // 4 : -(steps // 4)].reshape(matrix.shape[0], -1)
    kernel = layer.kernel.shape
    counted = layer_fans(
        "conv" if kind == "grouped" else kind, tuple(kernel), groups=2 if kind == "grouped" else 1, strides=strides
    )
    assert counted == pytest.approx((middle.sum(axis=0).mean(), inner_inputs.sum(axis=1).mean()))
    assert outputs is None or outputs > 0


def test_plain_layers_agree_with_the_plain_reading():
    for kind, shape in (("dense", (6, 9)), ("conv", (3, 2, 6, 9)), ("simple_rnn", (6, 9))):
        assert layer_fans(kind, shape) == fans(shape)


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        (("depthwise", (3, 3, 4, 1)), {}, "Did you mean 'depthwise_conv'"),
        (("conv", (3, 4)), {}, r"conv layer to have the shape \(\*k, I / groups, O\). Received: shape=\(3, 4\)"),
        (("dense", (3, 3, 4)), {}, "dense layer to have the shape"),
        (("lstm", (3, 6)), {}, "lstm kernel to hold 4 equal blocks"),
        (("conv", (3, 4, 6)), {"groups": 4}, "conv kernel to hold 4 equal blocks"),
        (("conv", (3, 3, 4, 6)), {"strides": (1, 2, 2)}, "one for each of the 2 spatial axes"),
    ],
)
def test_errors(arguments, options, text):
    with pytest.raises(ValueError, match=text):
        layer_fans(*arguments, **options)


def test_every_kind_is_in_the_docstring():
    assert all(f"`{kind}`" in layer_fans.__doc__ for kind in LAYER_KINDS)
