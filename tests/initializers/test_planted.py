"""Tiled plants exactly the symmetry it states; Perturbed adds exactly the noise it states."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_initkit.initializers import Perturbed, ScaledOrthogonal, Tiled


def values_of(initializer, shape):
    return np.asarray(keras.ops.convert_to_numpy(initializer(shape)), dtype=np.float64)


@settings(deadline=None, max_examples=40)
@given(
    window=st.lists(st.integers(1, 3), max_size=2),
    inputs=st.integers(1, 9),
    units=st.integers(1, 9),
    distinct=st.integers(1, 12),
    axis=st.sampled_from(["units", "inputs", "both"]),
)
def test_tiled_repeats_the_first_values(window, inputs, units, distinct, axis):
    shape = (*window, inputs, units)
    source = values_of(keras.initializers.HeNormal(seed=4), shape)
    kernel = values_of(Tiled(distinct, "he_normal", axis=axis, seed=4), shape)
    for i in range(inputs):
        for j in range(units):
            row = i % distinct if axis != "units" else i
            column = j % distinct if axis != "inputs" else j
            np.testing.assert_array_equal(kernel[..., i, j], source[..., row, column])


def test_tiled_keeps_the_variance_of_the_full_width(array):
    """n = 400 · 50 independent draws; truncated normals have a variance of standard error below sqrt(2 / n)."""
    kernel = array(Tiled(50, "he_normal", seed=0)((400, 200)))
    assert kernel.var() == pytest.approx(2 / 400, rel=5 * math.sqrt(2 / (400 * 50)))


def test_tiled_vector(array):
    bias = array(Tiled(2, "random_normal", seed=0)((5,)))
    assert bias[0] == bias[2] == bias[4] != bias[1] == bias[3]
    with pytest.raises(ValueError, match="as a vector has no inputs"):
        Tiled(2, axis="inputs")((5,))


@pytest.mark.usefixtures("keras_passes_axes")
def test_tiled_attention_heads(array):
    x = np.ones((1, 3, 8), "float32")
    attention = keras.layers.MultiHeadAttention(4, 6, kernel_initializer=Tiled(6, seed=0))
    attention(x, x)
    heads = array(attention.query_dense.kernel)
    for head in range(4):
        np.testing.assert_array_equal(heads[:, head], heads[:, 0])


def test_tiled_lstm_cells(array):
    lstm = keras.layers.LSTM(4, kernel_initializer=Tiled(2, seed=0))
    lstm.build((None, 3, 5))
    gates = array(lstm.cell.kernel).reshape(5, 4, 4)
    np.testing.assert_array_equal(gates[..., :2], gates[..., 2:])


def test_tiled_locks_a_hidden_layer(array):
    """Equal incoming and outgoing weights stay bit-equal under training; equal incoming alone separates."""
    x = np.random.default_rng(0).standard_normal((64, 5)).astype("float32")
    y = np.random.default_rng(1).integers(0, 3, 64)
    for outgoing, distinct in ((Tiled(2, axis="inputs", seed=1), 2), (keras.initializers.GlorotUniform(seed=1), 8)):
        model = keras.Sequential(
            [
                keras.layers.Dense(8, "tanh", kernel_initializer=Tiled(2, seed=0)),
                keras.layers.Dense(3, kernel_initializer=outgoing),
            ]
        )
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(x, y, epochs=3, verbose=0, shuffle=False)
        assert len(np.unique(array(model.layers[0].kernel).round(7), axis=1).T) == distinct


@settings(deadline=None, max_examples=20)
@given(scale=st.floats(1e-4, 10), seed=st.integers(0, 2**31))
def test_perturbed_noise_is_normal_and_relative(scale, seed):
    """n = 40 000 draws: mean 0, standard deviation scale · rms, kurtosis 3, independent of the wrapped values."""
    shape, n = (200, 200), 40_000
    base = values_of(keras.initializers.RandomNormal(seed=seed), shape)
    noise = values_of(Perturbed("random_normal", scale, seed=seed), shape) - base
    expected = scale * math.sqrt(np.mean(base**2))
    assert noise.std() == pytest.approx(expected, rel=5 / math.sqrt(2 * n) + 1e-4)
    assert abs(noise.mean()) < 5 * expected / math.sqrt(n)
    assert np.mean((noise / expected) ** 4) == pytest.approx(3, abs=5 * math.sqrt(96 / n) + 1e-3)
    assert abs(np.corrcoef(noise.ravel(), base.ravel())[0, 1]) < 5 / math.sqrt(n)


def test_perturbed_zeros_are_lecun_noise(array):
    shape = (3, 3, 50, 80)
    kernel = array(Perturbed("zeros", scale=0.1, seed=0)(shape))
    assert kernel.std() == pytest.approx(0.1 / math.sqrt(450), rel=5 / math.sqrt(2 * kernel.size))
    query = array(Perturbed("zeros", 1.0, seed=0, input_axes=[0], output_axes=[1, 2])((64, 30, 40)))
    assert query.std() == pytest.approx(1 / 8, rel=5 / math.sqrt(2 * query.size))


def test_perturbed_without_scale_is_the_wrapped_initializer(array):
    expected = array(keras.initializers.GlorotNormal(seed=8)((6, 7)))
    np.testing.assert_array_equal(array(Perturbed("glorot_normal", 0, seed=8)((6, 7))), expected)


def test_nested_noises_are_independent(array):
    once = array(Perturbed("ones", 0.1, seed=0)((200, 200))) - 1
    twice = array(Perturbed(Perturbed("ones", 0.1), 0.1, seed=0)((200, 200))) - 1 - once
    assert abs(np.corrcoef(once.ravel(), twice.ravel())[0, 1]) < 5 / 200


@pytest.mark.usefixtures("keras_passes_axes")
@pytest.mark.parametrize("wrap", [lambda i, **k: Tiled(20, i, **k), lambda i, **k: Perturbed(i, 0, **k)])
def test_wrappers_pass_the_axes_on(array, wrap):
    x = np.ones((1, 3, 16), "float32")
    layer = keras.layers.MultiHeadAttention(2, 8, kernel_initializer=wrap(ScaledOrthogonal(), seed=1))
    layer(x, x)
    for kernel in (layer.query_dense.kernel, layer.output_dense.kernel):
        np.testing.assert_allclose(np.linalg.svd(array(kernel).reshape(16, 16), compute_uv=False), 1, atol=1e-5)


@pytest.mark.parametrize("wrap", [lambda i, **k: Tiled(2, i, **k), lambda i, **k: Perturbed(i, **k)])
def test_one_seed(array, wrap):
    inside, outside = wrap(keras.initializers.HeNormal(seed=3)), wrap("he_normal", seed=3)
    assert inside.get_config() == outside.get_config()
    assert inside.seed == 3
    np.testing.assert_array_equal(array(inside((4, 6))), array(outside((4, 6))))
    with pytest.raises(ValueError, match=r"one seed, .*seed=4 .*HeNormal\(seed=3\)"):
        wrap(keras.initializers.HeNormal(seed=3), seed=4)


def test_functions_and_arrays_can_be_wrapped(array):
    table = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(array(Tiled(2, table, seed=0)((3, 4))), table[:, [0, 1, 0, 1]])
    kernel = array(Perturbed(lambda shape, dtype=None: keras.ops.ones(shape, dtype), 0.1, seed=0)((50, 50)))
    assert kernel.mean() == pytest.approx(1, abs=5 * 0.1 / 50)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Tiled(0), "`distinct` to be an integer of at least 1"),
        (lambda: Tiled(2, axis="rows"), "`axis` to be one of 'units', 'inputs', 'both'"),
        (lambda: Tiled(2, "glorot"), "Did you mean 'glorot_"),
        (lambda: Tiled(2, None), "`initializer` to be an initializer"),
        (lambda: Tiled(2, 3), "Expected an initializer"),
        (lambda: Perturbed("zeros", -1), "`scale` to be a finite number of at least 0"),
    ],
)
def test_bad_arguments(build, text):
    with pytest.raises(ValueError, match=text):
        build()
