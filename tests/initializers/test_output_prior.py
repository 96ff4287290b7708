"""OutputPrior: the first loss of a compiled model is the entropy of the classes."""

import json
import math

import keras
import numpy as np
import pytest
from keras import layers
from scipy import special, stats

from keras_initkit.initializers import OutputPrior

COUNTS = [700, 250, 50]


def first_loss(bias, activation, loss, y):
    """Return the loss of an untrained model on noise, its last kernel zero."""
    units = y.shape[1] if y.ndim == 2 else len(COUNTS)
    head = layers.Dense(units, activation, kernel_initializer="zeros", bias_initializer=bias)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu"), head])
    model.compile(loss=loss)
    x = np.random.default_rng(0).standard_normal((len(y), 6))
    return float(model.evaluate(x, y, verbose=0))


@pytest.mark.parametrize(("activation", "logits"), [("sigmoid", False), (None, True)])
def test_binary_loss_starts_at_the_entropy(activation, logits):
    """1 % positives: 0.056 instead of 0.693."""
    y = (np.arange(1000) % 100 == 0).astype("float32")[:, None]
    loss = keras.losses.BinaryCrossentropy(from_logits=logits)
    entropy = stats.bernoulli(0.01).entropy()
    assert entropy == pytest.approx(0.056, abs=5e-4)
    assert first_loss(OutputPrior(0.01), activation, loss, y) == pytest.approx(entropy, rel=0.01)
    assert first_loss("zeros", activation, loss, y) == pytest.approx(math.log(2), rel=0.01)


@pytest.mark.parametrize("p", [COUNTS, np.array(COUNTS), [0.7, 0.25, 0.05], np.array([0.7, 0.25, 0.05], "float32")])
def test_softmax_loss_starts_at_the_entropy(p):
    y = np.repeat(np.arange(3), COUNTS)
    loss = "sparse_categorical_crossentropy"
    assert first_loss(OutputPrior(p, "softmax"), "softmax", loss, y) == pytest.approx(stats.entropy(COUNTS), rel=0.01)
    assert first_loss("zeros", "softmax", loss, y) == pytest.approx(math.log(3), rel=0.01)


def test_labels_that_do_not_exclude_one_another():
    rates = [0.5, 0.1, 0.02]
    y = (np.arange(1000)[:, None] < 1000 * np.array(rates)).astype("float32")
    entropy = np.mean([stats.bernoulli(rate).entropy() for rate in rates])
    found = first_loss(OutputPrior(rates, "sigmoid"), "sigmoid", "binary_crossentropy", y)
    assert found == pytest.approx(entropy, rel=0.01)


def test_values(array):
    np.testing.assert_allclose(array(OutputPrior(0.2)((1,))), special.logit([0.2]), rtol=1e-6)
    np.testing.assert_allclose(array(OutputPrior([0.2], "sigmoid")((1,))), special.logit([0.2]), rtol=1e-6)
    np.testing.assert_allclose(array(OutputPrior(0.01, "sigmoid")((9,))), special.logit([0.01] * 9), rtol=1e-6)
    np.testing.assert_allclose(array(OutputPrior([0.2, 0.9], "sigmoid")((2,))), special.logit([0.2, 0.9]), rtol=1e-6)
    np.testing.assert_allclose(array(OutputPrior([1, 3], "softmax")((2,))), np.log([0.25, 0.75]), rtol=1e-6)
    assert special.expit(array(OutputPrior(1e-6)((1,)))) == pytest.approx(1e-6, rel=1e-5)


@pytest.mark.parametrize("p", [0.3, np.float32(0.25), [0.5, 0.5], (3, 5), np.array([1, 2])])
def test_configurations_are_plain(array, p):
    activation = "softmax" if np.ndim(p) else None
    initializer = OutputPrior(p, activation)
    config = json.loads(json.dumps(initializer.get_config()))
    assert config == {"p": np.asarray(p).tolist(), "activation": activation}
    shape = (max(1, np.size(p)),)
    np.testing.assert_array_equal(array(OutputPrior.from_config(config)(shape)), array(initializer(shape)))


@pytest.mark.parametrize("p", [0, 1, 0.0, 1.0, -0.1, 1.5, 30, [0.2, 1.0]])
def test_rates_out_of_range(p):
    with pytest.raises(
        ValueError, match="above 0 and below 1 for sigmoid outputs. Received: p=.*Divide per cent by 100"
    ):
        OutputPrior(p, "sigmoid")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: OutputPrior([0.3, 0.7]), r"`activation` with several numbers.*activation='sigmoid' for one rate per"),
        (lambda: OutputPrior(COUNTS), "`activation` with several numbers"),
        (lambda: OutputPrior(0.1)((10,)), "one probability serves several outputs.*give the frequency of every class"),
        (lambda: OutputPrior(0.1, "softmax"), "one frequency per class for a softmax"),
        (lambda: OutputPrior([1.0], "softmax"), "one frequency per class for a softmax"),
        (
            lambda: OutputPrior([0.5, 0.3, 0.1], "softmax"),
            "sum to 1, or to be whole numbers.*The sum is 0.9.*'sigmoid'",
        ),
        (lambda: OutputPrior([90.5, 9.5], "softmax"), "The sum is 100"),
        (lambda: OutputPrior([10, 0, 5], "softmax"), "above 0. Received: .*add 1 to each"),
        (lambda: OutputPrior([1.2, -0.2], "softmax"), "every number in `p` to be above 0"),
        (lambda: OutputPrior([0, 1], "softmax"), "every number in `p` to be above 0"),
        (lambda: OutputPrior(math.nan), "Expected `p` to be a probability, or a list"),
        (lambda: OutputPrior([1, math.inf], "softmax"), "Expected `p` to be a probability, or a list"),
        (lambda: OutputPrior("0.1"), "Expected `p` to be a probability, or a list"),
        (lambda: OutputPrior(True), "Expected `p` to be a probability, or a list"),
        (lambda: OutputPrior([]), "Expected `p` to be a probability, or a list"),
        (lambda: OutputPrior([[0.5, 0.5]], "softmax"), "Expected `p` to be a probability, or a list"),
        (lambda: OutputPrior([[0.5], [0.2, 0.3]], "softmax"), "Expected `p` to be a probability, or a list"),
        (lambda: OutputPrior(0.1, "tanh"), "`activation` to be one of 'sigmoid', 'softmax'"),
        (lambda: OutputPrior([1, 1, 2], "softmax")((4,)), r"`shape` to be \(3,\), one output for each number in `p`"),
        (lambda: OutputPrior([1, 9], "softmax")((1,)), "For one sigmoid output give the probability of class 1 alone"),
        (lambda: OutputPrior(0.1)((4, 1)), r"`shape` to be \(n,\). Received: shape=\(4, 1\)"),
    ],
)
def test_bad_arguments(call, text):
    with pytest.raises(ValueError, match=text):
        call()
