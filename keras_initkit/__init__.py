"""keras-initkit tells whether the initialisation of a Keras network lets it learn, and which one learns best.

Importing this package costs milliseconds: every public name is loaded on first use. `import keras_initkit.initializers`
registers all initializers with Keras, which is needed before a saved model that uses one of them is loaded.
"""

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_initkit import initializers, symmetry, theory
    from keras_initkit._checks import InitializationError
    from keras_initkit.callbacks.mlflow_logger import MLflowLogger
    from keras_initkit.callbacks.symmetry_monitor import SymmetryMonitor
    from keras_initkit.inspection.inspect import inspect
    from keras_initkit.inspection.report import Inspection
    from keras_initkit.study.results import StudyResults
    from keras_initkit.study.run import compare

# Public name -> module that defines it; a name equal to its module is the module itself.
_EXPORTS = {
    "InitializationError": "_checks",
    "Inspection": "inspection.report",
    "MLflowLogger": "callbacks.mlflow_logger",
    "StudyResults": "study.results",
    "SymmetryMonitor": "callbacks.symmetry_monitor",
    "compare": "study.run",
    "initializers": "initializers",
    "inspect": "inspection.inspect",
    "symmetry": "symmetry",
    "theory": "theory",
}

__version__ = _version("keras-initkit")
__all__ = [
    "InitializationError",
    "Inspection",
    "MLflowLogger",
    "StudyResults",
    "SymmetryMonitor",
    "compare",
    "initializers",
    "inspect",
    "symmetry",
    "theory",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_EXPORTS[name]}")
    value = module if name == _EXPORTS[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
