"""What SymmetryMonitor costs: epochs with and without it, in turn, so that a busy machine slows both alike."""

import statistics
import time

import keras
import numpy as np
import pytest

from keras_initkit import SymmetryMonitor

L = keras.layers


class Clock(keras.callbacks.Callback):
    """Seconds from one end of an epoch to the next, with all that callbacks do in between."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_train_begin(self, logs=None):
        self._last = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


class TimedMonitor(SymmetryMonitor):
    """Keeps the seconds that each measurement after an epoch takes."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_end(self, epoch, logs=None):
        started = time.perf_counter()
        super().on_epoch_end(epoch, logs)
        self.seconds.append(time.perf_counter() - started)


def perceptron(inputs, *widths):
    keras.utils.set_random_seed(0)
    hidden = [L.Dense(width, "relu", kernel_initializer="he_normal") for width in widths]
    model = keras.Sequential([keras.Input((inputs,)), *hidden, L.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def data(samples, inputs):
    rng = np.random.default_rng(0)
    return rng.standard_normal((samples, inputs)).astype("float32"), rng.integers(0, 10, samples)


def overhead(model, x, y, *, batch_size, rounds, epochs):
    """Return the median epoch with and without the monitor, and the median measurement, in seconds."""
    model.fit(x, y, batch_size=batch_size, verbose=0)  # traces
    seconds = {True: [], False: []}
    monitor = TimedMonitor()
    for _ in range(rounds):
        for watched in (True, False):
            clock = Clock()
            callbacks = [*([monitor] if watched else []), clock]
            model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=callbacks)
            seconds[watched] += clock.seconds[1:]  # the first epoch starts the data pipeline
    return *(statistics.median(seconds[watched]) for watched in (True, False)), statistics.median(monitor.seconds)


def report(with_it, without, each):
    """Print and return the share of an epoch that the monitor takes."""
    print(
        f"\nepoch without the monitor: {without:.3f} s; with / without: {with_it / without:.3f}; "
        f"one measurement: {1000 * each:.1f} ms, {each / without:.2%} of an epoch"
    )
    return each / without


@pytest.mark.benchmark
def test_measuring_a_64_64_64_network_every_epoch_costs_a_small_part_of_the_epoch():
    with_it, without, each = overhead(perceptron(64, 64, 64), *data(1792, 64), batch_size=32, rounds=4, epochs=6)
    report(with_it, without, each)
    assert with_it / without < 1.25


@pytest.mark.benchmark
def test_measuring_a_784_512_512_10_network_takes_about_a_hundredth_of_an_epoch_of_60000_samples():
    measured = overhead(perceptron(784, 512, 512), *data(60_000, 784), batch_size=128, rounds=2, epochs=4)
    # The goal is 1 %. Epochs differ by more than that, so the measurements are timed, not the difference.
    assert report(*measured) < 0.03
