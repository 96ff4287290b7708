"""Distinct: new values at each call, the same model from the same seed."""

import copy
import json
import pickle

import keras
import numpy as np
import pytest
from keras import layers

from keras_initkit.initializers import Distinct, Perturbed, Portable, get, serialize
from keras_initkit.initializers.distinct import CountingSeed


def kernels(array, layer, *inputs):
    layer(*inputs)
    return [array(weight) for weight in layer.weights if "kernel" in weight.name]


SEQUENCE = np.ones((1, 3, 8), "float32")


def all_differ(arrays):
    return all(a.shape != b.shape or not np.array_equal(a, b) for i, a in enumerate(arrays) for b in arrays[i + 1 :])


@pytest.mark.parametrize(
    "make",
    [
        lambda i: (layers.MultiHeadAttention(2, 4, kernel_initializer=i), SEQUENCE, SEQUENCE),
        lambda i: (layers.GroupQueryAttention(4, 4, 2, kernel_initializer=i), SEQUENCE, SEQUENCE),
        lambda i: (layers.Bidirectional(layers.LSTM(4, kernel_initializer=i, recurrent_initializer=i)), SEQUENCE),
        lambda i: (keras.Sequential([layers.Dense(8, kernel_initializer=i) for _ in range(3)]), SEQUENCE),
        lambda i: (layers.Bidirectional(layers.GRU(8, kernel_initializer=i, recurrent_initializer=i)), SEQUENCE),
    ],
)
def test_no_two_kernels_are_equal(array, make):
    """The same layers with the initializer itself have equal kernels."""
    plain, *inputs = make(keras.initializers.GlorotUniform(seed=1))
    assert not all_differ(kernels(array, plain, *inputs))
    first, second = (make(Distinct("glorot_uniform", seed=1)) for _ in range(2))
    values = kernels(array, *first)
    assert all_differ(values)
    for one, other in zip(values, kernels(array, *second), strict=True):
        np.testing.assert_array_equal(one, other)


def test_seeds_give_other_models(array):
    one, other = (Distinct("glorot_uniform", seed=seed) for seed in (1, 2))
    draws = [array(initializer((4, 4))) for initializer in (one, other, one, other)]
    assert all_differ(draws)


def test_order_of_other_shapes_does_not_matter(array):
    one, other = Distinct("glorot_uniform", seed=1), Distinct("glorot_uniform", seed=1)
    one((3, 3))
    np.testing.assert_array_equal(array(one((4, 4))), array(other((4, 4))))


def test_copies_in_the_process_count_together_and_copies_from_json_start_over(array):
    first = Distinct("he_normal", seed=7)
    value = array(first((4, 4)))
    copy = get(serialize(first))
    assert not np.array_equal(array(copy((4, 4))), value)
    read = get(json.loads(json.dumps(serialize(first))))
    assert type(read.get_config()["seed"]) is CountingSeed
    np.testing.assert_array_equal(array(read((4, 4))), value)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_of_the_object_go_on_where_it_was(array, copied):
    first = Distinct("he_normal", seed=7)
    first((4, 4))
    one, other = copied(first), copied(first)
    second = array(first((4, 4)))
    np.testing.assert_array_equal(array(one((4, 4))), second)
    np.testing.assert_array_equal(array(other((4, 4))), second)


def test_unseeded_copies_are_unseeded(array):
    first = Distinct("he_normal")
    assert first.get_config()["seed"] is None
    assert not np.array_equal(array(first.clone()((4, 4))), array(first((4, 4))))
    assert not np.array_equal(array(first((4, 4))), array(first((4, 4))))


def test_around_other_wrappers(array):
    shared = Distinct(Portable(Perturbed("he_normal")), seed=3)
    assert all_differ([array(shared((4, 4))) for _ in range(3)])


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Portable(Distinct("he_normal")), "Expected Distinct to be the outermost wrapper"),
        (lambda: Distinct(Distinct("he_normal")), "outermost"),
        (lambda: Distinct("he_normal", seed=keras.random.SeedGenerator(1)), "counts its calls itself"),
        (lambda: Distinct(keras.initializers.HeNormal(seed=1), seed=2), "Expected one seed"),
    ],
)
def test_errors(build, text):
    with pytest.raises(ValueError, match=text):
        build()
