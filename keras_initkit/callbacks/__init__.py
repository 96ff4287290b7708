"""Keras callbacks: `symmetry_monitor` watches the hidden units, `mlflow_logger` records the run."""
