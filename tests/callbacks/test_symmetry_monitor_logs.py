"""The keys of the monitor in Keras' logs: every epoch has all of them, and the progress line stays a line."""

import csv

import keras
import numpy as np
import pytest

from keras_initkit import SymmetryMonitor
from keras_initkit.callbacks.progress_line import SHOWN, ShortenedLine
from keras_initkit.inspection.worst import STATISTICS

L = keras.layers
X = np.random.default_rng(0).standard_normal((32, 5)).astype("float32")
Y = (X[:, :1] * X[:, 1:2]).astype("float32")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), L.Dense(4, "tanh", name="one"), L.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    return model


def fit(model, *callbacks, epochs=1, verbose=0):
    return model.fit(X, Y, epochs=epochs, verbose=verbose, callbacks=callbacks).history


@pytest.mark.parametrize("verbose", [1, 2])
def test_the_progress_line_shows_what_can_stop_a_model_from_learning_alone(model, capsys, verbose):
    history = fit(model, SymmetryMonitor(), verbose=verbose)
    printed = capsys.readouterr().out
    assert "loss: " in printed
    shown = {key for key in history if f" {key}: " in printed.replace("\x08", "")}
    assert shown == {"loss", *SHOWN}
    assert "symmetry/one" not in printed
    assert {f"symmetry/{where}{name}" for where in ("", "one/") for name in STATISTICS} < set(history)


def test_a_progress_bar_of_the_user_is_shortened_once_and_others_keep_their_logs(model, capsys):
    bar = keras.callbacks.ProgbarLogger()
    seen = []
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: seen.append(set(logs)))
    for _ in range(2):
        fit(model, SymmetryMonitor(), bar, keep, verbose=1)
    assert isinstance(bar.on_epoch_end, ShortenedLine)
    assert not isinstance(bar.on_epoch_end._print_line, ShortenedLine)
    assert "symmetry/one" not in capsys.readouterr().out
    assert all("symmetry/one/rms" in keys for keys in seen)


def test_without_keys_in_the_logs_the_progress_bar_is_left_alone(model, capsys):
    bar = keras.callbacks.ProgbarLogger()
    fit(model, SymmetryMonitor(log=False), bar, verbose=1)
    assert "on_epoch_end" not in vars(bar)
    assert "symmetry" not in capsys.readouterr().out


def test_csv_files_have_all_columns_from_the_first_epoch_on(model, tmp_path):
    monitor = SymmetryMonitor(every=3)
    fit(model, monitor, keras.callbacks.CSVLogger(tmp_path / "log.csv"), epochs=7)
    lines = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    rms = {row["epoch"]: row["rms"] for row in monitor.rows}
    assert list(rms) == [0, 3, 6, 7]
    assert [float(line["symmetry/one/rms"]) for line in lines] == [rms[e] for e in (0, 0, 3, 3, 3, 6, 7)]


def test_early_stopping_and_checkpoints_find_their_key_in_every_epoch(model, tmp_path):
    stop = keras.callbacks.EarlyStopping("symmetry/one/rms", patience=100, mode="min")
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.weights.h5", "symmetry/rms", save_best_only=True, save_weights_only=True, mode="min"
    )
    fit(model, SymmetryMonitor(every=4), stop, best, epochs=3)  # a missing key is a warning, here an error
    assert (tmp_path / "best.weights.h5").exists()


def test_a_known_last_epoch_is_measured_in_time_for_the_history(model):
    monitor = SymmetryMonitor(every=10)
    history = fit(model, monitor, epochs=3)
    assert history["symmetry/one/rms"][-1] == monitor.rows[-1]["rms"] != monitor.rows[0]["rms"]
    assert monitor.rows[-1]["epoch"] == 3


def test_an_epoch_after_which_training_stops_is_measured_in_time(model):
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: setattr(model, "stop_training", epoch == 1))
    monitor = SymmetryMonitor(every=10)
    history = fit(model, stop, monitor, epochs=9)
    assert [row["epoch"] for row in monitor.rows] == [0, 2]
    assert history["symmetry/rms"][-1] == monitor.rows[-1]["rms"]
