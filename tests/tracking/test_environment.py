from importlib import metadata

import keras

from keras_initkit.tracking.environment import environment


def test_backend_and_versions():
    facts = environment()
    assert facts["backend"] == keras.backend.backend()
    for package in ("keras", "numpy", "mlflow", "keras-initkit", facts["backend"]):
        assert facts[f"version/{package}"] == metadata.version(package)
    assert facts["version/python"].startswith("3.")
    assert facts["platform"]
