"""What every initializer of the kit must do as a Keras object. A new registry row is tested by being there."""

import inspect
import json
import random

import keras
import numpy as np
import pytest

from keras_initkit.initializers import describe, fresh_per_call, get, reseeded
from keras_initkit.initializers.registry import class_of

SHAPES = [(5, 7), (7, 5), (1, 1), (3, 4, 6), (2, 4, 6), (3, 3, 4, 6), (2, 4, 6, 3), (2, 3, 2, 4, 6), (1, 8)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(row, build, numpy_of, shape):
    values = numpy_of(build()(shape))
    assert values.shape == shape
    assert np.isfinite(values).all()
    assert row.name == "Tiled" or values.any()


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (3, 0, 4), (0, 0)], ids=str)
def test_empty_shapes(build, numpy_of, shape):
    assert numpy_of(build()(shape)).shape == shape


def test_vectors_work_or_give_the_stated_error(row, build, numpy_of):
    if row.minimum_rank < 2:
        assert numpy_of(build()((6,))).shape == (6,)
    else:
        with pytest.raises(ValueError, match=rf"at least 2 axes: {row.name} is not defined for vectors.*\(6,\)"):
            build()((6,))


@pytest.mark.parametrize("shape", [(3, None), (3, -1), (3.0, 2), "ab", 3], ids=repr)
def test_bad_shapes(build, shape):
    with pytest.raises(ValueError, match="Expected `shape` to be a tuple of sizes"):
        build()(shape)


@pytest.mark.parametrize(("dtype", "error"), [("float32", 0), ("float16", 2**-10), ("bfloat16", 2**-7)])
def test_dtypes_are_casts_of_the_same_float32_values(build, numpy_of, dtype, error):
    values = build()((6, 10), dtype=dtype)
    assert keras.backend.standardize_dtype(values.dtype) == dtype
    reference = numpy_of(build()((6, 10)))
    np.testing.assert_allclose(numpy_of(values), reference, rtol=error, atol=error * 1e-3)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no 64-bit floats unless told otherwise")
def test_float64(build, numpy_of):
    assert numpy_of(build()((6, 10), dtype="float64")).shape == (6, 10)


@pytest.mark.parametrize("dtype", ["int32", "bool", "complex64"])
def test_other_dtypes_are_refused(build, dtype):
    with pytest.raises(ValueError, match=f"Expected `dtype` to be floating.*{dtype}"):
        build()((3, 4), dtype=dtype)


def test_keras_may_shard_the_values_itself(row):
    """An initializer with a `layout` argument is called under a mesh in which seed generators cannot be read."""
    assert "layout" not in inspect.signature(class_of(row).__call__).parameters


def test_seeds(row, build, numpy_of):
    shape = (6, 8)
    first = build()
    np.testing.assert_array_equal(numpy_of(first(shape)), numpy_of(first(shape)))
    np.testing.assert_array_equal(numpy_of(first(shape)), numpy_of(build()(shape)))
    np.testing.assert_array_equal(numpy_of(first(shape)), numpy_of(first.clone()(shape)))
    if row.deterministic:
        assert first.seed is None
        assert "seed" not in first.get_config()
    else:
        assert first.seed == 0
        assert not np.array_equal(numpy_of(first(shape)), numpy_of(build(seed=1)(shape)))


def test_no_seed_follows_python_random(row, build, numpy_of):
    state = random.getstate()
    try:
        random.seed(5)
        first, second = build(seed=None), build(seed=None)
        drawn = random.random()
        random.seed(5)
        third = build(seed=None)
    finally:
        random.setstate(state)
    values = [numpy_of(initializer((6, 8))) for initializer in (first, second, third)]
    np.testing.assert_array_equal(values[0], values[2])
    if row.deterministic:
        np.testing.assert_array_equal(values[0], values[1])
        assert drawn == random.Random(5).random(), "a deterministic class must not draw from Python's random"
    else:
        assert not np.array_equal(values[0], values[1])
        assert first.get_config()["seed"] is None
        assert isinstance(first.seed, int)


