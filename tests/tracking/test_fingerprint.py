import subprocess
import sys

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_initkit.tracking.fingerprint import array_sha256, data_sha256, model_sha256


def test_every_byte_counts():
    x = np.zeros((40_000, 8), dtype="float32")
    before = data_sha256(x)
    for index in [(0, 0), (20_000, 3), (39_999, 7)]:
        changed = x.copy()
        changed[index] = 1e-30
        assert data_sha256(changed) != before


def test_dtype_shape_and_structure_count():
    x = np.arange(6, dtype="int32")
    variants = [x, x.astype("int64"), x.astype("uint32"), x.reshape(2, 3), x.reshape(3, 2), [x], [x, None], {"a": x}]
    variants += [{"b": x}, {"a": [x]}, [[x], []], [x[:3], x[3:]], [x[:2], x[2:]]]
    assert len({data_sha256(variant) for variant in variants}) == len(variants)


@given(st.integers(0, 9), st.integers(1, 7), st.sampled_from(["float32", "int8", "bool", ">f8"]))
def test_memory_layout_does_not_count(rows, columns, dtype):
    x = (np.arange(rows * columns).reshape(rows, columns) % 3).astype(dtype)
    padded = np.zeros((2 * rows + 1, columns + 2), dtype=dtype)
    padded[1::2, 1:-1] = x
    for same in (np.asfortranarray(x), padded[1::2, 1:-1], x.astype(x.dtype.newbyteorder()), x[::-1][::-1]):
        assert array_sha256(same) == array_sha256(x)


def test_large_views_are_read_in_blocks():
    x = np.random.default_rng(0).normal(size=(300_000, 4))
    assert array_sha256(x.T) == array_sha256(np.ascontiguousarray(x.T))
    assert array_sha256(x[::2]) == array_sha256(x[::2].copy())


def test_what_numpy_reads_is_taken():
    x = np.arange(4, dtype="float32")
    assert data_sha256((x, keras.ops.convert_to_tensor(x))) == data_sha256([x, x])
    assert data_sha256([1.0, 2.0]) == data_sha256(np.array([1.0, 2.0]))
    assert data_sha256({"b": x, "a": 1}) == data_sha256({"a": 1, "b": x})
    assert data_sha256(np.array(["a", "b"])) != data_sha256(np.array(["a", "c"]))
    assert data_sha256(keras.ops.cast(x, "bfloat16")) != data_sha256(x.astype("float16"))


@pytest.mark.parametrize("data", [(i for i in range(3)), np.array([object()]), object(), [[1], [1, 2]]])
def test_data_without_fixed_content_is_refused(data):
    with pytest.raises(
        TypeError, match=r"Expected arrays, tensors or tables .* Received: .* Load the data into arrays"
    ):
        data_sha256(data)


def build(units=4, initializer="he_normal", rate=0.5, seed=None, name=None, dtype=None):
    inputs = keras.Input((6,), name=name)
    x = keras.layers.Dense(units, "relu", kernel_initializer=initializer, name=name and f"{name}_1", dtype=dtype)(
        inputs
    )
    x = keras.layers.Dropout(rate, seed=seed)(x)
    inner = keras.Sequential([keras.layers.Dense(3)])
    return keras.Model(inputs, keras.layers.Add()([inner(x), inner(x)]) + 1.0, name=name)


def test_the_same_architecture_has_the_same_digest():
    digest = model_sha256(build())
    for same in ({}, {"initializer": "zeros"}, {"seed": 5}, {"name": "mine"}):
        assert model_sha256(build(**same)) == digest, same
    keras.backend.clear_session()  # Keras counts names from the beginning again
    assert model_sha256(build()) == digest


def test_another_architecture_has_another_digest():
    variants = [build(), build(units=5), build(rate=0.4), build(dtype="mixed_bfloat16")]
    variants.append(keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(3)]))
    assert len({model_sha256(model) for model in variants}) == len(variants)


def test_wiring_counts():
    def wired(swap):
        a, b = keras.Input((3,)), keras.Input((3,))
        return keras.Model([a, b], keras.layers.Subtract()([b, a] if swap else [a, b]))

    assert model_sha256(wired(False)) != model_sha256(wired(True))
    assert model_sha256(wired(True)) == model_sha256(wired(True))


class Opaque(keras.Model):
    """A model that cannot say how it was built."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, x):
        return self.layer(x)

    def get_config(self):
        raise NotImplementedError


def test_a_model_without_config_is_known_by_its_layers():
    def built(layer):
        model = Opaque(layer)
        model(np.zeros((1, 4)))
        return model_sha256(model)

    assert built(keras.layers.Dense(2)) == built(keras.layers.Dense(2))
    assert built(keras.layers.Dense(2)) != built(keras.layers.Dense(3))
    assert built(keras.layers.Dense(2)) != built(keras.layers.EinsumDense("bi,io->bo", 2, bias_axes="o"))


def test_digests_hold_across_processes():
    script = (
        "import numpy as np; from keras_initkit.tracking.fingerprint import data_sha256;"
        "print(data_sha256({'y': np.arange(3, dtype='int32'), 'x': [np.ones((2, 2), 'float32'), None]}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    here = data_sha256({"x": [np.ones((2, 2), "float32"), None], "y": np.arange(3, dtype="int32")})
    assert done.stdout.strip() == here
