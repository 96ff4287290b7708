"""Names of initializers in a study."""

import keras
import numpy as np
import pytest

import keras_initkit as ik
from keras_initkit.study.naming import colours, initializer_name, named_initializers


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("he_normal", "he_normal"),
        (keras.initializers.HeNormal(seed=4), "HeNormal"),
        (keras.initializers.RandomNormal(stddev=0.01), "RandomNormal(stddev=0.01)"),
        (keras.initializers.Constant(0.5), "Constant(value=0.5)"),
        (ik.initializers.ZerO(), "ZerO"),
        (ik.initializers.Tiled(4, "he_normal"), "Tiled(distinct=4, initializer=HeNormal)"),
        (keras.initializers.HeNormal, "HeNormal"),
    ],
)
def test_names_say_what_is_unusual(identifier, name):
    assert initializer_name(identifier) == name


def test_functions_are_named_by_their_name():
    def halves(shape, dtype=None):
        return np.full(shape, 0.5, dtype)

    assert list(named_initializers([halves])) == ["halves"]


def test_names_must_be_texts():
    with pytest.raises(ValueError, match="names of `initializers` to be texts. Received: 3"):
        named_initializers({3: "zeros"})


def test_colours_do_not_depend_on_what_comes_later():
    assert colours(["a", "b"]) == {name: colours(["a", "b", "c"])[name] for name in ("a", "b")}
    assert len(set(colours([str(i) for i in range(10)]).values())) == 10
