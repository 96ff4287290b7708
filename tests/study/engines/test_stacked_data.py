"""Data of all kinds and sizes: the stacked engine sees the batches that `fit` sees."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_initkit.study.data import StudyData
from keras_initkit.study.engines.group import Training
from keras_initkit.study.engines.stacked import StackedEngine
from tests.study.engines.fit_oracle import assert_like_fit, members

EXACT = 1e-8
RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(17, 4)), RANDOM.integers(0, 3, 17)


def perceptron(initializer, **how):
    layer = layers.Dense(4, "tanh", kernel_initializer=initializer)
    model = keras.Sequential([keras.Input((4,)), layer, layers.Dropout(0.2), layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **how)
    return model


class InTurn(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        first = 5 * index
        return X[first : first + 5], Y[first : first + 5], np.arange(1.0, 6.0)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("samples", "batch_size"), [(17, 8), (5, 32)], ids=["one sample is left", "a batch is larger than the data"]
)
def test_sizes(samples, batch_size):
    data = StudyData.of(X[:samples], Y[:samples], (X[:3], Y[:3]))
    assert_like_fit(perceptron, data, rtol=EXACT, batch_size=batch_size)


@pytest.mark.usefixtures("float64")
def test_batches_by_generator_and_by_dataset_of_keras():
    def batches():
        for first in (0, 5, 10, 15):
            yield X[first : first + 5], Y[first : first + 5]

    assert_like_fit(perceptron, StudyData.of(batches, None, InTurn()), rtol=EXACT)


@pytest.mark.usefixtures("float64")
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")
def test_dataset_of_tensorflow_with_class_weights():
    import tensorflow as tf

    own = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(17, seed=3, reshuffle_each_iteration=False).batch(5)
    data = StudyData.of(own, None, own.take(2), class_weight={0: 0.5, 1: 2.0, 2: 1.0})
    assert_like_fit(perceptron, data, rtol=EXACT)


def test_pixels_in_bytes_in_float32_compiled_by_xla():
    def build(initializer, **how):
        x = keras.Input((4,), dtype="uint8")
        y = layers.Normalization(mean=100.0, variance=2000.0)(layers.Rescaling(1.0)(x))
        y = layers.Dense(
            8, "relu", kernel_initializer=initializer, kernel_regularizer=keras.regularizers.OrthogonalRegularizer()
        )(y)
        model = keras.Model(x, layers.Dense(3, "softmax")(y))
        top = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top")
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=[top], **how)
        return model

    x = RANDOM.integers(0, 255, (17, 4)).astype("uint8")
    data = StudyData.of(x, Y, None)
    # Sums of 8 products in float32, of 6e-8 each, in another order, over 6 steps.
    assert_like_fit(
        lambda k: build(k, jit_compile=True, steps_per_execution=2),
        data,
        rtol=1e-5,
        oracle=lambda k: build(k, jit_compile=False),
    )


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")
def test_batches_that_cannot_be_stacked_are_left_to_fit():
    import tensorflow as tf

    def sentences():
        for length in (3, 5, 4):
            yield np.ones((2, length), "int32"), np.zeros(2, "int32")

    words = tf.data.Dataset.from_tensors(([["a", "b"], ["b", "c"]], [0, 1]))

    def build(_, strings):
        x = keras.Input((None,), dtype="string" if strings else "int32")
        y = layers.StringLookup(vocabulary=["a", "b"])(x) if strings else x
        y = layers.GlobalAveragePooling1D()(layers.Embedding(9, 3)(y))
        model = keras.Model(x, layers.Dense(2, "softmax")(y))
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    for batches, strings, why in ((sentences, False, "number of samples"), (words, True, "texts")):
        training = Training(lambda k, strings=strings: build(k, strings), StudyData.of(batches, None, None), 1, 2)
        engine = StackedEngine(training)
        outcomes = list(engine.train(members(seeds=(0, 1)), lambda _: None))
        assert [outcome.replica.status for outcome in outcomes] == ["finished"] * 2, outcomes
        assert why in str(engine.notes)
