"""One voice for errors, and the examples in the docstrings of the pure modules."""

import doctest
import importlib
import math
import re

import ml_dtypes
import numpy as np
import pytest

from keras_initkit._checks import (
    InitializationError,
    check_choice,
    check_finite,
    check_integer,
    check_number,
    describe,
    is_custom_float,
)


def exactly(text):
    return f"^{re.escape(text)}$"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3 (of type int)"),
        ("relu", "'relu' (of type str)"),
        (None, "None (of type NoneType)"),
        (np.zeros((2, 3), np.float32), "array of shape (2, 3) and dtype float32"),
        (np.zeros(2, ml_dtypes.bfloat16), "array of shape (2,) and dtype bfloat16"),
        ("x" * 78, f"'{'x' * 78}' (of type str)"),
        ("x" * 200, f"'{'x' * 76}... (of type str)"),
    ],
)
def test_describe(value, text):
    assert describe(value) == text


def test_choices():
    assert check_choice("mode", "max", ["min", "max"]) == "max"
    assert check_choice("mode", "max", {"min": 1, "max": 2}) == "max"
    assert check_choice("mode", "max", iter(["min", "max"])) == "max"
    with pytest.raises(
        ValueError,
        match=exactly(
            "Expected `mode` to be one of 'forward', 'backward'. Received: mode='foward' (of type str). "
            "Did you mean 'forward'?"
        ),
    ):
        check_choice("mode", "foward", ["forward", "backward"])


@pytest.mark.parametrize("value", ["sideways", "", 3, None, True, ["max"], np.array(["max"])], ids=repr)
def test_wrong_choices_without_a_near_one(value):
    with pytest.raises(ValueError, match=r"Expected `mode` to be one of 'min', 'max'\. Received: mode=.*\.$"):
        check_choice("mode", value, ["min", "max"])


@pytest.mark.parametrize("value", [0, 7, np.int64(3), np.uint8(200), 10**30])
def test_integers(value):
    found = check_integer("units", value, 0)
    assert found == value
    assert type(found) is int


@pytest.mark.parametrize(
    "value", [-1, 2.0, True, np.True_, "3", None, math.nan, np.float64(3), np.array([3])], ids=repr
)
def test_not_integers(value):
    with pytest.raises(ValueError, match=r"^Expected `units` to be an integer of at least 0\. Received: units="):
        check_integer("units", value, 0)


@pytest.mark.parametrize("value", [0, 0.0, 2.5, np.float32(0.5), np.float16(3), np.int8(4), 5e-324, 1.7e308])
def test_numbers(value):
    found = check_number("scale", value, minimum=0)
    assert found == value
    assert type(found) is float


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, np.False_, "1", None, 1j, np.ones(1)], ids=repr)
def test_not_numbers(value):
    with pytest.raises(ValueError, match=r"^Expected `scale` to be a finite number\. Received: scale="):
        check_number("scale", value)


def test_bounds_of_numbers():
    assert check_number("scale", 1.5, minimum=1.5) == 1.5
    assert check_number("scale", -1e300) == -1e300
    with pytest.raises(
        ValueError,
        match=exactly("Expected `scale` to be a finite number of at least 1.5. Received: scale=1.4 (of type float)."),
    ):
        check_number("scale", 1.4, minimum=1.5)
    with pytest.raises(
        ValueError, match=exactly("Expected `scale` to be a finite number above 0. Received: scale=0 (of type int).")
    ):
        check_number("scale", 0, minimum=0, exclusive=True)
    assert check_number("scale", 5e-324, minimum=0, exclusive=True) == 5e-324


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64, ml_dtypes.bfloat16, np.int8, bool])
def test_finite_arrays(dtype):
    check_finite("x", np.ones((3, 2), dtype), "Advice.")
    check_finite("x", np.ones((0, 2), dtype), "Advice.")


def test_arrays_of_other_things_are_not_looked_at():
    for array in (np.array(["a"]), np.array([None]), np.zeros(2, "V8"), np.zeros(2, [("a", "f4")])):
        check_finite("x", array, "Advice.")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64, ml_dtypes.bfloat16])
def test_the_first_bad_value_is_named(dtype):
    array = np.zeros((2, 3), dtype)
    array[0, 2], array[1, 0], array[1, 1] = math.nan, math.inf, -math.inf
    with pytest.raises(
        ValueError,
        match=exactly(
            "Expected `x` to hold finite numbers. Received: 3 NaN or infinite values in an array of shape (2, 3) and "
            f"dtype {np.dtype(dtype).name}, the first at index (0, 2). Advice."
        ),
    ):
        check_finite("x", array, "Advice.")


def test_a_bad_scalar():
    with pytest.raises(ValueError, match=r"1 NaN or infinite values .* the first at index \(\)"):
        check_finite("x", np.array(math.nan), "Advice.")


def test_custom_floats():
    assert is_custom_float(np.dtype(ml_dtypes.bfloat16))
    assert is_custom_float(np.dtype(ml_dtypes.float8_e4m3fn))
    for dtype in ("f2", "f4", "f8", "i4", "V8", [("a", "f4")], "O", "U3"):
        assert not is_custom_float(np.dtype(dtype))


def test_initialization_error_is_caught_as_a_runtime_error():
    with pytest.raises(RuntimeError, match="layer dense"):
        raise InitializationError("layer dense")


@pytest.mark.parametrize(
    ("module", "examples"),
    [
        ("_checks", 0),
        ("convergence", 2),
        ("statistics", 0),
        ("symmetry.activations", 0),
        ("symmetry.classes", 2),
        ("symmetry.null", 0),
        ("symmetry.similarity", 3),
        ("symmetry.vectors", 0),
    ],
)
def test_examples_in_docstrings(module, examples):
    found = doctest.testmod(importlib.import_module(f"keras_initkit.{module}"))
    assert found.failed == 0
    assert found.attempted >= examples
