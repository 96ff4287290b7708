"""What Keras' schemes do in layers that are not plain, and the initializers that fit them. Runs in about 10 seconds."""

import keras
import numpy as np

import keras_initkit.initializers as init

draw = np.random.default_rng(0)


def output_variance(layer, *shape):
    """Return the mean square of what a layer makes of images of mean square 1, away from the border."""
    images = layer(draw.standard_normal((8, *shape)).astype("float32"))
    return float(keras.ops.mean(keras.ops.square(images[:, 2:-2, 2:-2])))


def gates(initializer):
    """Return the least and greatest singular value of the four gates of an LSTM."""
    layer = keras.layers.LSTM(64, recurrent_initializer=initializer)
    layer.build((None, None, 8))
    matrices = np.split(keras.ops.convert_to_numpy(layer.cell.recurrent_kernel), 4, axis=1)
    values = [np.linalg.svd(matrix, compute_uv=False) for matrix in matrices]
    return f"{np.min(values):.3f} to {np.max(values):.3f}"


def query_and_key(initializer):
    """Return whether two kernels of an attention layer are equal."""
    layer = keras.layers.MultiHeadAttention(2, 8, kernel_initializer=initializer)
    layer.build((None, 3, 16), (None, 3, 16))
    return "equal" if keras.ops.all(layer.query_dense.kernel == layer.key_dense.kernel) else "differ"


def depthwise(initializer):
    """Return the variance that a depthwise convolution of 64 channels gives."""
    layer = keras.layers.DepthwiseConv2D(3, depth_multiplier=8, depthwise_initializer=initializer)
    return f"{output_variance(layer, 24, 24, 64):.2f}"


def transposed(initializer):
    """Return the variance that a transposed convolution from 64 to 256 channels gives."""
    layer = keras.layers.Conv2DTranspose(256, 3, kernel_initializer=initializer, padding="same")
    return f"{output_variance(layer, 24, 24, 64):.2f}"


rows = (
    ("variance after a depthwise convolution, 2 wanted", depthwise, "he_normal", "depthwise_conv"),
    ("variance after a transposed convolution, 1 wanted", transposed, "lecun_normal", "conv_transpose"),
)
print(f"{'':52}{'Keras':>16}{'with the kit':>18}")
for text, measure, scheme, layer in rows:
    print(f"{text:52}{measure(scheme):>16}{measure(init.LayerFans(scheme, layer)):>18}")
kernels = (
    query_and_key(keras.initializers.GlorotUniform(seed=1)),
    query_and_key(init.Distinct("glorot_uniform", seed=1)),
)
print(f"{'query and key of attention under seed 1':52}{kernels[0]:>16}{kernels[1]:>18}")
text = "singular values of the gates of LSTM(64), orthogonal"
print(f"{text:52}{gates('orthogonal'):>16}{gates(init.PerGate('orthogonal', 4)):>18}")
