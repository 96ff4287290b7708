import keras
import numpy as np
import pytest
from keras import layers as L

from keras_initkit.inspection.start_loss import start_loss

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3)).astype("float32")
Y = RNG.normal(3, 2, (40, 2)).astype("float32")
LABELS = np.arange(40) % 5
ONE_HOT = np.eye(5, dtype="float32")[LABELS]
BITS = (np.arange(40) % 4 == 0).astype("float32")


def network(outputs, activation, loss, scale=0.0, **arguments):
    output = L.Dense(outputs, activation, kernel_initializer=keras.initializers.Constant(scale))
    model = keras.Sequential([keras.Input((3,)), L.Dense(3, kernel_regularizer="l2"), L.Dropout(0.5), output])
    model.compile("sgd", loss, **arguments)
    return model


@pytest.mark.parametrize(
    ("outputs", "activation", "loss", "y", "expected"),
    [
        (5, "softmax", "sparse_categorical_crossentropy", LABELS, np.log(5)),
        (5, None, keras.losses.SparseCategoricalCrossentropy(from_logits=True), LABELS, np.log(5)),
        (5, "softmax", keras.losses.CategoricalCrossentropy(label_smoothing=0.1), ONE_HOT, np.log(5)),
        (1, "sigmoid", "binary_crossentropy", BITS[:, None], np.log(2)),
        (1, None, keras.losses.BinaryCrossentropy(from_logits=True), BITS[:, None], np.log(2)),
    ],
)
def test_zero_logits_start_at_the_expected_loss(outputs, activation, loss, y, expected):
    found = start_loss(network(outputs, activation, loss), X, y)
    assert found.expected == pytest.approx(expected, rel=1e-12)
    assert found.value == pytest.approx(expected, rel=1e-5)
    assert found.meaning


@pytest.mark.parametrize(
    ("loss", "best", "distance"),
    [
        ("mse", np.mean, np.square),
        (keras.losses.MeanSquaredError(), np.mean, np.square),
        ("mean_absolute_error", np.median, np.abs),
    ],
)
def test_regression_starts_from_the_best_constant(loss, best, distance):
    model = network(2, None, loss)
    assert start_loss(model, X, Y).expected == pytest.approx(distance(Y - best(Y, axis=0)).mean(), rel=1e-6)
    assert start_loss(model, X, Y).value == pytest.approx(distance(Y).mean(), rel=1e-5)
    model.layers[-1].bias.assign(best(Y, axis=0))
    found = start_loss(model, X, Y)
    assert found.value == pytest.approx(found.expected, rel=1e-5)


def test_large_logits_start_above_it():
    model = network(5, None, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.layers[-1].kernel.assign(RNG.normal(0, 30, (3, 5)))
    found = start_loss(model, X, LABELS)
    assert found.value > 3 * found.expected
    # Neither dropout nor regularisation counts.
    hidden, _, output = model.layers
    inner = X @ keras.ops.convert_to_numpy(hidden.kernel.value)
    logits = (inner @ keras.ops.convert_to_numpy(output.kernel.value)).astype("float64")
    per_sample = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
    assert found.value == pytest.approx((per_sample - logits[np.arange(40), LABELS]).mean(), rel=1e-4)


def test_what_is_not_known_is_not_said():
    def own(y, outputs):
        return keras.ops.mean(keras.ops.abs(y - outputs))

    for loss in (own, "huber", keras.losses.MeanSquaredError(reduction="sum"), "poisson"):
        found = start_loss(network(2, "softplus", loss), X, Y)
        assert (found.expected, found.meaning) == (None, "")
        assert np.isfinite(found.value)
    weighted = network(2, None, ["mse"], loss_weights=[2.0])
    assert start_loss(weighted, X, Y).expected is None
    inputs = keras.Input((3,))
    two = keras.Model(inputs, [L.Dense(2)(inputs), L.Dense(2)(inputs)])
    two.compile("sgd", ["mse", "mse"])
    assert start_loss(two, X, [Y, Y]).expected is None
    assert start_loss(keras.Sequential([keras.Input((3,)), L.Dense(2)]), X, Y) is None
