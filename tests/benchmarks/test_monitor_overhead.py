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


@pytest.mark.benchmark
def test_measuring_a_64_64_64_network_every_epoch_costs_a_small_part_of_the_epoch():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((1792, 64)).astype("float32"), rng.integers(0, 10, 1792)
    hidden = [L.Dense(64, "relu", kernel_initializer="he_normal") for _ in range(2)]
    model = keras.Sequential([keras.Input((64,)), *hidden, L.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, verbose=0)  # traces
    seconds = {True: [], False: []}
    monitor = SymmetryMonitor()
    for _ in range(4):
        for watched in (True, False):
            clock = Clock()
            model.fit(x, y, epochs=6, verbose=0, callbacks=[*([monitor] if watched else []), clock])
            seconds[watched] += clock.seconds[1:]  # the first epoch starts the data pipeline
    ratio = statistics.median(seconds[True]) / statistics.median(seconds[False])
    started = time.perf_counter()
    for epoch in range(20):
        monitor.on_epoch_end(epoch, {})
    each = (time.perf_counter() - started) / 20
    print(f"\nepoch with / without the monitor: {ratio:.3f}; one measurement: {1000 * each:.1f} ms")
    assert ratio < 1.25
