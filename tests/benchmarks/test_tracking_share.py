"""What keeping the default main job in MLflow takes of its time: the same study with and without, side by side."""

import os
import subprocess
import sys
import time

import pytest

ROUNDS = 3

# A process of its own for each study, as a user has it: imports count, and the store is a new one.
STUDY = """
import sys, time
started = time.perf_counter()
import keras_initkit as ik
from keras_initkit.tracking.writer import start_early
if EXPERIMENT:
    start_early()
from keras_initkit.study import digits
(x, y), validation = digits.load()
ready = time.perf_counter()
results = ik.compare(
    digits.build_model, x, y, validation_data=validation, initializers=digits.initializers(), seeds=5, epochs=20,
    target=digits.TARGET, experiment=EXPERIMENT, verbose=0,
)
assert bool(results.url) == bool(EXPERIMENT) == all(record.run_id for record in results.records)
results.table(), results.summary()
print(ready - started, time.perf_counter() - ready)
"""


def _seconds(folder, experiment):
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", f"EXPERIMENT = {experiment!r}\n{STUDY}"],
        cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    imports, study = map(float, done.stdout.split()[-2:])
    return time.perf_counter() - started, imports, study


@pytest.mark.benchmark
def test_tracking_takes_a_small_share_of_the_main_job(tmp_path, capsys):
    shares = []
    for i in range(ROUNDS):
        without = _seconds(tmp_path / f"without {i}", None)
        tracked = _seconds(tmp_path / f"with {i}", "e")
        shares.append(1 - without[0] / tracked[0])
        with capsys.disabled():
            for name, (total, imports, study) in (("without", without), ("with", tracked)):
                print(f"\n{name:8s} {total:6.2f} s: imports {imports:.2f}, study {study:.2f}", end="")
            print(f"   share of MLflow: {shares[-1]:.1%}")
    assert sorted(shares)[ROUNDS // 2] < 0.15
