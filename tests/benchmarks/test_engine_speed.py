"""The sequential engine beside the loop that users write: build, compile and fit anew for every seed."""

import time

import keras
import numpy as np
import pytest

import keras_initkit as ik
from keras_initkit.study import digits

SEEDS = 4
EPOCHS = 5


def _loop(data, validation):
    """Train as a user does, with epoch 0 and the monitor, so that both do the same work."""
    losses = []
    for seed in range(SEEDS):
        keras.utils.set_random_seed(seed)
        model = digits.build_model("he_normal")
        model.evaluate(*data, batch_size=256, verbose=0)
        model.evaluate(*validation, batch_size=256, verbose=0)
        callbacks = [ik.SymmetryMonitor(log=False)]
        history = model.fit(
            *data, batch_size=32, epochs=EPOCHS, validation_data=validation, verbose=0, callbacks=callbacks
        )
        losses.append(history.history["loss"][-1])
    return losses


@pytest.mark.benchmark
def test_compare_beside_a_loop_of_fit(capsys):
    data, validation = digits.load()
    arguments = {"validation_data": validation, "initializers": ["he_normal"], "seeds": SEEDS, "epochs": EPOCHS}
    ratios = []
    for _ in range(3):
        started = time.perf_counter()
        theirs = _loop(data, validation)
        middle = time.perf_counter()
        ours = ik.compare(digits.build_model, *data, **arguments, verbose=0).curves["loss"]["he_normal"][:, -1]
        ratios.append((middle - started) / (time.perf_counter() - middle))
    # Other orders of the data, hence other losses, of the same kind.
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.5)
    with capsys.disabled():
        print(f"\n{SEEDS} seeds, {EPOCHS} epochs: a loop of fit takes {np.median(ratios):.2f} times as long as compare")
