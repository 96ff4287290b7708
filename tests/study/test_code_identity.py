"""Digests of code: equal for the same function, different for what would build another model."""

import functools

import keras
import numpy as np
import pytest

from keras_initkit.study.code_identity import UnknownContent, code_sha256

SCALE = 3


def scaled(x):
    return SCALE * x


def outer(x):
    return scaled(x) + 1


def closing_over(value):
    return lambda x: (x, value)


def method_class(factor):
    class Model(keras.Model):
        def call(self, x):
            return factor * x

    return Model


def test_the_same_code_has_the_same_digest():
    assert code_sha256(outer) == code_sha256(outer)
    assert code_sha256(closing_over(2)) == code_sha256(closing_over(2))
    assert code_sha256(method_class(2)) == code_sha256(method_class(2))
    assert code_sha256(keras.layers.Dense) == code_sha256(keras.layers.Dense)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda x: x + 1, lambda x: x + 2),
        (closing_over(2), closing_over(3)),
        (closing_over(np.zeros(3)), closing_over(np.ones(3))),
        (closing_over({"a": [1]}), closing_over({"a": [2]})),
        (closing_over(keras.layers.Dense(3, name="d")), closing_over(keras.layers.Dense(4, name="d"))),
        (closing_over(closing_over(1)), closing_over(closing_over(2))),
        (method_class(2), method_class(3)),
        (functools.partial(outer, 1), functools.partial(outer, 2)),
        (lambda x, y=1: x + y, lambda x, y=2: x + y),
        (lambda x, *, y=1: x + y, lambda x, *, y=2: x + y),
        (np.sin, np.cos),
    ],
)
def test_other_code_has_another_digest(one, other):
    assert code_sha256(one) != code_sha256(other)


def test_functions_and_constants_that_are_named_count(monkeypatch):
    before = code_sha256(outer)
    monkeypatch.setitem(globals(), "SCALE", 4)
    changed = code_sha256(outer)
    monkeypatch.setitem(globals(), "scaled", lambda x: x)
    assert len({before, changed, code_sha256(outer)}) == 3


def test_functions_that_call_each_other_end():
    def one(x):
        return other(x)

    def other(x):
        return one(x)

    assert code_sha256(one) == code_sha256(one)


def test_objects_without_known_content_are_refused(tmp_path):
    with (tmp_path / "file").open("w") as file, pytest.raises(UnknownContent, match="is not known"):
        code_sha256(closing_over(file))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(UnknownContent):
        code_sha256(closing_over(model))
