"""Loading a saved model, and saying everything that is missing if it cannot be loaded."""

import importlib
import json
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

# Imported for what it does: Keras finds our initializers in files only if they were registered.
import keras_initkit.initializers  # noqa: F401

_BUILTIN = ("activations", "constraints", "initializers", "layers", "losses", "metrics", "optimizers", "regularizers")
# Keras imports the modules of these packages by itself, and of no others.
_FAMILY = ("keras", "keras_hub", "keras_cv", "keras_nlp")

# A model saved before its first step: its optimizer has a step count and a rate, and nothing that could be lost.
_UNUSED_OPTIMIZER = re.compile(r"the saved optimizer has [0-2] variables")


@dataclass(frozen=True)
class _Needed:
    """A class or function that a file names, and the layer (or `compile`) that uses it."""

    name: str
    registered: str
    module: str
    user: str

    def __str__(self) -> str:
        known_as = f", registered as {self.registered!r}" if self.registered != self.name else ""
        module = f" of {self.module}" if self.module not in ("", "builtins") else ""
        return f"{self.name}{module}{known_as} (used by {self.user!r})"


def load_model_file(
    path: str | Path, *, imports: Sequence[str] = (), unsafe: bool = False
) -> tuple[Any, tuple[str, ...]]:
    """Load a model, compiled as it was saved where that is possible.

    Args:
        path: a `.keras` or `.h5` file written by `model.save`.
        imports: names of modules to import before. Classes and functions of theirs that the file names are used, also
            if they are not registered with Keras.
        unsafe: whether Python code in the file (Lambda layers) may be run. Defaults to `False`.

    Returns:
        The model, and notes about what was left out.

    Raises:
        ValueError: if there is no such file or module, or the model cannot be loaded; the text names every unknown
            class and function.
    """
    file = _existing(Path(path))
    modules = [_imported(name) for name in imports]
    config = _configuration(file)
    unknown = [needed for needed in dict.fromkeys(_needed(config)) if not _is_known(needed)]
    given = _found(unknown, modules)
    unknown = [needed for needed in unknown if needed.registered not in given]
    try:
        return _load(file, given, unsafe, compile=True)
    except Exception as error:
        compile_error = error
    try:
        model, notes = _load(file, given, unsafe, compile=False)
    except Exception as error:
        lambdas = [] if unsafe else list(dict.fromkeys(_lambdas(config)))
        raise ValueError(_why(file, unknown, lambdas, error)) from error
    missing = ", ".join(dict.fromkeys(needed.name for needed in unknown))
    reason = f"Keras does not know {missing}; add --import MODULE" if missing else _first_line(compile_error)
    note = f"Loaded without optimizer, loss and metrics, so the state of the optimizer was not considered: {reason}."
    return model, (note, *notes)


def _existing(path: Path) -> Path:
    expected = "Expected the model to be a .keras (or .h5) file written by `model.save`."
    if path.is_dir():
        raise ValueError(f"{expected} Received: {str(path)!r}, a folder; a SavedModel has no layers to look at.")
    if not path.exists():
        raise ValueError(f"{expected} Received: {str(path)!r}, which does not exist.")
    if path.name.endswith(".weights.h5"):
        raise ValueError(f"{expected} Received: {str(path)!r}, which holds weights without the layers they belong to.")
    if path.suffix not in (".keras", ".h5", ".hdf5"):
        raise ValueError(f"{expected} Received: {str(path)!r}.")
    return path


def _imported(name: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        raise ValueError(
            f"Expected `--import` to name a module that can be imported. Received: {name!r}, and there is no module "
            f"{error.name!r} in the current folder or the installed packages."
        ) from error


def _configuration(path: Path) -> Any:
    """Return the description of the layers in a file, which tells before loading what loading needs."""
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))
        import h5py  # type: ignore[import-untyped]

        with h5py.File(path) as stored:
            parts = {key: stored.attrs[key] for key in ("model_config", "training_config") if key in stored.attrs}
            config = {key: json.loads(text) for key, text in parts.items()}
            return {**config["model_config"], "compile_config": config.get("training_config")}
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"Expected the model to be a .keras (or .h5) file written by `model.save`. Received: {str(path)!r}, which "
            f"cannot be read as one: {_first_line(error)}."
        ) from error