def test_seed_generator(row, build, numpy_of):
    if row.deterministic:
        pytest.skip("takes no seed")
    initializer = build(seed=keras.random.SeedGenerator(3))
    first, second = numpy_of(initializer((6, 8))), numpy_of(initializer((6, 8)))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(numpy_of(initializer.clone()((6, 8))), first)
    assert describe(initializer)["seed"] == 3


@pytest.mark.parametrize("seed", [1.5, "1", True, [1], -1, 2**32], ids=repr)
def test_bad_seeds(row, build, seed):
    if row.deterministic:
        with pytest.raises(TypeError, match="seed"):
            class_of(row)(seed=seed, **row.example)
    else:
        with pytest.raises(ValueError, match="Expected `seed` to be None, an integer from 0 to 4294967295 or a"):
            build(seed=seed)


@pytest.mark.parametrize("seed", [0, np.int64(7), 2**32 - 1, None, "generator"], ids=repr)
def test_config_round_trip_through_json(build, numpy_of, seed):
    initializer = build(seed=keras.random.SeedGenerator(4) if seed == "generator" else seed)
    config = initializer.get_config()
    copy = type(initializer).from_config(json.loads(json.dumps(config)))
    assert copy.get_config() == config
    assert numpy_of(initializer((6, 8))).shape == (6, 8)
    if seed is not None:
        values = numpy_of(type(initializer).from_config(config)((6, 8)))
        np.testing.assert_array_equal(numpy_of(copy((6, 8))), values)


def test_lookup_by_every_identifier(row, build, numpy_of):
    initializer = build()
    expected = numpy_of(initializer((4, 8)))
    serialized = keras.initializers.serialize(initializer)
    identifiers = [initializer, serialized, {"class_name": row.name, "config": initializer.get_config()}]
    for identifier in identifiers:
        np.testing.assert_array_equal(numpy_of(get(identifier)((4, 8))), expected)
    np.testing.assert_array_equal(numpy_of(keras.initializers.get(serialized)((4, 8))), expected)
    for name in (row.name, row.alias, f"keras_initkit>{row.name}", class_of(row)):
        if row.example:
            with pytest.raises(ValueError, match=f"{row.name} needs arguments.*for example"):
                get(name)
        else:
            assert isinstance(get(name), class_of(row))


def test_axes_make_a_kernel_of_any_order_the_same_matrix(row, build, numpy_of):
    """A query kernel (D, H, K) is the dense kernel (D, H·K); an output kernel (H, K, D) is (H·K, D)."""
    if row.example:
        pytest.skip("a wrapped initializer draws in the kernel's own order")
    query = build(input_axes=[0], output_axes=[1, 2])((6, 2, 5))
    np.testing.assert_allclose(numpy_of(query).reshape(6, 10), numpy_of(build()((6, 10))), atol=1e-6)
    output = build(input_axes=[0, 1], output_axes=[2])((2, 5, 6))
    np.testing.assert_allclose(numpy_of(output).reshape(10, 6), numpy_of(build()((10, 6))), atol=1e-6)
    turned = build(input_axes=[2], output_axes=[0])((10, 1, 6))
    np.testing.assert_allclose(numpy_of(turned)[:, 0, :].T, numpy_of(build()((6, 10))), atol=1e-6)


def test_one_axis_argument_is_refused(build):
    with pytest.raises(ValueError, match="given together"):
        build(input_axes=[0])


def test_reseeded(row, build, numpy_of):
    initializer = build(seed=1)
    copy = reseeded(initializer, 2)
    if row.deterministic:
        assert copy is initializer
        return
    assert (initializer.seed, copy.seed) == (1, 2)
    np.testing.assert_array_equal(numpy_of(copy((6, 8))), numpy_of(build(seed=2)((6, 8))))


def test_fresh_per_call(row, build, numpy_of):
    shared = fresh_per_call(build(seed=1))
    equal = np.array_equal(numpy_of(shared((6, 8))), numpy_of(shared((6, 8))))
    assert equal == row.deterministic
    if not row.deterministic:
        assert shared.get_config()["seed"] is None


def test_description(row, build):
    record = describe(build(seed=9))
    assert record["name"] == row.alias
    assert record["class"] == row.name
    assert record["seed"] == (None if row.deterministic else 9)
    assert json.loads(json.dumps(record)) == record
