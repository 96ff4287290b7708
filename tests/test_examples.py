"""The examples run from start to end and print what they promise."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
LAST_LINES = {
    "01_one_initializer.py": "128 of 128 units distinct, rms cosine 0.000",
    "02_watch_training.py": "epoch 5: 8 of 64 units of hidden_2 are distinct",
    "03_compare_over_seeds.py": "Saved: study.npz and four figures",
    "04_track_in_mlflow.py": "/#/experiments/1/runs",
    "05_many_replicas.py": "In two processes: 64 replicas together as one program (2 times)",
    "06_initializers_that_fit.py": "1.000 to 1.000",
}


def test_all_examples_are_covered():
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(LAST_LINES)


@pytest.mark.parametrize("name", sorted(LAST_LINES))
def test_example(name, capsys):
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    printed = capsys.readouterr().out.strip().splitlines()
    assert printed[-1].endswith(LAST_LINES[name])
    assert "Runs in about" in (EXAMPLES / name).read_text("utf-8").splitlines()[0]
