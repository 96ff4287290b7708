"""What every initializer of the kit must do as a Keras object. A new registry row is tested by being there."""

import inspect
import json
import random

import keras
import numpy as np
import pytest

from keras_initkit.initializers import Portable, describe, fresh_per_call, get, reseeded
from keras_initkit.initializers.registry import class_of
from keras_initkit.initializers.variance import VarianceKernel


def test_shapes_as_layers_report_them(build, shape, numpy_of):
    """On TensorFlow `kernel.shape` is a TensorShape."""
    kernel = keras.Variable(np.zeros(shape))
    assert numpy_of(build()(kernel.shape)).shape == shape
    assert numpy_of(build()(keras.ops.zeros(shape).shape)).shape == shape


def test_shapes(row, build, numpy_of):
    for shape in row.shapes:
        values = numpy_of(build()(shape))
        assert values.shape == shape
        assert np.isfinite(values).all()
        assert row.name == "Tiled" or values.any()


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (3, 0, 4), (0, 0), (0,)], ids=str)
def test_empty_shapes(row, build, numpy_of, shape):
    if "input_axes" in row.example:
        shape = (0, *row.shapes[0][1:])
    elif len(shape) < row.minimum_rank:
        shape = (*shape, *[3] * (row.minimum_rank - len(shape)))
    assert numpy_of(build()(shape)).shape == shape


def test_vectors_work_or_give_the_stated_error(row, build, numpy_of):
    if row.kind == "kernel":
        assert row.minimum_rank >= 2
        for shape in ((6,), (6, 6))[: row.minimum_rank - 1]:
            with pytest.raises(ValueError, match=rf"at least {row.minimum_rank} axes: {row.name} is not defined"):
                build()(shape)
    elif row.minimum_rank < 2 and len(row.shapes[0]) < 2:
        assert numpy_of(build()(row.shapes[0])).shape == row.shapes[0]


@pytest.mark.parametrize("shape", [(3, None), (3, -1), (3.0, 2), "ab", 3], ids=repr)
def test_bad_shapes(build, shape):
    with pytest.raises(ValueError, match="Expected `shape` to be a tuple of sizes"):
        build()(shape)


@pytest.mark.parametrize(("dtype", "error"), [("float32", 0), ("float16", 2**-10), ("bfloat16", 2**-7)])
def test_dtypes_are_casts_of_the_same_float32_values(build, shape, numpy_of, dtype, error):
    values = build()(shape, dtype=dtype)
    assert keras.backend.standardize_dtype(values.dtype) == dtype
    reference = numpy_of(build()(shape))
    np.testing.assert_allclose(numpy_of(values), reference, rtol=error, atol=error * 1e-3)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no 64-bit floats unless told otherwise")
def test_float64(build, shape, numpy_of):
    values = build()(shape, dtype="float64")
    assert keras.backend.standardize_dtype(values.dtype) == "float64"
    assert numpy_of(values).shape == shape


@pytest.mark.parametrize("dtype", ["int32", "bool", "complex64"])
def test_other_dtypes_are_refused(build, shape, dtype):
    with pytest.raises(ValueError, match=f"Expected `dtype` to be floating.*{dtype}"):
        build()(shape, dtype=dtype)


def test_keras_may_shard_the_values_itself(row):
    """An initializer with a `layout` argument is called under a mesh in which seed generators cannot be read."""
    assert "layout" not in inspect.signature(class_of(row).__call__).parameters


def test_seeds(row, build, shape, numpy_of):
    first = build()
    values = numpy_of(first(shape))
    assert np.array_equal(numpy_of(first(shape)), values) != row.fresh
    np.testing.assert_array_equal(numpy_of(build()(shape)), values)
    if row.deterministic:
        assert first.seed is None
        assert "seed" not in first.get_config()
    else:
        assert first.seed == 0
        assert not np.array_equal(numpy_of(build(seed=1)(shape)), values)


def test_clones(row, build, shape, numpy_of):
    """A copy gives the same values; where each call gives new ones, copies of one process count together."""
    first = build()
    values = [numpy_of(initializer(shape)) for initializer in (first, first.clone(), first.clone())]
    equal = all(np.array_equal(other, values[0]) for other in values[1:])
    assert equal != row.fresh
    if row.fresh:
        assert not np.array_equal(values[1], values[2])


def test_no_seed_follows_python_random(row, build, shape, numpy_of):
    state = random.getstate()
    try:
        random.seed(5)
        first, second = build(seed=None), build(seed=None)
        drawn = random.random()
        random.seed(5)
        third = build(seed=None)
    finally:
        random.setstate(state)
    values = [numpy_of(initializer(shape)) for initializer in (first, second, third)]
    np.testing.assert_array_equal(values[0], values[2])
    if row.deterministic:
        np.testing.assert_array_equal(values[0], values[1])
        assert drawn == random.Random(5).random(), "a deterministic class must not draw from Python's random"
    else:
        assert not np.array_equal(values[0], values[1])
        assert first.get_config()["seed"] is None
        assert isinstance(first.seed, int)


def test_calls_leave_python_random_alone(build, shape):
    for initializer in (build(seed=1), build(seed=None)):
        before = random.getstate()
        initializer(shape)
        assert random.getstate() == before


