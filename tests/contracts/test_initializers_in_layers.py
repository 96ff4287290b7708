"""Every initializer of the kit inside the layers of Keras, and through saving and loading in another process."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from keras_initkit._registry import KIT, ROWS
from keras_initkit._registry.row import ANY_KERNEL
from keras_initkit.initializers.registry import class_of
from tests.contracts.holder import Holder

NO_RECURRENT_KERNELS = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros"}  # unseeded otherwise

# Name -> layer, shape of its input without the batch, word of the registry for its kernels.
PLACES = {
    "dense": (lambda i: layers.Dense(8, kernel_initializer=i), (4,), "dense"),
    "conv1d": (lambda i: layers.Conv1D(8, 2, kernel_initializer=i), (8, 3), "conv"),
    "conv2d": (lambda i: layers.Conv2D(12, 3, kernel_initializer=i), (5, 5, 3), "conv"),
    "grouped": (lambda i: layers.Conv2D(12, 3, groups=3, kernel_initializer=i), (5, 5, 3), "conv"),
    "conv3d": (lambda i: layers.Conv3D(8, (1, 2, 3), kernel_initializer=i), (3, 3, 3, 2), "conv"),
    "transpose": (lambda i: layers.Conv2DTranspose(4, 2, kernel_initializer=i), (3, 3, 4), "conv_transpose"),
    "depthwise": (lambda i: layers.DepthwiseConv2D(4, depthwise_initializer=i), (5, 5, 4), "depthwise_conv"),
    "lstm": (lambda i: layers.LSTM(4, kernel_initializer=i, recurrent_initializer=i), (3, 5), "lstm"),
    "gru": (lambda i: layers.GRU(4, kernel_initializer=i, recurrent_initializer=i), (3, 5), "gru"),
    "rnn": (lambda i: layers.SimpleRNN(4, kernel_initializer=i, recurrent_initializer=i), (3, 5), "simple_rnn"),
    "recurrent": (
        lambda i: layers.SimpleRNN(4, kernel_initializer="zeros", recurrent_initializer=i),
        (3, 5),
        "recurrent",
    ),
    "bidirectional": (
        lambda i: layers.Bidirectional(layers.LSTM(3, kernel_initializer=i, recurrent_initializer=i)),
        (3, 5),
        "lstm",
    ),
    "einsum": (lambda i: layers.EinsumDense("abc,cde->abde", (None, 2, 4), kernel_initializer=i), (4, 5), "attention"),
    "embedding": (lambda i: layers.Embedding(9, 4, embeddings_initializer=i), (3,), "embedding"),
    "dense bias": (lambda i: layers.Dense(8, kernel_initializer="zeros", bias_initializer=i), (4,), "bias"),
    "lstm bias": (
        lambda i: layers.LSTM(4, **NO_RECURRENT_KERNELS, bias_initializer=i, unit_forget_bias=False),
        (3, 5),
        "lstm bias",
    ),
    "gru bias": (lambda i: layers.GRU(4, **NO_RECURRENT_KERNELS, bias_initializer=i), (3, 5), "gru bias"),
    "output bias": (lambda i: layers.Dense(8, kernel_initializer="zeros", bias_initializer=i), (4,), "output bias"),
}
# Argument -> what an initializer that has it is told about the layer, by the word of the registry.
TOLD = {
    "layer": lambda word: word,
    "cell": lambda word: word.split()[0],
    "gates": lambda word: 3 if word.startswith("gru") else 4,
    "groups": lambda word: "depthwise" if word == "depthwise_conv" else 2,
}
LOW_PRECISION = [
    (place, policy)
    for policy in ("bfloat16", "float16", "mixed_bfloat16")
    for place in ("dense", "conv2d", "lstm", "recurrent", "einsum", "dense bias")
]


def serves(row, place):
    word = PLACES[place][2]
    return word in row.layers or place in row.layers or (row.layers[:1] == ANY_KERNEL and not word.endswith("bias"))


def pytest_generate_tests(metafunc):
    """Put every initializer of the kit into the layers that its row names."""
    if {"row", "place", "policy"} <= set(metafunc.fixturenames):
        cases = [(place, "float32") for place in PLACES] + LOW_PRECISION
        rows = [row for row in ROWS if row.source == KIT]
        chosen = [(row, *case) for row in rows for case in cases if serves(row, case[0])]
        metafunc.parametrize(("row", "place", "policy"), chosen, ids=[f"{r.name}-{p}-{d}" for r, p, d in chosen])


def test_layers(row, build, numpy_of, place, policy):
    make, shape, word = PLACES[place]
    told = {key: tell(word) for key, tell in TOLD.items() if key in row.example}
    x = np.ones((2, *shape), "float32")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        layer = make(build(**told))
        assert np.isfinite(numpy_of(layer(x))).all()
        copy = layer.__class__.from_config(json.loads(json.dumps(layer.get_config())))
        copy(x)
    finally:
        keras.config.set_dtype_policy(before)
    assert len(layer.weights) == len(copy.weights)
    if place == "bidirectional" and row.fresh:
        return  # its two directions are read from the file as two initializers, which count for themselves
    for weight, other in zip(layer.weights, copy.weights, strict=True):
        np.testing.assert_array_equal(numpy_of(weight), numpy_of(other))


@pytest.mark.for_rows(lambda row: "attention" in row.layers or row.layers[:1] == ANY_KERNEL)
def test_multi_head_attention(build):
    layer = layers.MultiHeadAttention(2, 4, kernel_initializer=build())
    x = np.ones((1, 3, 8), "float32")
    assert layer(x, x).shape == (1, 3, 8)
    copy = layers.MultiHeadAttention.from_config(layer.get_config())
    assert copy(x, x).shape == (1, 3, 8)


def test_batch_normalization(row, build):
    layer = layers.BatchNormalization(gamma_initializer=build())
    if row.kind == "kernel":
        with pytest.raises(ValueError, match=r"not defined for vectors.*'ones' for biases and scales"):
            layer.build((None, 6))
    elif "bias" in row.layers or row.layers[:1] == ANY_KERNEL:
        layer.build((None, 6))
        assert layer.gamma.shape == (6,)


LOAD = """
import json, sys
import keras
import tests.contracts.holder
if sys.argv[1] == "with":
    import keras_initkit.initializers