def _needed(node: Any, user: str = "model") -> Iterator[_Needed]:
    """Yield the classes and functions that a configuration names, outer ones first."""
    if isinstance(node, list):
        for item in node:
            yield from _needed(item, user)
    if not isinstance(node, dict):
        return
    name, config, module = node.get("class_name"), node.get("config"), node.get("module") or ""
    if isinstance(config, dict) and isinstance(config.get("name"), str) and user != "compile":
        user = config["name"]
    if name == "function" and isinstance(config, str):
        yield _Needed(config, config, module, user)
    elif isinstance(name, str) and "config" in node and not name.startswith("__"):
        yield _Needed(name, node.get("registered_name") or name, module, user)
    for key, value in node.items():
        yield from _needed(value, "compile" if key == "compile_config" else user)


def _lambdas(node: Any, user: str = "model") -> Iterator[str]:
    """Yield the names of the layers that hold Python code."""
    if isinstance(node, list):
        for item in node:
            yield from _lambdas(item, user)
    if isinstance(node, dict):
        config = node.get("config")
        if isinstance(config, dict) and isinstance(config.get("name"), str):
            user = config["name"]
        if node.get("class_name") == "__lambda__":
            yield user
        for value in node.values():
            yield from _lambdas(value, user)


def _is_known(needed: _Needed) -> bool:
    if keras.saving.get_registered_object(needed.registered) is not None:
        return True
    if needed.module.partition(".")[0] in _FAMILY:
        try:
            return hasattr(importlib.import_module(needed.module), needed.name)
        except ImportError:
            return False
    if needed.module not in ("", "builtins"):
        return False
    return any(hasattr(getattr(keras, place), needed.name) for place in _BUILTIN) or hasattr(keras, needed.name)


def _found(unknown: Sequence[_Needed], modules: Sequence[ModuleType]) -> dict[str, Any]:
    found = {}
    for needed in unknown:
        for module in modules:
            if hasattr(module, needed.name):
                found[needed.registered] = getattr(module, needed.name)
    return found


def _load(path: Path, given: dict[str, Any], unsafe: bool, compile: bool) -> tuple[Any, tuple[str, ...]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = keras.saving.load_model(path, custom_objects=given, compile=compile, safe_mode=not unsafe)
    said = dict.fromkeys(_first_line(warning.message) for warning in caught if warning.category is UserWarning)
    return model, tuple(f"Keras said while loading: {line}." for line in said if not _UNUSED_OPTIMIZER.search(line))


def _why(path: Path, unknown: Sequence[_Needed], lambdas: Sequence[str], error: Exception) -> str:
    """Return why a model cannot be loaded, and everything to do about it."""
    texts = []
    if unknown:
        listed = "".join(f"\n  {needed}" for needed in unknown)
        texts.append(
            f"Expected Keras to know every class and function that {str(path)!r} uses. Received: {len(unknown)} "
            f"unknown:{listed}\nName the modules that define them: --import MODULE (once for each; the current folder "
            "is searched too)."
        )
    if lambdas:
        listed = ", ".join(map(repr, lambdas))
        texts.append(
            f"Expected {str(path)!r} to hold no Python code. Received: Lambda layers with code: {listed}\nLoading runs "
            "that code. If you trust where the file comes from, add --unsafe."
        )
    if not texts:
        texts.append(f"Expected Keras {keras.__version__} to load {str(path)!r}. Received: {_first_line(error)}.")
    return "\n".join(texts)


def _first_line(error: BaseException | Warning | str) -> str:
    # Keras wraps an error once for each object around it.
    cause = str(error).rpartition("Exception encountered: ")[2]
    lines = [line.strip() for line in cause.splitlines() if line.strip()]
    text = lines[0] if lines else "no message"
    text = f"{text[:297]}..." if len(text) > 300 else text.rstrip(".")
    return text if isinstance(error, Warning | str) else f"{type(error).__name__}: {text}"
