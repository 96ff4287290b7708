"""ActivationScaled, and what every class that takes an activation does with functions of one's own."""

import json
import math
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops
from scipy import stats

from keras_initkit.initializers import ActivationScaled, CriticalBias, CriticalKernel, LayerFans, ScaledOrthogonal
from keras_initkit.theory import gain

TRUNCATION = (
    2 / 0.87962566103423978
)  # where a normal cut at 2 of its own deviations ends, in deviations of what is left
# Fourth moment over squared second: the variance of N squares is (k - 1) / N.
KURTOSIS = {"truncated_normal": 2.3663, "untruncated_normal": 3.0, "uniform": 1.8}


@pytest.mark.parametrize("distribution", sorted(KURTOSIS))
@pytest.mark.parametrize("mode", ["forward", "variance", "backward"])
@pytest.mark.parametrize("shape", [(300, 200), (3, 3, 64, 48)])
def test_variance_and_bounds(array, distribution, mode, shape):
    values = array(ActivationScaled("gelu", mode, distribution, seed=1)(shape))
    window = math.prod(shape[:-2])
    fan = window * (shape[-1] if mode == "backward" else shape[-2])
    std = gain("gelu", mode) / math.sqrt(fan)
    assert abs(values.mean()) < 5 * std / math.sqrt(values.size)
    error = 5 * math.sqrt((KURTOSIS[distribution] - 1) / values.size)
    assert np.mean(values**2) == pytest.approx(std**2, rel=error)
    bound = {"truncated_normal": TRUNCATION, "uniform": math.sqrt(3), "untruncated_normal": 6.0}[distribution]
    assert bound * 0.6 < np.abs(values).max() / std <= bound * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(50, 30), (3, 3, 8, 16), (1, 8)])
