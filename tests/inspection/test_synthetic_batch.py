import keras
import numpy as np
import pytest
from keras import layers as L

from keras_initkit.inspection.synthetic_batch import synthetic_batch


class Tokens(L.Layer):
    """Tokens and positions, as text classifiers have them."""

    def __init__(self):
        super().__init__()
        self.tokens, self.positions = L.Embedding(7, 4), L.Embedding(32, 4)

    def call(self, x):
        return self.tokens(x) + self.positions(keras.ops.arange(x.shape[-1]))


def test_floats_are_standard_normal():
    model = keras.Sequential([keras.Input((5, None, 3)), L.Conv2D(2, 3)])
    drawn = synthetic_batch(model, 500)
    assert drawn.shape == (500, 5, 32, 3)
    assert drawn.dtype == np.float32
    # 240,000 draws: five standard errors.
    assert abs(drawn.mean()) < 5 / np.sqrt(drawn.size)
    assert abs(drawn.std() - 1) < 5 / np.sqrt(2 * drawn.size)
    np.testing.assert_array_equal(drawn, synthetic_batch(model, 500))
    assert (drawn != synthetic_batch(model, 500, seed=1)).all()
    assert model(drawn[:2]).shape == (2, 3, 30, 2)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
@pytest.mark.parametrize("nested", [False, True])
def test_tokens_are_uniform_below_their_number(dtype, nested):
    inputs = keras.Input((None,), dtype=dtype)
    embed = L.Embedding(6, 4)
    if nested:
        inside = keras.Input((None,), dtype=dtype)
        embed = keras.Model(inside, embed(inside))
    model = keras.Model(inputs, L.Dense(1)(L.GlobalAveragePooling1D()(embed(inputs))))
    drawn = synthetic_batch(model, 300)
    counts = np.bincount(drawn.ravel(), minlength=6)
    assert drawn.dtype.kind == "i"
    assert counts.shape == (6,)
    assert np.abs(counts - drawn.size / 6).max() < 5 * np.sqrt(drawn.size * 5 / 36)
    assert model(drawn[:3]).shape == (3, 1)


def test_several_inputs_keep_their_structure():
    a, b = keras.Input((2,), name="a"), keras.Input((3,), dtype="float16", name="b")
    joined = L.Concatenate()([a, b])
    for inputs, keys in (({"b": b, "a": a}, "ab"), ([a, b], (0, 1))):
        model = keras.Model(inputs, joined)
        drawn = synthetic_batch(model, 4)
        assert type(drawn) is type(inputs)
        assert [drawn[key].shape for key in keys] == [(4, 2), (4, 3)]
        assert model(drawn).shape == (4, 5)
        assert not np.isclose(drawn[keys[0]], drawn[keys[1]][:, :2]).any()


def test_layers_of_layers_are_looked_into():
    inputs = keras.Input((8,))
    model = keras.Model(inputs, L.Dense(2)(L.Flatten()(Tokens()(inputs))))
    drawn = synthetic_batch(model, 50)
    assert set(drawn.ravel()) == set(range(7))
    assert model(drawn).shape == (50, 2)


def test_what_cannot_be_known_is_not_made_up():
    category, text = keras.Input((3,), dtype="int32"), keras.Input((1,), dtype="string")
    assert synthetic_batch(keras.Model(category, L.Dense(2)(L.CategoryEncoding(5)(category)))) is None
    if keras.backend.backend() == "tensorflow":
        assert synthetic_batch(keras.Model(text, L.StringLookup(vocabulary=["a"])(text))) is None
    assert synthetic_batch(keras.Sequential([L.Dense(2)])) is None


def test_subclassed_models_say_what_they_were_built_on():
    class Own(keras.Model):
        def __init__(self, first):
            super().__init__()
            self.first, self.last = first, L.Dense(2)

        def call(self, x):
            return self.last(self.first(x))

    model = Own(L.Dense(3, "relu"))
    assert synthetic_batch(model) is None
    model(np.zeros((2, 5), "float32"))
    assert synthetic_batch(model, 6).shape == (6, 5)
    assert synthetic_batch(model, 6).dtype == np.float32
    reading = Own(L.Embedding(4, 3))
    reading(np.zeros((2, 5), "float32"))
    assert set(synthetic_batch(reading, 50).ravel()) == set(range(4))
