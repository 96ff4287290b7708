"""Twins: which weights are equal across layers, why, and that the fix tells them apart."""

import keras
import numpy as np
import pytest

import keras_initkit as ik
from keras_initkit.inspection.twins import find_twins
from keras_initkit.units.arrays import to_numpy

L = keras.layers


def perceptron(*initializers, output="glorot_uniform"):
    hidden = [L.Dense(6, "tanh", kernel_initializer=init, name=f"h{n}") for n, init in enumerate(initializers)]
    return keras.Sequential([keras.Input((6,)), *hidden, L.Dense(2, kernel_initializer=output)])


def one_instance():
    shared = keras.initializers.GlorotUniform()
    return perceptron(shared, shared, shared)


def one_seed():
    return perceptron(*(keras.initializers.HeNormal(seed=7) for _ in range(2)))


def copied():
    model = perceptron("he_normal", "he_normal")
    model.get_layer("h1").kernel.assign(model.get_layer("h0").kernel)
    return model


def attention(initializer):
    inputs = keras.Input((5, 8))
    x = L.MultiHeadAttention(2, 4, kernel_initializer=initializer, name="mha")(inputs, inputs)
    return keras.Model(inputs, L.Dense(2)(x))


def test_one_instance_in_several_layers():
    [twins] = find_twins(one_instance())
    assert (twins.paths, twins.variables, twins.origin) == (("h0", "h1", "h2"), ("kernel",) * 3, "instance")


def test_one_seed_in_several_layers():
    [twins] = find_twins(one_seed())
    assert (twins.paths, twins.origin, twins.seed) == (("h0", "h1"), "seed", 7)


def test_values_that_were_copied():
    [twins] = find_twins(copied())
    assert (twins.paths, twins.origin, twins.seed) == (("h0", "h1"), "copy", None)


def test_the_projections_of_an_attention_layer_with_an_integer_seed():
    model = attention(keras.initializers.GlorotUniform(seed=3))
    [twins] = find_twins(model)
    assert twins.paths == ("mha/query", "mha/key", "mha/value")
    assert (twins.origin, twins.seed) == ("seed", 3)
    [finding] = [finding for finding in ik.inspect(model).findings if finding.verdict == "twins"]
    assert finding.severity == "warning"
    assert "mha/query.kernel, mha/key.kernel, mha/value.kernel" in finding.cause
    assert "the same integer seed (3)" in finding.cause
    assert find_twins(attention(keras.initializers.GlorotUniform())) == []


@pytest.mark.parametrize(
    "model",
    [
        lambda: perceptron("he_normal", "he_normal"),
        lambda: perceptron("zeros", "zeros"),
        lambda: perceptron("ones", "ones"),
        lambda: perceptron("identity", "identity"),
        lambda: perceptron(ik.initializers.ZerO(), ik.initializers.ZerO()),
        lambda: keras.Sequential([keras.Input((6,)), *[L.Dense(6)] * 2, L.Dense(2)]),  # one layer, twice
    ],
    ids=["random", "zeros", "ones", "identity", "ZerO", "shared layer"],
)
def test_no_twins(model):
    assert find_twins(model()) == []


def test_layers_of_other_shapes_are_no_twins_although_their_seeds_are_equal():
    inputs = keras.Input((6,))
    seeded = keras.initializers.GlorotUniform(seed=1)
    x = L.Dense(4, kernel_initializer=seeded)(inputs)
    assert find_twins(keras.Model(inputs, L.Dense(5, kernel_initializer=seeded)(x))) == []


@pytest.mark.parametrize("make", [one_instance, one_seed])
def test_the_initializer_of_the_fix_gives_every_layer_other_values(make):
    model = make()
    [finding] = ik.inspect(model).findings
    assert "kernel_initializer=keras_initkit.initializers.Distinct(initializer)" in finding.fix
    initializer = ik.initializers.Distinct(model.get_layer("h0").kernel_initializer)
    assert find_twins(perceptron(initializer, initializer, initializer)) == []


def test_the_line_of_code_for_copies_draws_one_of_them_anew():
    model = copied()
    [finding] = ik.inspect(model).findings
    exec(finding.fix, {"model": model, "keras": keras})
    assert find_twins(model) == []


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_twins_in_half_precision(dtype):
    shared = keras.initializers.GlorotUniform()
    hidden = [L.Dense(6, kernel_initializer=shared, dtype=dtype, name=f"h{n}") for n in range(2)]
    model = keras.Sequential([keras.Input((6,)), *hidden, L.Dense(2)])
    [twins] = find_twins(model)
    assert twins.paths == ("h0", "h1")
    model.get_layer("h1").kernel.assign(model.get_layer("h0").kernel * 2)
    assert find_twins(model) == []


def towers(*, join, dropout=0.0):
    inputs = keras.Input((6,))
    seeded = [L.Dense(8, "tanh", kernel_initializer=keras.initializers.HeNormal(seed=2), name=n) for n in "ab"]
    outputs = [L.Dropout(dropout)(tower(inputs)) for tower in seeded]
    return keras.Model(inputs, L.Dense(2)(join(outputs)))


@pytest.mark.parametrize(
    ("join", "dropout", "severity"),
    [(L.Add, 0.0, "error"), (L.Average, 0.0, "error"), (L.Concatenate, 0.0, "warning"), (L.Add, 0.5, "warning")],
)
def test_twins_that_move_alike_are_an_error_and_training_agrees(join, dropout, severity):
    keras.utils.set_random_seed(0)
    model = towers(join=join(), dropout=dropout)
    [finding] = [finding for finding in ik.inspect(model).findings if finding.verdict == "twins"]
    assert finding.severity == severity
    assert ("they stay equal for ever" in finding.cause) == (severity == "error")
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    x = np.random.default_rng(0).standard_normal((16, 6)).astype("float32")
    for _ in range(3):
        model.train_on_batch(x, x[:, :2] ** 2)
    apart = np.abs(to_numpy(model.get_layer("a").kernel) - to_numpy(model.get_layer("b").kernel)).max()
    assert (apart < 1e-6) == (severity == "error")
