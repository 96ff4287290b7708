"""The command line: what it prints, what it refuses, and its exit codes."""

import socket
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from keras_initkit import StudyResults, __version__
from keras_initkit._registry import ROWS
from keras_initkit.cli import main
from tests.study.problem import digits

USER_CODE = """
from tests.study.problem import build_model, digits

def data():
    x, y = digits()
    return (x[:150], y[:150]), (x[150:], y[150:])

def failing(kernel_initializer):
    if kernel_initializer == "ones":
        raise RuntimeError("ones are not welcome")
    return build_model(kernel_initializer)

def uncompiled(kernel_initializer):
    import keras
    return keras.Sequential([keras.layers.Dense(3)])
"""


@pytest.fixture(autouse=True)
def _user_code(tmp_path, monkeypatch):
    (tmp_path / "user_code.py").write_text(USER_CODE)
    monkeypatch.delitem(sys.modules, "user_code", raising=False)
    monkeypatch.syspath_prepend(tmp_path)


def run(*arguments):
    return CliRunner().invoke(main, list(arguments))


SMALL = ("compare", "--model", "user_code:build_model", "--seeds", "2", "--epochs", "2")


def test_version_and_help():
    assert run("--version").output == f"keras-initkit, version {__version__}\n"
    assert "Exit codes: 0 done, 1 some replicas failed, 2 usage." in run("--help").output


def test_list_shows_every_initializer_in_one_line_each():
    lines = run("list").output.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [row.name for row in ROWS]
    he = next(line for line in lines if line.startswith("HeNormal"))
    assert "variance 2 / n_in" in he
    assert "https://arxiv.org/abs/1502.01852" in he


def test_compare_with_own_model_and_file(tmp_path):
    x, y = digits()
    np.savez(tmp_path / "batch.npz", x=x[:150], y=y[:150], x_val=x[150:], y_val=y[150:])
    done = run(
        *SMALL, "--data", "batch.npz", "--initializers", "zeros,he_normal", "--experiment", "", "--save", "s.npz"
    )
    assert done.exit_code == 0, done.output
    assert "Training 2 initializers x 2 seeds, 2 epochs each." in done.output
    assert "locked, dead" in done.output
    assert "Open the comparison" not in done.output
    assert StudyResults.load("s.npz").initializers == ["zeros", "he_normal"]


def test_failed_replicas_are_shown_and_give_exit_code_1():
    done = run(
        "compare", "--model", "user_code:failing", "--data", "user_code:data", "--initializers", "he_normal,ones",
        "--seeds", "2", "--epochs", "1", "--experiment", "",
    )  # fmt: skip
    assert done.exit_code == 1, done.output
    assert "2 replica(s) failed, the first ones with seed 0: RuntimeError: ones are not welcome" in done.output.replace(
        "\n", " "
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "--seeds", "0"], "--seeds"),
        (["compare", "--epochs", "x"], "--epochs"),
        (["compare", "--model", "user_code:build_model"], "--model and --data together"),
        ([*SMALL, "--data", "none.npz"], "which does not exist"),
        ([*SMALL, "--data", "user_code:data", "--initializers", "he_norml"], "Did you mean"),
        ([*SMALL, "--data", "user_code:data", "--target", "val_acc >= 1", "--experiment", ""], "val_accuracy"),
        (["compare", "--model", "user_code:uncompiled", "--data", "user_code:data"], "an uncompiled model"),
        (["compare", "--model", "no_such:f", "--data", "user_code:data"], "no module 'no_such'"),
        (["frobnicate"], "No such command"),
        (["ui", "--port", "0"], "--port"),
    ],
)
def test_usage_errors_are_one_message_and_exit_code_2(arguments, message):
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_a_store_that_cannot_be_used_is_refused_before_training(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/no/mlflow.db")
    done = run(*SMALL, "--data", "user_code:data", "--initializers", "zeros")
    assert done.exit_code == 2, done.output
    assert "a database that can be written" in " ".join(done.output.split())


def test_a_taken_port_is_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("ui", "--port", str(taken.getsockname()[1]))
    assert done.exit_code == 2, done.output
    assert "--port" in done.output
