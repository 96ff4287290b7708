"""Class and sample weights mean what they mean in `fit`: the same losses, and the same refusals."""

import keras
import numpy as np
import pytest
from keras.src.trainers.data_adapters.data_adapter_utils import class_weight_to_sample_weights

from keras_initkit.study.data import StudyData
from keras_initkit.study.seeding import data_order
from keras_initkit.study.weights import sample_weight_of_classes

RNG = np.random.default_rng(0)
X = RNG.normal(size=(10, 2)).astype("float32")
LABELS = RNG.integers(0, 3, 10)
ONE_HOT = np.eye(3, dtype="float32")[LABELS]
CLASS_WEIGHT = {0: 0.5, 2: 3.0}
WEIGHTS = RNG.uniform(0, 2, 10)


def linear(outputs, loss, rate=0.1):
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(outputs, "softmax", kernel_initializer=keras.initializers.Constant(0.1))]
    )
    model.compile(keras.optimizers.SGD(rate), loss, weighted_metrics=["accuracy"])
    return model


@pytest.mark.parametrize(
    "y",
    [LABELS, LABELS[:, None], ONE_HOT, ONE_HOT + 0.2 * np.arange(3), LABELS + 0.4, LABELS[:, None] - 0.3, LABELS == 1],
)
@pytest.mark.parametrize("class_weight", [CLASS_WEIGHT, {1: 2.0}, {0: -1.0, 7: 9.0}])
def test_weights_of_classes_are_those_of_keras(y, class_weight):
    weights = sample_weight_of_classes(np.asarray(y), class_weight)
    expected = class_weight_to_sample_weights(np.asarray(y), class_weight)
    np.testing.assert_array_equal(weights, expected)
    assert weights.dtype == expected.dtype


@pytest.mark.parametrize(
    ("y", "loss"), [(LABELS, "sparse_categorical_crossentropy"), (ONE_HOT, "categorical_crossentropy")]
)
@pytest.mark.parametrize("weights", [{"class_weight": CLASS_WEIGHT}, {"sample_weight": WEIGHTS}])
def test_fit_gives_the_losses_that_keras_gives_with_these_weights(y, loss, weights):
    order = data_order(4, 0, 10)
    sorted_weights = {k: w if isinstance(w, dict) else w[order] for k, w in weights.items()}
    expected = linear(3, loss).fit(X[order], y[order], batch_size=4, shuffle=False, verbose=0, **sorted_weights)
    ours = linear(3, loss).fit(**StudyData.of(X, y, None, **weights).training(4, 4, 1), verbose=0)
    plain = linear(3, loss).fit(**StudyData.of(X, y, None).training(4, 4, 1), verbose=0)
    for name, values in expected.history.items():
        np.testing.assert_allclose(ours.history[name], values, rtol=1e-6)
    assert plain.history["loss"] != pytest.approx(expected.history["loss"], rel=1e-2)


@pytest.mark.parametrize("weights", [{"class_weight": CLASS_WEIGHT}, {"sample_weight": WEIGHTS}])
def test_epoch_0_is_measured_with_the_weights_of_training(weights):
    """With a learning rate of 0 the training loss of `fit` is the loss before training."""
    model = linear(3, "sparse_categorical_crossentropy", rate=0.0)
    expected = model.fit(X, LABELS, verbose=0, **weights).history
    validation = (X, LABELS, WEIGHTS)
    values = StudyData.of(X, LABELS, validation, **weights).evaluate(model)
    weighted = model.evaluate(X, LABELS, sample_weight=WEIGHTS, verbose=0)
    assert values["loss"] == pytest.approx(expected["loss"][0], rel=1e-6)
    assert values["accuracy"] == pytest.approx(expected["accuracy"][0], rel=1e-6)
    assert [values["val_loss"], values["val_accuracy"]] == pytest.approx(weighted, rel=1e-6)


def two_outputs():
    inputs = keras.Input((2,))
    dense = [keras.layers.Dense(1, kernel_initializer="ones", name=name)(inputs) for name in "ab"]
    model = keras.Model(inputs, dict(zip("ab", dense, strict=True)))
    model.compile(keras.optimizers.SGD(0.1), {"a": "mse", "b": "mse"})
    return model


@pytest.mark.parametrize(
    "weights", [WEIGHTS, WEIGHTS[:, None], {"a": WEIGHTS, "b": 2 * WEIGHTS[::-1]}], ids=["one", "column", "nested"]
)
def test_weights_of_several_outputs(weights):
    y = {"a": X[:, :1], "b": X[:, 1:] ** 2}
    order = data_order(1, 0, 10)
    taken = keras.tree.map_structure(lambda array: array[order], (X, y, weights))
    expected = two_outputs().fit(taken[0], taken[1], sample_weight=taken[2], batch_size=4, shuffle=False, verbose=0)
    data = StudyData.of(X, y, None, sample_weight=weights)
    assert set(data.sample_weight) == {"a", "b"}
    ours = two_outputs().fit(**data.training(1, 4, 1), verbose=0)
    assert ours.history["loss"] == pytest.approx(expected.history["loss"], rel=1e-6)
    evaluated = two_outputs().evaluate(X, y, sample_weight=weights, verbose=0)
    assert data.evaluate(two_outputs())["loss"] == pytest.approx(np.ravel(evaluated)[0], rel=1e-6)


