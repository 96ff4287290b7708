"""The order of the data: paired between initializers, new every epoch, the same on every backend."""

import random

import keras
import numpy as np
import pytest
from keras.src.backend.common import global_state

from keras_initkit.study.data import Batches, StudyData
from keras_initkit.study.seeding import data_order, replica_randomness

X = np.arange(10, dtype=np.float32)[:, None]


def test_fit_sees_every_sample_once_per_epoch():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    data = StudyData.of(X, X, None)
    history = model.fit(**data.training(seed=0, batch_size=4, epochs=3), epochs=3, verbose=0).history
    np.testing.assert_allclose(history["loss"], np.mean(X**2), rtol=1e-6)


def test_training_follows_the_order_of_the_seed_epoch_by_epoch():
    """The weights after SGD depend on every batch; an oracle in NumPy goes through them in the stated order."""
    x = np.linspace(-1, 1, 10, dtype=np.float32)[:, None]
    weight = 0.0
    for epoch in range(3):
        order = data_order(5, epoch, 10)
        for start in (0, 4, 8):
            batch = x[order[start : start + 4], 0]
            weight -= 0.3 * np.mean(2 * (weight * batch - (batch + batch**2)) * batch)

    def trained(arguments):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
        model.compile(keras.optimizers.SGD(0.3), "mse")
        model.fit(**arguments, epochs=3, verbose=0)
        return float(keras.ops.convert_to_numpy(model.layers[0].kernel + 0)[0, 0])

    targets = x + x**2
    batches = Batches(x, targets, 4, seed=5)
    plain = {"x": batches, "shuffle": False, "callbacks": [batches.follow_epochs()]}
    assert trained(plain) == pytest.approx(weight, rel=1e-5)
    assert trained(StudyData.of(x, targets, None).training(seed=5, batch_size=4, epochs=3)) == pytest.approx(
        weight, rel=1e-5
    )


def test_batches_follow_the_order_of_the_seed():
    batches = Batches({"a": X}, X[:, 0], 4, seed=3, sample_weight=2 * X[:, 0])
    for epoch in (0, 1):
        batches.start_epoch(epoch)
        order = data_order(3, epoch, 10)
        assert len(batches) == 3
        x, y, weights = zip(*(batches[i] for i in range(3)), strict=True)
        np.testing.assert_array_equal(np.concatenate([part["a"][:, 0] for part in x]), order)
        np.testing.assert_array_equal(np.concatenate(y), order)
        np.testing.assert_array_equal(np.concatenate(weights), 2 * order)
    assert not np.array_equal(data_order(3, 0, 10), data_order(3, 1, 10))
    assert not np.array_equal(data_order(3, 0, 10), data_order(4, 0, 10))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the pipeline of the TensorFlow backend")
def test_the_pipeline_gives_the_batches_of_the_plain_loop():
    data = StudyData.of([X, 2 * X], {"t": X[:, 0]}, None, sample_weight=3 * X[:, 0])
    arguments = data.training(seed=3, batch_size=4, epochs=2)
    assert arguments["steps_per_epoch"] == 3
    plain = Batches([X, 2 * X], {"t": X[:, 0]}, 4, seed=3)
    batches = list(arguments["x"].as_numpy_iterator())
    assert len(batches) == 6
    for epoch in (0, 1):
        plain.start_epoch(epoch)
        for index in range(3):
            (a, b), y, weights = batches[3 * epoch + index]
            (plain_a, plain_b), plain_y = plain[index]
            np.testing.assert_array_equal(a, plain_a)
            np.testing.assert_array_equal(b, plain_b)
            np.testing.assert_array_equal(y["t"], plain_y["t"])
            np.testing.assert_array_equal(weights["t"], 3 * plain_y["t"])


def _draws():
    return [np.asarray(values) for values in (keras.initializers.HeNormal()((3, 3)), keras.random.normal((2,)))]


def test_randomness_depends_on_the_seed_alone_and_leaves_no_trace():
    keras.utils.set_random_seed(9)
    expected = keras.initializers.HeNormal()((3, 3))
    keras.random.normal((2,))  # the global generator exists now, and stands somewhere
    generator = global_state.get_global_attribute("global_seed_generator")
    stand = np.asarray(generator.state.value)
    python_stand = random.getstate()
    with replica_randomness(9):
        first = _draws()
    with replica_randomness(9):
        second = _draws()
    with replica_randomness(10):
        other = _draws()
    np.testing.assert_array_equal(first[0], np.asarray(expected))
    for one, same, different in zip(first, second, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, different)
    assert random.getstate() == python_stand
    assert global_state.get_global_attribute("global_seed_generator") is generator
    np.testing.assert_array_equal(np.asarray(generator.state.value), stand)