found = {}
for path in sys.argv[2:]:
    try:
        model = keras.models.load_model(path)
        initializer = model.layers[0].kernel_initializer
        copy = keras.initializers.get(json.loads(json.dumps(keras.initializers.serialize(initializer))))
        values = keras.ops.convert_to_numpy(copy(model.layers[0].kernel.shape))
        found[path] = [initializer.get_config(), values.tolist()]
    except TypeError as error:
        found[path] = str(error)
print("RESULT" + json.dumps(found))
"""


def load_elsewhere(mode, paths):
    done = subprocess.run(
        [sys.executable, "-c", LOAD, mode, *map(str, paths)], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.split("RESULT")[1])


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_saved_models_load_in_a_fresh_process(tmp_path):
    expected = {}
    for row in (row for row in ROWS if row.source == KIT):
        layer = Holder(row.shapes[0], class_of(row)(**row.example, **({} if row.deterministic else {"seed": 5})))
        model = keras.Sequential([keras.Input((4,)), layer])
        path = tmp_path / f"{row.name}.keras"
        model.save(path)
        values = keras.ops.convert_to_numpy(layer.kernel + 0).tolist()
        expected[str(path)] = [layer.kernel_initializer.get_config(), values]
    assert load_elsewhere("with", expected) == json.loads(json.dumps(expected))
    for path, error in load_elsewhere("without", expected).items():
        assert "Could not interpret initializer identifier" in error, path
        assert "'registered_name': 'keras_initkit>" in error