def test_an_output_without_weights_has_weight_1():
    y = {"a": X[:, :1], "b": X[:, 1:]}
    data = StudyData.of(X, y, None, sample_weight={"a": WEIGHTS, "b": None})
    np.testing.assert_array_equal(data.sample_weight["b"], np.ones(10))
    model = two_outputs()
    prediction = X.sum(1, keepdims=True)
    expected = np.mean(WEIGHTS[:, None] * (prediction - y["a"]) ** 2) + np.mean((prediction - y["b"]) ** 2)
    assert data.evaluate(model)["loss"] == pytest.approx(expected, rel=1e-5)


def test_weights_are_part_of_the_fingerprint():
    variants = [
        StudyData.of(X, LABELS, None),
        StudyData.of(X, LABELS, None, sample_weight=WEIGHTS),
        StudyData.of(X, LABELS, None, sample_weight=WEIGHTS[::-1]),
        StudyData.of(X, LABELS, None, class_weight={0: 2.0}),
        StudyData.of(X, LABELS, (X, LABELS)),
        StudyData.of(X, LABELS, (X, LABELS, WEIGHTS)),
    ]
    digests = [data.sha256() for data in variants]
    assert None not in digests
    assert len(set(digests)) == len(digests)
    same = StudyData.of(X, LABELS, None, sample_weight=sample_weight_of_classes(LABELS, {0: 2.0}))
    assert same.sha256() == digests[3]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"class_weight": {0: 1}, "sample_weight": WEIGHTS}, "class weights or sample weights. Received: both"),
        ({"class_weight": {"a": 1}}, r"dict from classes \(integers from 0\) to weights. Received: class_weight={'a'"),
        ({"class_weight": {-1: 1}}, "integers from 0"),
        ({"class_weight": {}}, r"Received: class_weight=\{\}"),
        ({"class_weight": [1, 2]}, r"Received: class_weight=\[1, 2\]"),
        ({"class_weight": {0: np.nan}}, r"`class_weight\[0\]` to be a finite number"),
        ({"class_weight": {0: "2"}}, r"`class_weight\[0\]` to be a finite number"),
        ({"sample_weight": WEIGHTS[:9]}, r"same number of samples.*'sample_weight': \[9\]"),
        ({"sample_weight": [WEIGHTS]}, "one array, or nested like y with one array per output. Received"),
        ({"sample_weight": np.where(WEIGHTS > 1, np.inf, 1)}, "`sample_weight` to hold finite numbers"),
        ({"sample_weight": 2.0}, "`sample_weight` to be an array"),
    ],
)
def test_weights_that_mean_nothing_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        StudyData.of(X, LABELS, None, **weights)


def test_weights_without_their_targets_are_refused():
    with pytest.raises(ValueError, match="targets beside `sample_weight`. Received: sample_weight without y"):
        StudyData.of(X, None, None, sample_weight=WEIGHTS)
    with pytest.raises(ValueError, match="one array of targets for `class_weight`. Received: no targets"):
        StudyData.of(X, None, None, class_weight={0: 1})
    with pytest.raises(ValueError, match="one array of targets for `class_weight`. Received: 2 arrays of targets"):
        StudyData.of(X, {"a": LABELS, "b": LABELS}, None, class_weight={0: 1})
    with pytest.raises(ValueError, match=r"\(samples, classes\).*Received: y=array of shape \(10, 3, 2\)"):
        StudyData.of(X, np.ones((10, 3, 2)), None, class_weight={0: 1})
    with pytest.raises(ValueError, match=r"shape \(samples,\) where it holds for several outputs"):
        StudyData.of(X, {"a": X, "b": X}, None, sample_weight=np.ones((10, 2)))
    with pytest.raises(ValueError, match="'validation_sample_weight': \\[9\\]"):
        StudyData.of(X, LABELS, (X, LABELS, WEIGHTS[:9]))
    with pytest.raises(ValueError, match="targets beside `validation sample_weight`"):
        StudyData.of(X, LABELS, (X, None, WEIGHTS))


def test_negative_weights_are_allowed():
    np.testing.assert_array_equal(
        StudyData.of(X, LABELS, None, sample_weight=-WEIGHTS).sample_weight, -np.float32(WEIGHTS)
    )
