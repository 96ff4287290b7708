"""SmallInit, WangInit and DepthScaled: deviations as published, factors on any scheme."""

import math

import keras
import numpy as np
import pytest

from keras_initkit.initializers import DepthScaled, Distinct, LayerFans, SmallInit, WangInit
from keras_initkit.theory import depth_factor


@pytest.mark.parametrize("shape", [(64, 64), (64, 256), (256, 64), (5000, 64)])
def test_small_and_wang_depend_on_the_width_of_the_model_alone(array, shape):
    small, wang = array(SmallInit(seed=0)(shape)), array(WangInit(6, seed=0)(shape))
    allowed = 5 * math.sqrt(0.5 / small.size)
    assert small.std() == pytest.approx(math.sqrt(2 / (5 * 64)), rel=allowed)
    assert wang.std() == pytest.approx(2 / (6 * 8), rel=allowed)


def test_small_is_glorot_for_feed_forward_kernels(array):
    glorot = keras.initializers.GlorotNormal(seed=1)((32, 128))
    np.testing.assert_allclose(
        array(SmallInit(distribution="truncated_normal", seed=1)((32, 128))), array(glorot), 2e-6
    )


def test_a_given_width_counts():
    assert SmallInit(width=100).variance(3, 4) == pytest.approx(0.004)
    assert WangInit(10, width=100).variance(3, 4) == pytest.approx(0.0004)


@pytest.mark.parametrize("rule", ["gpt2", "deepnet", "deepnet_decoder", "tfixup_encoder", "tfixup_decoder"])
@pytest.mark.parametrize("scheme", ["glorot_uniform", "orthogonal", "ones"])
def test_depth_scaled_multiplies(array, rule, scheme):
    kind = keras.initializers.get(scheme)
    inner = type(kind)(seed=5) if "seed" in kind.get_config() else kind
    found = array(DepthScaled(scheme, 8, rule, seed=5)((6, 6)))
    np.testing.assert_allclose(found, depth_factor(rule, 8) * array(inner((6, 6))), rtol=1e-6)


@pytest.mark.parametrize(
    ("rule", "keywords"),
    [("beit", {"layer": 3}), ("ds_init", {"layer": 8}), ("fixup", {"branch_layers": 3})],
)
def test_rules_with_arguments(array, rule, keywords):
    initializer = DepthScaled("he_normal", 8, rule, seed=1, **keywords)
    assert initializer.get_config() | keywords == initializer.get_config()
    expected = depth_factor(rule, 8, **keywords) * array(keras.initializers.HeNormal(seed=1)((4, 4)))
    np.testing.assert_allclose(array(initializer((4, 4))), expected, rtol=1e-6)


def test_depth_scaled_works_with_other_wrappers(array):
    inside = DepthScaled(LayerFans("he_normal", "depthwise_conv"), 2, seed=0)
    np.testing.assert_allclose(
        array(inside((3, 3, 4, 1))),
        0.5 * array(LayerFans("he_normal", "depthwise_conv", seed=0)((3, 3, 4, 1))),
        rtol=1e-6,
    )
    shared = Distinct(DepthScaled("glorot_uniform", 2), seed=0)
    assert not np.array_equal(array(shared((3, 3))), array(shared((3, 3))))


def test_residual_stream_of_a_keras_model(array):
    """24 blocks of two dense branches on a normalised stream: 2 instead of 49, with a spread of 2 % at width 200."""

    def final(initializer):
        shared = Distinct(initializer, seed=0)
        inputs = x = keras.Input((200,))
        for _ in range(48):
            branch = keras.layers.UnitNormalization()(x)
            x = x + keras.layers.Dense(200, use_bias=False, kernel_initializer=shared)(branch)
        scaled = math.sqrt(200) * np.eye(200, dtype="float32")  # each input has a mean square of 1
        return float(np.mean(array(keras.Model(inputs, x)(scaled)) ** 2))

    scheme = keras.initializers.RandomNormal(stddev=1.0)  # unit branches, since the stream has norm 1 there
    assert final(scheme) == pytest.approx(49.0, rel=0.1)
    assert final(DepthScaled(scheme, num_layers=24)) == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: SmallInit(width=0), "`width` to be an integer of at least 1"),
        (lambda: SmallInit(distribution="normal"), "`distribution` to be one of"),
        (lambda: WangInit(0), "`num_layers` to be an integer of at least 1"),
        (lambda: WangInit(1.5), "`num_layers` to be an integer of at least 1"),
        (lambda: DepthScaled("ones", 4, "gpt"), "Did you mean 'gpt2'"),
        (lambda: DepthScaled("ones", 4, "beit"), "Expected `layer` for rule='beit'"),
        (lambda: DepthScaled("ones", 4, layer=2), "Expected no `layer` for rule='gpt2'"),
        (lambda: DepthScaled(None, 4), "Expected `initializer` to be an initializer"),
    ],
)
def test_bad_arguments(build, text):
    with pytest.raises(ValueError, match=text):
        build()
