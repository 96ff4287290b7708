"""Locks that rounding breaks and locks that it cannot, on digits: the gap, its growth, and when units come apart."""

import itertools

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_initkit import SymmetryMonitor
from keras_initkit.symmetry.separation import SATURATED, growth_rate, steps_until_apart

L = keras.layers
FILTERS = 10


def digits():
    images, labels = load_digits(return_X_y=True)
    return (images / 16).astype("float32"), labels


def fit(model, x, epochs):
    monitor = SymmetryMonitor(on_locked="ignore")
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    history = model.fit(x, digits()[1], batch_size=32, epochs=epochs, verbose=0, callbacks=[monitor])
    assert history.history["loss"][-1] < history.history["loss"][0]
    return monitor


def copied_filters(copies, epochs):
    """Train a convolution whose filters of these numbers start as copies, read by equal rows; return the monitor."""
    keras.utils.set_random_seed(0)
    conv = L.Conv2D(FILTERS, 3, padding="same", use_bias=False, name="conv")
    steps = [conv, L.BatchNormalization(), L.ReLU(), L.MaxPooling2D(), L.Flatten(), L.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((8, 8, 1)), *steps])
    weights = model.get_weights()
    first, *others = copies
    for other in others:
        weights[0][..., other] = weights[0][..., first]
        weights[-2][other::FILTERS] = weights[-2][first::FILTERS]
    model.set_weights(weights)
    monitor = fit(model, digits()[0].reshape(-1, 8, 8, 1), epochs)
    kernel = model.get_weights()[0]
    if all(np.array_equal(kernel[..., first], kernel[..., other]) for other in others):
        pytest.skip("this machine sums the gradients of all filters in the same order")
    return monitor


def test_the_gap_of_a_layer_of_copies_grows_exponentially_and_tells_when_they_come_apart():
    # One filter is not enough for the digits, so the symmetric point is far from stable.
    monitor = copied_filters(range(FILTERS), 4)
    times, gaps = [row["epoch"] for row in monitor.rows], [row["gap"] for row in monitor.rows]
    assert gaps[0] == 0
    assert 0 < gaps[1] < 1e-3
    apart = next(time for time, gap in zip(times, gaps, strict=True) if gap >= SATURATED)
    assert apart >= 3
    assert all(later > 3 * earlier for earlier, later in itertools.pairwise(gaps[1 : apart + 1]))
    # The measurement before that tells when it will be.
    rate = growth_rate(times[:apart], gaps[:apart])
    assert apart - 1 + steps_until_apart(gaps[apart - 1], rate, target=SATURATED) == pytest.approx(apart, abs=1)
    assert f"; apart since epoch {apart}; before, the gap grew " in monitor.summary()
    assert monitor.rows[0]["verdict"] == "locked"
    assert monitor.rows[0]["distinct"] == 1 < monitor.rows[-1]["distinct"]


def test_a_pair_of_filters_that_rounding_parts_is_unlocked_and_held_up_to_rounding():
    monitor = copied_filters([2, 9], 3)
    rows = monitor.rows
    assert [row["gap"] > 0 for row in rows] == [False, True, True, True]
    assert max(row["gap"] for row in rows) < 1e-3
    assert [row["locked"] for row in rows] == [2, 0, 0, 0]
    # Weight by weight they differ, and are as good as one all the same.
    assert [row["verdict"] for row in rows] == ["locked", "plateau", "plateau", "plateau"]
    assert [(event.epoch, event.what) for event in monitor.events] == [(1, "unlocked")]
    assert "; held up to rounding: gap " in monitor.summary()


def test_a_mirrored_pair_of_tanh_units_stays_bit_equal():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((64,)), L.Dense(8, "tanh", name="mirror"), L.Dense(10, "softmax")])
    weights = model.get_weights()
    weights[0][:, 5], weights[1][2], weights[1][5], weights[2][5] = -weights[0][:, 2], 0.1, -0.1, -weights[2][2]
    model.set_weights(weights)
    start = model.get_weights()
    monitor = fit(model, digits()[0], 4)
    end = model.get_weights()
    assert np.abs(end[0][:, 2] - start[0][:, 2]).max() > 0.01
    np.testing.assert_array_equal(end[0][:, 5], -end[0][:, 2])
    np.testing.assert_array_equal(end[2][5], -end[2][2])
    assert [(row["verdict"], row["locked"], row["gap"]) for row in monitor.rows] == [("locked", 2, 0.0)] * 5
    assert monitor.events == []
    assert monitor.summary() == "mirror: locked from epoch 0 to 4 (2 of 8 units); exact: bit-equal for 4 epochs"
