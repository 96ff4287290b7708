"""The same bits on every backend: deterministic schemes as they are, random ones through `Portable`."""

import importlib.util
import json
import os
import subprocess
import sys

import keras
import pytest

from tests.contracts.backend_values import digests

PACKAGES = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch", "numpy": "jax"}  # Keras' NumPy backend uses JAX


@pytest.mark.parametrize("backend", sorted(set(PACKAGES) - {keras.backend.backend()}))
def test_same_bits(backend):
    if importlib.util.find_spec(PACKAGES[backend]) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "tests.contracts.backend_values"],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    there, here = json.loads(done.stdout.split("RESULT")[1]), digests()
    assert there.keys() == here.keys()
    assert [case for case in here if here[case] != there[case]] == []