@pytest.mark.for_rows(lambda row: row.fresh)
def test_classes_that_count_calls_refuse_generators(build):
    with pytest.raises(ValueError, match="counts its calls itself"):
        build(seed=keras.random.SeedGenerator(3))


@pytest.mark.for_rows(lambda row: not row.deterministic and not row.fresh)
def test_seed_generator(build, shape, numpy_of):
    initializer = build(seed=keras.random.SeedGenerator(3))
    first, second = numpy_of(initializer(shape)), numpy_of(initializer(shape))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(numpy_of(initializer.clone()(shape)), first)
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
def test_config_round_trip_through_json(row, build, shape, numpy_of, seed):
    if seed == "generator":
        seed = 4 if row.fresh else keras.random.SeedGenerator(4)
    initializer = build(seed=seed)
    config = json.loads(json.dumps(initializer.get_config()))
    copy, other = type(initializer).from_config(config), type(initializer).from_config(config)
    assert copy.get_config() == initializer.get_config()
    assert numpy_of(initializer(shape)).shape == shape
    if seed is not None:
        np.testing.assert_array_equal(numpy_of(copy(shape)), numpy_of(other(shape)))


def test_lookup_by_every_identifier(row, build, shape, numpy_of):
    expected = numpy_of(build()(shape))
    serialized = keras.initializers.serialize(build())
    identifiers = [build(), serialized, {"class_name": row.name, "config": build().get_config()}]
    for identifier in identifiers:
        np.testing.assert_array_equal(numpy_of(get(identifier)(shape)), expected)
    read = keras.initializers.get(json.loads(json.dumps(serialized)))
    np.testing.assert_array_equal(numpy_of(read(shape)), expected)
    for name in (row.name, row.alias, f"keras_initkit>{row.name}", class_of(row)):
        if needs_arguments(row):
            with pytest.raises(ValueError, match=f"{row.name} needs arguments.*for example"):
                get(name)
        else:
            assert isinstance(get(name), class_of(row))


def needs_arguments(row):
    parameters = inspect.signature(class_of(row).__init__).parameters.values()
    return any(parameter.default is parameter.empty for parameter in list(parameters)[1:])


@pytest.mark.for_rows(lambda row: row.kind == "kernel" and row.minimum_rank == 2)
def test_axes_make_a_kernel_of_any_order_the_same_matrix(row, build, numpy_of):
    """A query kernel (D, H, K) is the dense kernel (D, H·K); an output kernel (H, K, D) is (H·K, D).

    A wrapped initializer draws in the kernel's own order.
    """
    per_head = 3 if all(rows == columns for *_, rows, columns in row.shapes) else 5  # some serve square matrices only
    many = 2 * per_head
    query = build(input_axes=[0], output_axes=[1, 2])((6, 2, per_head))
    np.testing.assert_allclose(numpy_of(query).reshape(6, many), numpy_of(build()((6, many))), atol=1e-6)
    output = build(input_axes=[0, 1], output_axes=[2])((2, per_head, 6))
    np.testing.assert_allclose(numpy_of(output).reshape(many, 6), numpy_of(build()((many, 6))), atol=1e-6)
    turned = build(input_axes=[2], output_axes=[0])((many, 1, 6))
    expected = numpy_of(build()((6, many)))
    found = numpy_of(turned)[:, 0, :].T
    if issubclass(class_of(row), VarianceKernel):  # independent weights are drawn in the kernel's own order
        np.testing.assert_allclose(np.sort(found, axis=None), np.sort(expected, axis=None), atol=1e-6)
    else:
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.for_rows(lambda row: row.kind != "bias")
def test_one_axis_argument_is_refused(build):
    with pytest.raises(ValueError, match="given together"):
        build(input_axes=[0], output_axes=None)


def test_reseeded(row, build, shape, numpy_of):
    initializer = build(seed=1)
    copy = reseeded(initializer, 2)
    if row.deterministic:
        assert copy is initializer
        return
    assert (initializer.seed, copy.seed) == (1, 2)
    np.testing.assert_array_equal(numpy_of(copy(shape)), numpy_of(build(seed=2)(shape)))


def test_fresh_per_call(row, build, shape, numpy_of):
    shared = fresh_per_call(build(seed=1))
    equal = np.array_equal(numpy_of(shared(shape)), numpy_of(shared(shape)))
    assert equal == row.deterministic
    if not row.deterministic:
        assert shared.get_config()["seed"] is None


def test_portable(row, build, shape, numpy_of):
    """The wrapper changes where numbers come from, not what is done with them."""
    if row.fresh:
        with pytest.raises(ValueError, match="outermost"):
            Portable(build(seed=None))
        return
    first, second = (numpy_of(Portable(build(seed=None), seed=3)(shape)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(first).all()
    own = numpy_of(build(seed=3)(shape))
    if row.deterministic or row.name == "Portable":
        np.testing.assert_array_equal(first, own)
    else:
        assert not np.array_equal(first, own)
        assert not np.array_equal(first, numpy_of(Portable(build(seed=None), seed=4)(shape)))


def test_description(row, build):
    record = describe(build(seed=9))
    assert record["name"] == row.alias
    assert record["class"] == row.name
    assert record["seed"] == (None if row.deterministic else 9)
    assert json.loads(json.dumps(record)) == record
