"""Inputs, outputs, losses, weights and metrics of all forms: the stacked engine gives what `fit` gives."""

import keras
import numpy as np
import pytest
from keras import layers, losses, metrics, ops, optimizers

from keras_initkit.study.data import StudyData
from tests.study.engines.fit_oracle import assert_like_fit

pytestmark = pytest.mark.usefixtures("float64")

EXACT = 1e-8


class Focused(losses.Loss):
    def call(self, y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred) ** 1.5, axis=-1)


class Spread(metrics.Metric):
    """Keeps a state of its own shape, and gives two numbers."""

    def __init__(self, name="spread"):
        super().__init__(name=name)
        self.lowest = self.add_variable((2,), keras.initializers.Constant(10.0), name="lowest")
        self.highest = self.add_variable((2,), keras.initializers.Constant(-10.0), name="highest")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.lowest.assign(ops.minimum(self.lowest, ops.min(y_pred, axis=0)))
        self.highest.assign(ops.maximum(self.highest, ops.max(y_pred, axis=0)))

    def result(self):
        return {"narrow": ops.min(self.highest - self.lowest), "wide": ops.max(self.highest - self.lowest)}

    def reset_state(self):
        self.lowest.assign(ops.full((2,), 10.0))
        self.highest.assign(ops.full((2,), -10.0))


class TwoHeads(keras.Model):
    """A subclassed model with a shared layer, a nested model and a penalty of its own."""

    def __init__(self, initializer):
        super().__init__()
        self.shared = layers.Dense(4, "tanh", kernel_initializer=initializer)
        self.nested = keras.Sequential([layers.Dense(4, "relu"), layers.Dropout(0.2), layers.Dense(3)])
        self.nested.add(layers.Activation("softmax"))
        self.scores = layers.Dense(2)

    def call(self, inputs, training=False):
        left, right = self.shared(inputs["left"]), self.shared(inputs["right"])
        self.add_loss(1e-2 * ops.mean(ops.square(left)))
        return {"kind": self.nested(left * right, training=training), "score": self.scores(left - right)}


def two_heads(initializer):
    model = TwoHeads(initializer)
    model.compile(
        optimizers.Adam(0.01),
        loss={"kind": "sparse_categorical_crossentropy", "score": Focused()},
        loss_weights={"kind": 0.3, "score": 2.0},
        metrics={"kind": ["accuracy"], "score": [Spread()]},
        weighted_metrics={"kind": ["sparse_categorical_crossentropy"], "score": ["mae"]},
    )
    return model


def test_several_inputs_and_outputs_with_weights():
    random = np.random.default_rng(1)
    x = {name: random.normal(size=(19, 4)) for name in ("left", "right")}
    y = {"kind": random.integers(0, 3, 19), "score": random.normal(size=(19, 2))}
    weight = {"kind": random.uniform(size=19), "score": random.uniform(size=19)}
    held_out = (
        {n: v[:5] for n, v in x.items()},
        {n: v[:5] for n, v in y.items()},
        {n: v[:5] for n, v in weight.items()},
    )
    assert_like_fit(two_heads, StudyData.of(x, y, held_out, sample_weight=weight), rtol=EXACT)


def counted(initializer):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5, "relu", kernel_initializer=initializer)])
    model.add(layers.Dense(3, "softmax"))
    model.compile(
        optimizers.SGD(0.1, momentum=0.9),
        loss=lambda y, p: losses.categorical_crossentropy(y, p, label_smoothing=0.1),
        metrics=[
            "accuracy",
            # Keras numbers the names it gives itself, over all models of the process.
            metrics.AUC(num_thresholds=20, name="auc"),
            metrics.F1Score("macro", name="f1"),
            metrics.F1Score(name="each"),  # one number per class, which is no curve
            metrics.OneHotMeanIoU(3, name="overlap"),
        ],
        weighted_metrics=["categorical_crossentropy"],
    )
    return model


def test_metrics_with_states_and_class_weights():
    random = np.random.default_rng(2)
    x, y = random.normal(size=(21, 4)), np.eye(3)[random.integers(0, 3, 21)]
    assert_like_fit(counted, StudyData.of(x, y, (x[:9], y[:9]), class_weight={0: 1.0, 1: 3.0, 2: 0.5}), rtol=EXACT)


def test_no_targets():
    class Autoencoder(keras.Model):
        def __init__(self, initializer):
            super().__init__()
            self.code = layers.Dense(2, kernel_initializer=initializer, activity_regularizer="l2")
            self.decode = layers.Dense(4)

        def call(self, inputs):
            decoded = self.decode(self.code(inputs))
            self.add_loss(ops.mean(ops.square(decoded - inputs)))
            return decoded

    def build(initializer):
        model = Autoencoder(initializer)
        model.compile("adam")
        return model

    x = np.random.default_rng(3).normal(size=(17, 4))
    assert_like_fit(build, StudyData.of(x, None, (x[:5], None)), rtol=EXACT)
