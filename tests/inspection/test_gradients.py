import itertools

import keras
import numpy as np
import pytest
from keras import layers as L

from keras_initkit.inspection.gradients import gradient_disagreement, gradients, unit_gradients, without_gradient
from keras_initkit.symmetry.separation import class_signs
from keras_initkit.units.reading import UnitReader

WIDTH = 16


def batch(size=40):
    rng = np.random.default_rng(1)
    return rng.standard_normal((size, 2)).astype("float32"), rng.standard_normal((size, 3)).astype("float32")


def weights_of(network, arrays):
    for variable, array in zip(network.trainable_variables, arrays, strict=True):
        variable.assign(array)


def test_against_the_gradient_derived_by_hand():
    rng = np.random.default_rng(0)
    w, b, v = rng.standard_normal((2, 3)), rng.standard_normal(3), rng.standard_normal((3, 1))
    x, y = rng.standard_normal((5, 2)), rng.standard_normal((5, 1))
    model = keras.Sequential(
        [
            keras.Input((2,)),
            L.Dense(3, "tanh", kernel_regularizer=keras.regularizers.L2(0.1)),
            L.Dense(1, use_bias=False),
        ]
    )
    weights_of(model, [w, b, v])
    model.compile("adam", "mse")
    h = np.tanh(x @ w + b)
    error = 2 * (h @ v - y) / 5
    delta = (error @ v.T) * (1 - h**2)
    found = gradients(model, x, y)
    assert found.from_loss
    assert found.loss == pytest.approx(((h @ v - y) ** 2).mean() + 0.1 * (w**2).sum(), rel=1e-5)
    for array, expected in zip(found.arrays, [x.T @ delta + 0.2 * w, delta.sum(0), h.T @ error], strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-6)
    # Without targets, and uncompiled: fixed random numbers in the place of the error.
    cotangents = np.random.default_rng([7, 0]).standard_normal((5, 1)) / 5
    for found in (
        gradients(model, x, cotangent_seed=7),
        gradients(keras.Sequential(model.layers), x, y, cotangent_seed=7),
    ):
        assert not found.from_loss
        np.testing.assert_allclose(found.arrays[2], h.T @ cotangents, rtol=1e-4, atol=1e-6)
    assert not np.allclose(gradients(model, x).arrays[2], found.arrays[2])


def test_against_finite_differences_with_batch_statistics():
    keras.utils.set_random_seed(0)
    layers = [L.Conv1D(3, 2), L.BatchNormalization(), L.Activation("tanh"), L.Flatten(), L.Dense(2, "softmax")]
    model = keras.Sequential([keras.Input((4, 2)), *layers])
    for layer in model.layers:
        assert layer.built
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = np.random.default_rng(0).standard_normal((6, 4, 2)), np.arange(6) % 2
    found = gradients(model, x, y)
    kernel = model.layers[0].kernel
    start, step = np.asarray(keras.ops.convert_to_numpy(kernel.value)), 1e-2
    for index in [(0, 0, 0), (1, 1, 2), (0, 1, 1)]:
        losses = []
        for sign in (1, -1):
            moved = start.copy()
            moved[index] += sign * step
            kernel.assign(moved)
            losses.append(gradients(model, x, y).loss)
        kernel.assign(start)
        assert found.of(kernel)[index] == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=2e-2, abs=1e-4)
    # The bias in front of it has no gradient in training; with the moving statistics it has one.
    assert np.abs(found.of(model.layers[0].bias)).max() < 1e-6
    assert np.abs(gradients(model, x, y, training=False).of(model.layers[0].bias)).max() > 1e-3


def test_half_precision_keeps_small_gradients():
    model = keras.Sequential([keras.Input((4,)), L.Dense(2, dtype="mixed_float16")])
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), initial_scale=2.0**15), "mse")
    x, y = np.full((8, 4), 1e-4, "float32"), np.full((8, 2), 1e-3, "float32")
    model.layers[0].kernel.assign(np.zeros((4, 2)))
    expected = 2 * 1e-4 * -1e-3 / 2  # 1e-7, below the smallest float16 that is not zero to rounding
    found = gradients(model, x, y)
    np.testing.assert_allclose(found.of(model.layers[0].kernel), expected, rtol=2e-2)
    # Too large a scale is done without.
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), initial_scale=2.0**40), "mse")
    assert np.isfinite(gradients(model, x * 1e4, y * 1e3).arrays[0]).all()


def test_embeddings_and_unused_weights():
    inputs = keras.Input((3,), dtype="int32")
    unused = L.Dense(2)
    unused.build((None, 4))
    model = keras.Model(inputs, L.Dense(1)(L.GlobalAveragePooling1D()(L.Embedding(5, 4)(inputs))))
    model.unused = unused
    x = np.array([[0, 1, 1]])
    found = gradients(model, x)
    rows = np.abs(found.of(model.layers[1].embeddings)).sum(1)
    np.testing.assert_allclose(rows[1] / rows[0], 2, rtol=1e-5)
    assert not rows[2:].any()
    assert not found.of(unused.kernel).any()
    assert found.of(model.layers[1]) is None


# ----------------------------------------------------------------------------- the truth table of initialisations


def glorot():
    rng = np.random.default_rng(3)
    sizes = (2, WIDTH, WIDTH, 3)
    return [
        array
        for a, b in itertools.pairwise(sizes)
        for array in (rng.normal(0, np.sqrt(2 / (a + b)), (a, b)), np.zeros(b))
    ]


def constants(*layers, value=0.5):
    weights = glorot()
    for layer in layers:
        weights[2 * layer] = np.full_like(weights[2 * layer], value)
    return weights


