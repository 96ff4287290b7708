"""The command line: what it prints, what it refuses, and its exit codes."""

import json
import socket
import sys

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from keras_initkit import StudyResults, __version__
from keras_initkit._registry import ROWS
from keras_initkit.cli import main
from keras_initkit.initializers import Perturbed
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
    assert "Exit codes: 0 done, 1 some replicas failed or a model cannot learn, 2 usage." in " ".join(
        run("--help").output.split()
    )


def test_list_shows_every_initializer_in_one_line_each():
    lines = run("list").output.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [row.name for row in ROWS]
    he = next(line for line in lines if line.startswith("HeNormal"))
    assert "variance 2 / n_in" in he
    assert "https://arxiv.org/abs/1502.01852" in he


def test_list_shows_those_that_are_named():
    lines = run("list", "he_normal", "ZerO").output.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["HeNormal", "ZerO"]
    found = run("list", "he_norml")
    assert found.exit_code == 2
    assert "Did you mean 'he_normal'" in found.output


def test_list_in_a_terminal_cuts_no_links(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "130")
    lines = run("list", "SIREN", "LayerFans").output.splitlines()
    assert len(lines) == 2 * 8
    assert any("https://arxiv.org/abs/2006.09661" in line for line in lines)
    assert "…" not in run("list").output


def test_list_writes_markdown():
    lines = run("list", "LayerFans", "--format", "markdown").output.splitlines()
    assert lines[0].startswith("| scheme | values | use | layers | guarantee | paper |")
    assert lines[2].startswith("| `LayerFans` |")
    assert lines[2].endswith("[He et al. 2015](https://arxiv.org/abs/1502.01852) |")


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


@pytest.mark.parametrize(
    ("options", "trained"),
    [
        ((), "Trained: 4 replicas together as one program."),
        (("--engine", "sequential"), "Trained: 4 replicas one after the other through `fit`."),
        (("--workers", "2"), "Trained: 4 replicas together as one program (2 times)."),
    ],
)
def test_compare_says_how_the_replicas_were_trained(options, trained):
    done = run(*SMALL, "--data", "user_code:data", "--initializers", "zeros,he_normal", "--experiment", "", *options)
    assert done.exit_code == 0, done.output
    assert trained in done.output


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
        (["inspect"], "Missing argument"),
        (["inspect", "none.keras"], "'none.keras', which does not exist"),
        (["inspect", "none.keras", "--format", "xml"], "--format"),
        (["inspect", "none.keras", "--output", "no_folder/report.md"], "--output"),
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


def saved_model(initializer, name="model.keras", *layers):
    dense = keras.layers.Dense
    hidden = dense(16, "tanh", kernel_initializer=initializer, name="hidden")
    output = dense(3, "softmax", kernel_initializer=initializer, name="output")
    model = keras.Sequential([keras.Input((8,)), *layers, hidden, output])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.save(name)
    return name


def saved_batch(**arrays):
    np.savez("batch.npz", **arrays)
    return "batch.npz"


def test_inspect_tells_a_model_that_can_learn_from_one_that_cannot():
    healthy = run("inspect", saved_model("he_normal"))
    assert healthy.exit_code == 0, healthy.output
    assert "healthy" in healthy.output
    assert "error" not in healthy.output
    locked = run("inspect", saved_model("ones"))
    assert locked.exit_code == 1, locked.output
    assert "cannot learn as built" in locked.output
    assert "error: locked: hidden" in locked.output
    assert "  fix:\n    " in locked.output


def test_inspect_with_a_batch():
    batch = saved_batch(x=np.random.default_rng(0).normal(size=(32, 8)).astype("float32"), y=np.arange(32) % 3)
    done = run("inspect", saved_model("he_normal"), "--data", batch)
    assert done.exit_code == 0, done.output
    wrong = run("inspect", saved_model("he_normal"), "--data", saved_batch(features=np.ones((4, 8))))
    assert wrong.exit_code == 2
    assert "Expected an array x in 'batch.npz'. Received: features (4, 8)." in " ".join(wrong.output.split())


def test_inspect_writes_every_format():
    path = saved_model("ones")
    report = json.loads(run("inspect", path, "--format", "json").stdout)
    assert report["ok"] is False
    assert {finding["verdict"] for finding in report["findings"]} >= {"locked"}
    assert run("inspect", path, "--format", "markdown").stdout.splitlines()[2].startswith("| layer | units |")
    for form, start in {"html": "<!DOCTYPE html>", "text": "sequential", "json": "{"}.items():
        done = run("inspect", path, "--format", form, "--output", f"report.{form}")
        assert done.exit_code == 1, done.output
        assert done.stdout == f"Written: report.{form}\n"
        with open(f"report.{form}", encoding="utf-8") as file:
            assert file.read().startswith(start)


def test_inspect_is_strict_if_asked():
    path = saved_model(Perturbed("ones", 1e-4))
    lenient = run("inspect", path)
    assert lenient.exit_code == 0, lenient.output
    assert "warning: plateau: hidden" in lenient.output
    assert run("inspect", path, "--strict").exit_code == 1


def test_inspect_says_what_a_file_lacks(tmp_path):
    (tmp_path / "own_layer.py").write_text(
        "import keras\nprint('own layer loaded')\n"
        "class Passing(keras.layers.Layer):\n    def call(self, x):\n        return x\n"
    )
    import own_layer

    path = saved_model("he_normal", "model.keras", own_layer.Passing(name="passing"))
    del sys.modules["own_layer"]
    missing = run("inspect", path)
    assert missing.exit_code == 2
    assert "(used by 'passing')" in missing.output
    assert "--import MODULE" in missing.output
    assert "Traceback" not in missing.output
    found = run("inspect", path, "--import", "own_layer", "--format", "json")
    assert found.exit_code == 0, found.output
    assert "own layer loaded" in found.stderr
    assert json.loads(found.stdout)["ok"] is True


def test_inspect_notes_an_optimizer_that_was_not_loaded():
    class Unknown(keras.optimizers.SGD):
        pass

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(1)])
    model.compile(Unknown(), "mse")
    model.save("model.keras")
    done = run("inspect", "model.keras", "--format", "json")
    assert done.exit_code == 0, done.output
    assert "the state of the optimizer was not considered" in json.loads(done.stdout)["notes"][0]


def test_inspect_runs_code_in_files_only_if_told_to():
    code = keras.layers.Lambda(lambda x: x, output_shape=(8,), name="code")
    path = saved_model("he_normal", "model.keras", code)
    refused = run("inspect", path)
    assert refused.exit_code == 2
    assert "--unsafe" in refused.output
    assert run("inspect", path, "--unsafe").exit_code == 0
