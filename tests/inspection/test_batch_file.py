"""Batches in files: the names of the arrays, and what is refused."""

import keras
import numpy as np
import pytest

from keras_initkit.inspection.batch_file import load_batch

A, B, Y, Z = np.ones((5, 3)), np.zeros((5, 2)), np.arange(5.0), np.arange(10.0).reshape(5, 2)


def one_input():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])


def two_inputs(as_dict=False, outputs=1):
    first, second = keras.Input((3,), name="first"), keras.Input((2,), name="second")
    joined = keras.layers.Concatenate()([first, second])
    heads = [keras.layers.Dense(1, name=f"head_{n}")(joined) for n in range(outputs)]
    # In an order that is not that of the alphabet.
    inputs = {"second": second, "first": first} if as_dict else [second, first]
    return keras.Model(inputs, heads)


def saved(**arrays):
    np.savez("batch.npz", **arrays)
    return "batch.npz"


def assert_same(given, expected):
    assert type(given) is type(expected)
    if isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(given, expected)
    elif expected is not None:
        assert len(given) == len(expected)
        for key in expected if isinstance(expected, dict) else range(len(expected)):
            np.testing.assert_array_equal(given[key], expected[key])


@pytest.mark.parametrize(
    ("arrays", "y"),
    [
        ({"x": A, "y": Y}, Y),
        ({"x": A}, None),
        ({"x_train": A, "y_train": Y, "x_test": B, "y_test": Y}, Y),
        ({"x": A, "y": Y, "x_val": B, "y_val": Y}, Y),
        ({"x_0": A}, None),
    ],
)
def test_one_input(arrays, y):
    for model in (one_input(), keras.Model()):
        given = load_batch(saved(**arrays), model)
        assert_same(given[0], A)
        assert_same(given[1], y)


def test_several_inputs_are_numbered_or_named():
    for arrays in ({"x_0": B, "x_1": A}, {"first": A, "second": B}):
        x, y = load_batch(saved(**arrays, y=Y), two_inputs())
        assert_same(x, [B, A])
        assert_same(y, Y)
        x, _ = load_batch(saved(**arrays), two_inputs(as_dict=True))
        assert_same(x, {"second": B, "first": A})


def test_the_model_takes_what_is_returned():
    for as_dict in (False, True):
        model = two_inputs(as_dict, outputs=2)
        model.compile("sgd", ["mse", "mse"])
        x, y = load_batch(saved(first=A, second=B, y_0=Y, y_1=Y), model)
        assert np.isfinite(model.evaluate(x, y, verbose=0)).all()


def test_several_targets_are_numbered_or_named():
    for arrays in ({"y_0": Y, "y_1": -Y}, {"head_0": Y, "head_1": -Y}):
        _, y = load_batch(saved(first=A, second=B, **arrays), two_inputs(outputs=2))
        assert_same(y, [Y, -Y])


def test_models_that_do_not_say_their_inputs_take_any_number():
    x, _ = load_batch(saved(x_0=A, x_1=B), keras.Model())
    assert_same(x, [A, B])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": A}, r"Expected an array x in 'batch.npz'. Received: images \(5, 3\)."),
        ({}, "Received: none."),
        ({"x": A, "labels": Y}, r"and y \(or y_0\) for the targets.*Received also: labels \(5,\)."),
        ({"x_0": A, "x_1": B}, "Expected an array x"),
    ],
)
def test_other_names_are_refused(arrays, message):
    with pytest.raises(ValueError, match=message):
        load_batch(saved(**arrays), one_input())


@pytest.mark.parametrize("arrays", [{"x": A}, {"x_0": A}, {"first": A}])
def test_a_missing_input_is_named(arrays):
    with pytest.raises(ValueError, match="Expected arrays x_0, x_1, or second, first, for the 2 inputs of the model"):
        load_batch(saved(**arrays), two_inputs())


def test_files_that_hold_no_arrays_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Expected `--data` to be an .npz file.*'none.npz', which does not exist"):
        load_batch("none.npz", one_input())
    (tmp_path / "text.npz").write_text("x, y")
    with pytest.raises(ValueError, match=r"Expected `--data` to be an .npz file.*'text.npz'"):
        load_batch("text.npz", one_input())
    np.save("single.npy", A)
    with pytest.raises(ValueError, match=r"with one array of shape \(5, 3\).*np.savez"):
        load_batch("single.npy", one_input())
    with pytest.raises(ValueError, match=r"Expected `--data` to be an .npz file of plain arrays"):
        load_batch(saved(x=np.array([object()])), one_input())