def tiled():
    weights = glorot()
    weights[0] = np.repeat(weights[0][:, :1], WIDTH, axis=1)
    weights[2] = np.repeat(weights[2][:1], WIDTH, axis=0)
    return weights


def widened(share):
    weights = glorot()
    weights[2] = np.tile(weights[2][:, :8], 2)
    weights[4] = np.concatenate([weights[4][:8] * share, weights[4][:8] * (1 - share)])
    return weights


EQUAL, HALVES, DISTINCT = np.zeros(WIDTH, int), np.tile(np.arange(8), 2), np.arange(WIDTH)
# Weights, the units that are equal incoming in both layers, and whether they get equal gradients.
TRUTH = {
    "all constant": (constants(0, 1, 2), (EQUAL, EQUAL), (True, True)),
    "first constant": (constants(0), (EQUAL, DISTINCT), (False, None)),
    "second constant": (constants(1), (DISTINCT, EQUAL), (None, False)),
    "second and output constant": (constants(1, 2), (DISTINCT, EQUAL), (None, True)),
    "first and second constant": (constants(0, 1), (EQUAL, EQUAL), (True, False)),
    "tiled": (tiled(), (EQUAL, DISTINCT), (True, None)),
    "widened in halves": (widened(0.5), (DISTINCT, HALVES), (None, True)),
    "widened unequally": (widened(1 / 3), (DISTINCT, HALVES), (None, False)),
}


@pytest.fixture(scope="module")
def networks():
    def build(activation):
        hidden = [step for _ in range(2) for step in (L.Dense(WIDTH, activation), L.Dropout(0.3))]
        # With softmax the gradient behind equal outgoing weights would cancel to rounding.
        model = keras.Sequential([keras.Input((2,)), *hidden, L.Dense(3)])
        model.compile("adam", "mse")
        return model

    return {activation: build(activation) for activation in ("tanh", "relu")}


@pytest.mark.parametrize("with_targets", [True, False])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("name", TRUTH)
def test_units_that_stay_equal_get_equal_gradients(networks, name, activation, with_targets):
    weights, labels, equal = TRUTH[name]
    model = networks[activation]
    weights_of(model, weights)
    x, y = batch()
    found = unit_gradients(model, UnitReader(model), gradients(model, x, y if with_targets else None))
    for layer, classes, expected in zip(found, labels, equal, strict=True):
        disagreement = gradient_disagreement(found[layer], classes)
        if expected is None:
            assert np.isnan(disagreement).all()
        elif expected:
            assert np.nanmax(disagreement) < 1e-6
        else:
            assert np.nanmax(disagreement) > 0.05
    # Dropout would tell the units apart.
    noisy = unit_gradients(model, UnitReader(model), gradients(model, x, y, noise=True))
    for layer, classes, expected in zip(noisy, labels, equal, strict=True):
        assert not expected or np.nanmax(gradient_disagreement(noisy[layer], classes)) > 0.05


def test_zeros_into_relu_get_no_gradient(networks):
    for activation, dead in (("relu", True), ("tanh", False)):
        weights_of(networks[activation], constants(0, value=0.0))
        model = networks[activation]
        found = unit_gradients(model, UnitReader(model), gradients(model, *batch()))
        first, _ = found.values()
        assert without_gradient(first).all() == dead
    weights_of(networks["tanh"], constants(1, 2, value=0.0))
    first, second = unit_gradients(
        networks["tanh"], UnitReader(networks["tanh"]), gradients(networks["tanh"], *batch())
    ).values()
    assert without_gradient(first).all()
    assert without_gradient(second).all()


def test_a_mirror_pair_agrees_up_to_its_sign(networks):
    weights = glorot()
    weights[2][:, 5], weights[4][5] = -weights[2][:, 9], -weights[4][9]
    model, labels = networks["tanh"], DISTINCT.copy()
    labels[5] = labels[9]
    weights_of(model, weights)
    _, found = unit_gradients(model, UnitReader(model), gradients(model, *batch())).values()
    assert gradient_disagreement(found, labels)[9] > 0.99
    assert gradient_disagreement(found, labels, signs=class_signs(weights[2], labels))[9] < 1e-6


def test_disagreement_of_given_numbers():
    gradient = np.array([[3.0, 3.0, 0.0, 0.0, 0.0, -3.0], [4.0, 4.0, 0.0, 0.0, 5.0, -4.0]])
    found = gradient_disagreement(gradient, np.array([0, 0, 1, 1, 2, 0]))
    np.testing.assert_array_equal(found, [0, 0, 0, 0, np.nan, 1])
    np.testing.assert_array_equal(without_gradient(gradient), [False, False, True, True, False, False])
    # One of the two gets no gradient.
    assert gradient_disagreement(np.array([[2.0, 0.0]]), np.array([0, 0]))[1] == 1
    with pytest.raises(ValueError, match="one entry for each of the 6 units. Received: labels of shape"):
        gradient_disagreement(gradient, np.zeros(2, int))


def test_nothing_is_left_behind(networks):
    model = networks["relu"]
    weights_of(model, glorot())
    before = [np.asarray(keras.ops.convert_to_numpy(v.value)) for v in model.variables]
    unit_gradients(model, UnitReader(model), gradients(model, *batch(), noise=True))
    for variable, array in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value), array)
    assert [layer.rate for layer in model.layers if isinstance(layer, L.Dropout)] == [0.3, 0.3]


def test_models_without_floating_outputs_are_refused():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.ops.argmax(L.Dense(3)(inputs), axis=-1))
    with pytest.raises(ValueError, match="output of a float type.*Received: outputs of type \\['int"):
        gradients(model, batch()[0])
