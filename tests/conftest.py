"""Fixtures shared by all tests: a quiet TensorFlow, no telemetry, and a folder that is not the checkout."""

import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"


pytest_plugins = ["tests.mlflow_fixtures"]


@pytest.fixture(autouse=True)
def _scratch_folder(tmp_path, monkeypatch):
    """Run every test in its own folder, so that MLflow's default store is never that of the checkout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_INITKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
