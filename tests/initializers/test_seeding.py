"""fresh_per_call and reseeded in layers that copy their initializers, for Keras' classes too."""

import random

import keras
import numpy as np
import pytest

from keras_initkit.initializers import (
    Distinct,
    LayerFans,
    PerGate,
    Perturbed,
    Portable,
    Scaled,
    Tiled,
    ZerO,
    describe,
    fresh_per_call,
    reseeded,
)


def attention_kernels(array, initializer):
    x = np.ones((1, 3, 8), "float32")
    layer = keras.layers.MultiHeadAttention(2, 4, kernel_initializer=initializer)
    layer(x, x)
    return [array(dense.kernel) for dense in (layer.query_dense, layer.key_dense, layer.value_dense)]


def are_equal(arrays):
    return [np.array_equal(a, b) for i, a in enumerate(arrays) for b in arrays[i + 1 :]]


@pytest.mark.parametrize("name", ["glorot_uniform", "random_normal", "scaled_orthogonal", "orthogonal"])
def test_attention_kernels_differ_only_when_fresh(array, name):
    assert all(are_equal(attention_kernels(array, reseeded(name, 1)))), "the trap that fresh_per_call is for"
    assert not any(are_equal(attention_kernels(array, fresh_per_call(reseeded(name, 1)))))


@pytest.mark.parametrize(
    "initializer", ["he_normal", Tiled(3), Perturbed("ones")], ids=["he_normal", "Tiled", "Perturbed"]
)
def test_one_shared_instance_gives_each_layer_its_own_values(array, initializer):
    shared = fresh_per_call(initializer)
    kernels = []
    for _ in range(3):
        layer = keras.layers.Dense(6, kernel_initializer=shared)
        layer.build((None, 4))
        kernels.append(array(layer.kernel))
    assert not any(are_equal(kernels))


def test_bidirectional_directions_differ(array):
    layer = keras.layers.Bidirectional(keras.layers.LSTM(3, kernel_initializer=fresh_per_call("glorot_uniform")))
    layer.build((None, 4, 5))
    assert not any(are_equal([array(layer.forward_layer.cell.kernel), array(layer.backward_layer.cell.kernel)]))


def test_fresh_values_follow_python_random(array):
    def kernels(seed):
        random.seed(seed)
        shared = fresh_per_call("glorot_uniform")
        layer = keras.layers.Dense(5, kernel_initializer=shared)
        layer.build((None, 4))
        return [array(layer.kernel), *attention_kernels(array, shared)]

    state = random.getstate()
    try:
        first, second, other = kernels(1), kernels(1), kernels(2)
    finally:
        random.setstate(state)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_fresh_instance_is_saved_without_seed():
    shared = fresh_per_call(keras.initializers.HeNormal(seed=3))
    assert shared.get_config()["seed"] is None
    assert isinstance(describe(shared)["seed"], int)
    assert isinstance(keras.initializers.get(keras.initializers.serialize(shared)).seed, int)


def test_reseeded_leaves_the_original_and_what_has_no_seed():
    original = keras.initializers.RandomNormal(stddev=0.3, seed=1)
    copy = reseeded(original, np.int64(2))
    assert (original.seed, copy.seed, copy.stddev) == (1, 2, 0.3)
    assert isinstance(copy.seed, int)
    for unseeded in (ZerO(), keras.initializers.Zeros(), lambda shape, dtype=None: keras.ops.ones(shape, dtype)):
        assert reseeded(unseeded, 3) is unseeded
        assert fresh_per_call(unseeded) is unseeded


def test_reseeded_reaches_what_is_wrapped(array):
    nested = Tiled(2, Perturbed("glorot_uniform", 0.0), seed=1)
    expected = array(Tiled(2, "glorot_uniform", seed=5)((4, 6)))
    np.testing.assert_array_equal(array(reseeded(nested, 5)((4, 6))), expected)


def test_bad_seed():
    with pytest.raises(ValueError, match="`seed` to be None, an integer from 0 to"):
        reseeded("glorot_uniform", "5")


def test_descriptions_of_what_is_not_a_kit_class():
    assert describe("zeros") == {"name": "zeros", "class": "Zeros", "config": {}, "seed": None}

    def my_values(shape, dtype=None):
        return keras.ops.ones(shape, dtype)

    assert describe(my_values)["class"] == "function"
    assert describe(my_values)["name"].endswith("my_values")
    assert describe(np.ones((2, 2)))["class"] == "function"
    nested = describe(Perturbed(keras.initializers.Constant(np.arange(3.0)), seed=2))
    assert nested["seed"] == 2
    assert nested["config"]["initializer"]["class_name"] == "Constant"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda i: Scaled(i, 1.0),
        lambda i: PerGate(i, 2),
        Portable,
        Perturbed,
        lambda i: LayerFans(i, "dense"),
        lambda i: Scaled(PerGate(i, 2), 1.0),
    ],
)
def test_a_wrapper_takes_the_generator_itself(array, wrap):
    """A copy of the generator would start over, and every layer would get the same kernel."""
    generator = keras.random.SeedGenerator(7)
    first, second = (array(wrap(keras.initializers.HeNormal(seed=generator))((4, 4))) for _ in range(2))
    assert not np.array_equal(first, second)
    assert wrap(keras.initializers.HeNormal(seed=generator)).seed is generator


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Scaled("he_normal", 1.0, seed={}), "Expected `seed` to be None, an integer"),
        (lambda: Distinct("he_normal", seed={"a": 1}), "Expected `seed` to be None, an integer"),
        (lambda: ZerO(input_axes=0, output_axes=1), "Expected `input_axes` to be a list of integers"),
        (lambda: ZerO(input_axes=[0.7], output_axes=[1]), "Expected `input_axes` to be a list of integers"),
        (lambda: Scaled("he_normal", 1.0, input_axes=[5], output_axes=[1])((8, 8)), "name different axes of a kernel"),
        (lambda: Scaled("he_normal", 1.0, input_axes=[0], output_axes=[0])((8, 8)), "name different axes of a kernel"),
    ],
)
def test_bad_seeds_and_axes(build, text):
    with pytest.raises(ValueError, match=text):
        build()
