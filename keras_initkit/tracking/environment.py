"""What a result was computed with: Keras backend, versions, platform."""

import platform
from importlib import metadata

_BACKEND_PACKAGES = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch", "openvino": "openvino"}


def environment() -> dict[str, str]:
    """Return backend, versions and platform as params.

    Returns:
        Dict with the keys `backend`, `version/<package>` for keras, the package of the backend, numpy, mlflow,
        keras-initkit and python, and `platform`. A package that is not installed as a distribution is `"unknown"`.
    """
    import keras

    backend = keras.backend.backend()
    packages = ["keras", "numpy", "mlflow", "keras-initkit"]
    if backend in _BACKEND_PACKAGES:
        packages.insert(1, _BACKEND_PACKAGES[backend])
    versions = {f"version/{package}": _version(package) for package in packages}
    return {
        "backend": backend,
        **versions,
        "version/python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