def test_keras_schemes_are_special_cases(array, shape):
    """He is the case of relu, LeCun that of selu and linear: the same numbers from the same seed."""
    pairs = [
        (ActivationScaled("relu", seed=3), keras.initializers.HeNormal(seed=3)),
        (ActivationScaled("relu", distribution="uniform", seed=3), keras.initializers.HeUniform(seed=3)),
        (ActivationScaled("selu", seed=3), keras.initializers.LecunNormal(seed=3)),
        (ActivationScaled("linear", distribution="uniform", seed=3), keras.initializers.LecunUniform(seed=3)),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(array(ours(shape)), array(theirs(shape)), rtol=2e-6, atol=1e-7)


def test_jax_scheme_is_a_special_case(array):
    """Kolmogorov-Smirnov at a level of 1e-6."""
    jax = pytest.importorskip("jax")
    theirs = jax.nn.initializers.variance_scaling(2.0, "fan_out", "truncated_normal")(jax.random.key(0), (3, 3, 16, 40))
    ours = array(ActivationScaled("relu", "backward", seed=0)((3, 3, 16, 40)))
    assert stats.ks_2samp(np.asarray(theirs).ravel(), ours.ravel(), method="asymp").pvalue > 1e-6


@pytest.mark.parametrize(("channels", "published"), [(64, 0.059), (128, 0.042), (256, 0.029), (512, 0.021)])
def test_deviations_of_vgg(channels, published):
    """He et al. 2015, section 2.2."""
    variance = ActivationScaled("relu").variance(9 * channels, 9 * channels)
    assert math.sqrt(variance) == pytest.approx(published, abs=6e-4)


def test_second_moment_at_depth_30(array):
    """Glorot halves the signal in each of 30 relu layers, He keeps it: from the same draws, 2^30 apart in the end.

    The logarithm of what is left spreads by sqrt(30 · 5 / 256) = 0.8 between draws of width 256.
    """
    rng = np.random.default_rng(0)
    start = rng.standard_normal((64, 256))

    def last(kind):
        x = start
        for layer in range(30):
            x = np.maximum(x @ array(kind(seed=layer)((256, 256))), 0)
        return float(np.mean(x**2))

    ours, glorot = last(lambda seed: ActivationScaled("relu", seed=seed)), last(keras.initializers.GlorotNormal)
    assert ours / glorot == pytest.approx(2.0**30, rel=1e-3)
    assert abs(math.log(ours / 0.5)) < 5 * 0.8


@pytest.mark.parametrize("name", ["tanh", "gelu", "sigmoid"])
def test_modes_keep_what_they_promise(array, name):
    """One layer of 1500 units: the second moment, the variance, the gradient's second moment (5 standard errors)."""
    n, f = 1500, getattr(keras.activations, name)
    h = np.random.default_rng(1).standard_normal((60, n))
    out = array(f(ops.convert_to_tensor(h, "float32")))
    allowed = 5 * math.sqrt(2 / n)  # of each row of outputs, with room for their dependence
    forward = out @ array(ActivationScaled(name, seed=0)((n, n)))
    assert np.mean(forward**2) == pytest.approx(1.0, rel=allowed)
    centred = (out - out.mean()) @ array(ActivationScaled(name, "variance", seed=0)((n, n)))
    assert np.mean(centred**2) == pytest.approx(1.0, rel=allowed)
    slopes = (array(f(ops.convert_to_tensor(h + 1e-2, "float32"))) - out) / 1e-2
    kernel = array(ActivationScaled(name, "backward", seed=0)((n, n)))
    gradient = (np.random.default_rng(2).standard_normal((60, n)) @ kernel.T) * slopes
    assert np.mean(gradient**2) == pytest.approx(1.0, rel=allowed)


def numpy_swish(z):
    return z / (1 + np.exp(-z))


def ops_swish(z):
    return z * ops.sigmoid(z)


@pytest.mark.parametrize("mode", ["forward", "variance", "backward"])
@pytest.mark.parametrize(
    ("activation", "name", "reference"),
    [
        (numpy_swish, "numpy_swish", "silu"),
        (ops_swish, "ops_swish", "silu"),
        (keras.activations.silu, "silu", "silu"),
        (layers.Activation("silu"), "silu", "silu"),
        (layers.LeakyReLU(0.2), "LeakyReLU", "leaky_relu"),
        (layers.ReLU(max_value=6), "ReLU", "relu6"),
        (layers.ELU(), "ELU", "elu"),
        (lambda z: ops.tanh(z), "<lambda>", "tanh"),
        (lambda z: ops.cast(z, "float32"), "<lambda>", "linear"),
    ],
)
def test_any_activation(activation, name, reference, mode):
    """In float32, as on JAX, derivatives are accurate to 2e-6."""
    initializer = ActivationScaled(activation, mode)
    config = initializer.get_config()
    assert config["activation"] == name
    assert (config["activation_gain"] is None) == (name == "silu")
    assert initializer.variance(1, 1) == pytest.approx(gain(reference, mode) ** 2, rel=1e-5)


def test_layers_of_mixed_policies_are_measured_in_float32():
    activation = layers.LeakyReLU(0.3, dtype="mixed_bfloat16")
    assert ActivationScaled(activation, "backward").variance(1, 1) == pytest.approx(2 / 1.09, rel=1e-5)


@pytest.mark.parametrize(
    ("build", "rebuilt"),
    [
        (lambda: ActivationScaled(numpy_swish, "backward", seed=2), {"activation_gain": gain("silu", "backward")}),
        (lambda: ScaledOrthogonal(numpy_swish, gain=0.5, seed=2), {"activation_gain": gain("silu")}),
        (lambda: CriticalKernel(lambda z: np.tanh(z), 0.05, seed=2), {"weight_variance": 1.760955}),
    ],
)
def test_configurations_hold_numbers_instead_of_functions(array, build, rebuilt):
    initializer = build()
    config = json.loads(json.dumps(initializer.get_config()))
    for key, number in rebuilt.items():
        assert config[key] == pytest.approx(number, rel=1e-6)
    copy = type(initializer).from_config(config)
    assert copy.get_config() == initializer.get_config()
    np.testing.assert_array_equal(array(copy((6, 4))), array(initializer((6, 4))))
    layer = layers.MultiHeadAttention(2, 4, kernel_initializer=build())
    layer.build((None, 3, 8), (None, 3, 8))
    again = layers.MultiHeadAttention.from_config(json.loads(json.dumps(layer.get_config())))
    again.build((None, 3, 8), (None, 3, 8))
    np.testing.assert_array_equal(array(layer.query_dense.kernel), array(again.query_dense.kernel))


LOAD = """
import json, sys
import keras
import keras_initkit.initializers
model = keras.models.load_model(sys.argv[1])
copies = [layer.__class__.from_config(layer.get_config()) for layer in model.layers]
for copy, layer in zip(copies, model.layers):
    copy.build((None, layer.kernel.shape[0]))
values = [keras.ops.convert_to_numpy(v + 0).tolist() for copy in copies for v in copy.weights]
print("RESULT" + json.dumps(values))
"""


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_models_load_in_another_process_without_the_function(tmp_path):
    pair = {"activation": lambda z: np.tanh(z), "bias_variance": 0.05, "seed": 4}
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(4, kernel_initializer=ActivationScaled(numpy_swish, seed=1)),
            layers.Dense(4, kernel_initializer=ScaledOrthogonal(layers.LeakyReLU(0.3), seed=2)),
            layers.Dense(4, kernel_initializer=CriticalKernel(**pair), bias_initializer=CriticalBias(**pair)),
        ]
    )
    path = str(tmp_path / "model.keras")
    model.save(path)
    done = subprocess.run([sys.executable, "-c", LOAD, path], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    expected = [ops.convert_to_numpy(weight + 0).tolist() for weight in model.weights]
    assert json.loads(done.stdout.split("RESULT")[1]) == expected


def test_a_name_of_ones_own_needs_its_number():
    assert ActivationScaled("mine", activation_gain=1.5).variance(9, 1) == pytest.approx(0.25)
    assert ActivationScaled("relu", activation_gain=1.5).get_config()["activation_gain"] == 1.5
    with pytest.raises(ValueError, match="`activation` to be one of"):
        ActivationScaled("mine")


def test_layers_with_other_fans(array):
    """A depthwise kernel has fan_in 9, whatever the channels; the backward fan of a transposed one is its input's."""
    kernel = array(LayerFans(ActivationScaled("gelu", seed=0), "depthwise_conv")((3, 3, 200, 4)))
    assert kernel.var() == pytest.approx(gain("gelu") ** 2 / 9, rel=5 * math.sqrt(2 / kernel.size))
    kernel = array(LayerFans(ActivationScaled("gelu", "backward", seed=0), "conv_transpose")((3, 3, 20, 60)))
    assert kernel.var() == pytest.approx(gain("gelu", "backward") ** 2 / 180, rel=5 * math.sqrt(2 / kernel.size))


def unusable(_):
    raise RuntimeError("no")


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: ActivationScaled("rellu"), "Did you mean 'relu'"),
        (lambda: ActivationScaled("softmax"), "activation='softmax', whose outputs depend on several inputs"),
        (lambda: ActivationScaled(keras.activations.softmax), "softmax, whose outputs depend on the other inputs"),
        (lambda: ActivationScaled(layers.Softmax()), "elementwise"),
        (lambda: ActivationScaled(layers.Activation("softmax")), "softmax, whose outputs depend"),
        (lambda: ActivationScaled(layers.ReLU), r"Give an instance: ReLU\(\)"),
        (lambda: ActivationScaled(layers.PReLU()), "a layer without weights. Received: PReLU"),
        (lambda: ActivationScaled(None), "for a linear layer write 'linear'"),
        (lambda: ActivationScaled(unusable), r"unusable, which fails on an array of shape \(5,\): RuntimeError: no"),
        (lambda: ActivationScaled(np.sum), "of shape"),
        (lambda: ActivationScaled("relu", "upward"), "`mode` to be one of"),
        (lambda: ActivationScaled("relu", distribution="normal"), "`distribution` to be one of"),
        (lambda: ActivationScaled("relu", activation_gain=0.0), "`activation_gain` to be a finite number above 0"),
        (lambda: ActivationScaled("gelu", "critical"), "critical point that signals do not leave"),
        (lambda: ScaledOrthogonal(layers.Softmax()), "elementwise"),
    ],
)
def test_bad_arguments(build, text):
    with pytest.raises(ValueError, match=text):
        build()
