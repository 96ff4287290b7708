"""What cannot be stacked with the results of `fit` goes to the sequential engine, and the reason is said."""

import keras
import numpy as np
import pytest
from keras import layers, ops, optimizers

from keras_initkit.study.data import StudyData
from keras_initkit.study.engines.group import Training
from keras_initkit.study.engines.stacked import CannotStack, StackedEngine
from tests.study.engines.fit_oracle import members

on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow changes state in place")

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(12, 4)).astype("float32"), RANDOM.integers(0, 3, 12)


def perceptron(initializer, extra=(), optimizer="sgd", kind=keras.Sequential, **how):
    model = kind([keras.Input((4,)), layers.Dense(4, "tanh", kernel_initializer=initializer), *extra, layers.Dense(3)])
    how.setdefault("loss", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.compile(optimizer, **how)
    return model


def reason(build, callbacks=(), x=X, y=Y):
    training = Training(build, StudyData.of(x, y, None), 2, 4, callbacks=callbacks)
    with pytest.raises(CannotStack) as error:
        list(StackedEngine(training, strict=True).train(members(), lambda _: None))
    return str(error.value)


class OwnStep(keras.Sequential):
    def train_step(self, *arguments):
        return super().train_step(*arguments)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"kind": OwnStep}, "its own 'train_step'"),
        ({"run_eagerly": True}, "run_eagerly=True"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_of_the_model(how, expected):
    assert expected in reason(lambda k: perceptron(k, **how))


@on_tensorflow
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"gradient_accumulation_steps": 2}, "accumulated"),
        ({"use_ema": True, "ema_overwrite_frequency": 2}, "averaged weights are written back"),
    ],
)
def test_of_the_optimizer(how, expected):
    assert expected in reason(lambda k: perceptron(k, optimizer=optimizers.SGD(0.1, **how)))


def test_of_callbacks():
    assert "one model at a time" in reason(perceptron, callbacks=(keras.callbacks.Callback(),))


def test_without_trainable_weights():
    def build(initializer):
        model = perceptron(initializer)
        model.trainable = False
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    assert "no trainable weights" in reason(build)


class Unlisted(layers.Layer):
    """Multiplies by what `draw` gives in every call."""

    def __init__(self, draw, **how):
        super().__init__(**how)
        self.draw = draw

    def call(self, inputs):
        return inputs * self.draw()


def hidden_variable():
    import tensorflow as tf

    steps = tf.Variable(1.0, name="steps")
    return lambda: steps.assign_add(0.01)


def hidden_keras_variable():
    scale = keras.Variable(1.0)

    def draw():
        scale.assign(scale * 1.01)
        return scale.value

    return draw


def tensorflow_draw():
    import tensorflow as tf

    return lambda: tf.random.uniform((), 0.9, 1.1)


def python_counter():
    calls = iter(range(1, 10_000))
    return lambda: 1.0 + 0.1 * next(calls)


def python_function():
    import tensorflow as tf

    return lambda: tf.reshape(tf.py_function(lambda: np.float32(RANDOM.uniform()), [], tf.float32), ())


def python_constant():
    import tensorflow as tf

    return lambda: tf.reshape(tf.py_function(lambda: np.float32(2.0), [], tf.float32), ())


def unseeded_draw():
    return lambda: ops.exp(0.01 * keras.random.normal(()))


UNLISTED = {
    hidden_variable: "differs from what Keras' own training step gives",
    hidden_keras_variable: "a variable is changed that the model does not list",
    unseeded_draw: "a variable is changed that the model does not list",
    tensorflow_draw: "differs from what Keras' own training step gives",
    python_counter: "differs from what Keras' own training step gives",
    python_function: "differs from what Keras' own training step gives",
    python_constant: "a Python function is called in every step",
}


@on_tensorflow
@pytest.mark.parametrize("state", UNLISTED, ids=lambda made: made.__name__)
def test_state_that_the_model_does_not_list(state):
    # With zeros the outputs of two models agree whatever the layer does.
    drawn = state()
    assert UNLISTED[state] in reason(lambda _: perceptron("zeros", extra=[Unlisted(drawn)]))


@on_tensorflow
@pytest.mark.parametrize("state", UNLISTED, ids=lambda made: made.__name__)
def test_state_that_the_outputs_show(state):
    drawn = state()
    assert reason(lambda k: perceptron(k, extra=[Unlisted(drawn)]))


@on_tensorflow
def test_variables_that_the_first_step_hides():
    import tensorflow as tf

    small = tf.Variable(1.0)
    how = [Unlisted(lambda: small.assign_add(1e-6))]
    assert "a variable is read or changed that the model does not list" in reason(lambda k: perceptron(k, extra=how))


@on_tensorflow
def test_random_numbers_of_tensorflow_that_the_first_step_hides():
    import tensorflow as tf

    assert "TensorFlow's own state" in reason(
        lambda k: perceptron(k, extra=[Unlisted(lambda: 1.0 + 1e-6 * tf.random.uniform(()))])
    )


@on_tensorflow
def test_weights_changed_in_the_forward_pass():
    assert "after the first step" in reason(
        lambda k: perceptron(k, extra=[layers.SpectralNormalization(layers.Dense(4))], optimizer="adam")
    )


@on_tensorflow
def test_an_optimizer_that_counts_its_steps():
    class Slower(optimizers.SGD):
        factor = 1.0

        def update_step(self, gradient, variable, learning_rate):
            Slower.factor *= 0.99
            super().update_step(gradient, variable, Slower.factor * learning_rate)

    assert "the step of most weights" in reason(lambda k: perceptron(k, optimizer=Slower(0.1)))


@on_tensorflow
def test_a_loss_that_counts_its_calls():
    class Growing(keras.losses.Loss):
        def __init__(self):
            super().__init__()
            self.calls = keras.Variable(1.0)

        def call(self, y_true, y_pred):
            self.calls.assign(self.calls + 1.0)
            return self.calls.value * ops.mean(ops.square(y_pred), axis=-1)

    assert "the model does not list" in reason(lambda k: perceptron(k, loss=Growing()))


def test_what_is_left_is_trained_by_fit():
    training = Training(lambda k: perceptron(k, run_eagerly=True), StudyData.of(X, Y, None), 1, 12)
    engine = StackedEngine(training)
    outcomes = list(engine.train(members(seeds=(0, 1)), lambda _: None))
    assert [outcome.replica.status for outcome in outcomes] == ["finished", "finished"]
    assert "run_eagerly=True" in str(engine.notes)
