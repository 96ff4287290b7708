"""Every initializer of the kit inside the layers of Keras, and through saving and loading in another process."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from keras_initkit._registry import KIT, ROWS
from keras_initkit.initializers.registry import class_of

# Layer, shape of its input without the batch, argument that takes the initializer.
PLACES = {
    "dense": (lambda i: layers.Dense(5, kernel_initializer=i), (4,)),
    "conv1d": (lambda i: layers.Conv1D(6, 2, kernel_initializer=i), (8, 3)),
    "conv2d": (lambda i: layers.Conv2D(6, 3, kernel_initializer=i), (5, 5, 3)),
    "grouped": (lambda i: layers.Conv2D(6, 3, groups=3, kernel_initializer=i), (5, 5, 3)),
    "conv3d": (lambda i: layers.Conv3D(4, (1, 2, 3), kernel_initializer=i), (3, 3, 3, 2)),
    "transpose": (lambda i: layers.Conv2DTranspose(4, 2, kernel_initializer=i), (3, 3, 2)),
    "depthwise": (lambda i: layers.DepthwiseConv2D(3, depthwise_initializer=i), (5, 5, 4)),
    "lstm": (lambda i: layers.LSTM(4, kernel_initializer=i, recurrent_initializer=i), (3, 5)),
    "gru": (lambda i: layers.GRU(4, kernel_initializer=i, recurrent_initializer=i), (3, 5)),
    "bidirectional": (
        lambda i: layers.Bidirectional(layers.LSTM(3, kernel_initializer=i, recurrent_initializer=i)),
        (3, 5),
    ),
    "einsum": (lambda i: layers.EinsumDense("abc,cde->abde", (None, 2, 3), kernel_initializer=i), (4, 5)),
    "embedding": (lambda i: layers.Embedding(9, 4, embeddings_initializer=i), (3,)),
}


LOW_PRECISION = [
    (place, policy)
    for policy in ("bfloat16", "float16", "mixed_bfloat16")
    for place in ("dense", "conv2d", "lstm", "einsum")
]


@pytest.mark.parametrize(("place", "policy"), [(place, "float32") for place in PLACES] + LOW_PRECISION)
def test_layers(build, numpy_of, place, policy):
    make, shape = PLACES[place]
    x = np.ones((2, *shape), "float32")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        layer = make(build())
        assert np.isfinite(numpy_of(layer(x))).all()
        copy = layer.__class__.from_config(json.loads(json.dumps(layer.get_config())))
        copy(x)
    finally:
        keras.config.set_dtype_policy(before)
    assert len(layer.weights) == len(copy.weights)
    for weight, other in zip(layer.weights, copy.weights, strict=True):
        np.testing.assert_array_equal(numpy_of(weight), numpy_of(other))


def test_multi_head_attention(build):
    layer = layers.MultiHeadAttention(2, 4, kernel_initializer=build())
    x = np.ones((1, 3, 8), "float32")
    assert layer(x, x).shape == (1, 3, 8)
    copy = layers.MultiHeadAttention.from_config(layer.get_config())
    assert copy(x, x).shape == (1, 3, 8)


def test_batch_normalization(row, build):
    layer = layers.BatchNormalization(gamma_initializer=build())
    if row.minimum_rank < 2:
        layer.build((None, 6))
        assert layer.gamma.shape == (6,)
    else:
        with pytest.raises(ValueError, match=r"not defined for vectors.*'ones' for biases and scales"):
            layer.build((None, 6))


LOAD = """
import json, sys
import keras
if sys.argv[1] == "with":
    import keras_initkit.initializers
found = {}
for path in sys.argv[2:]:
    try:
        model = keras.models.load_model(path)
        layer = model.layers[0]
        clone = layer.__class__.from_config(layer.get_config())
        clone.build((None, 4))
        found[path] = [layer.kernel_initializer.get_config(), keras.ops.convert_to_numpy(clone.kernel + 0).tolist()]
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
        seed = {} if row.deterministic else {"seed": 5}
        model = keras.Sequential(
            [keras.Input((4,)), layers.Dense(6, kernel_initializer=class_of(row)(**row.example, **seed))]
        )
        path = tmp_path / f"{row.name}.keras"
        model.save(path)
        dense = model.layers[0]
        expected[str(path)] = [
            dense.kernel_initializer.get_config(),
            keras.ops.convert_to_numpy(dense.kernel + 0).tolist(),
        ]
    assert load_elsewhere("with", expected) == json.loads(json.dumps(expected))
    for path, error in load_elsewhere("without", expected).items():
        assert "Could not interpret initializer identifier" in error, path
        assert "'registered_name': 'keras_initkit>" in error
