"""Models, data and initializers named on a command line."""

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_initkit import initializers
from keras_initkit._checks import describe

_KEYS = (("x", "y", "x_val", "y_val"), ("x_train", "y_train", "x_test", "y_test"))


def function_named(option: str, text: str) -> Callable[..., Any]:
    """Return the function that `module:function` names; modules are looked for in the current folder too.

    Raises:
        ValueError: if there is no such module or function.
    """
    module_name, colon, name = text.partition(":")
    if not colon or not module_name or not name:
        raise ValueError(f"Expected `{option}` as module:function. Received: {text!r}.")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise ValueError(
            f"Expected `{option}` to name a module that can be imported. Received: {text!r}, and there is no module "
            f"{error.name!r} in the current folder or the installed packages."
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        found = f"{name} is {describe(function)}" if hasattr(module, name) else f"{module_name} has no {name}"
        raise ValueError(f"Expected `{option}` to name a function. Received: {text!r}, but {found}.")
    return function


def data_named(text: str) -> tuple[tuple[Any, Any], tuple[Any, Any] | None]:
    """Return `(x, y), (x_val, y_val)` (or None) of an `.npz` file or of what `module:function` returns.

    A file has the arrays `x`, `y` and, for validation, `x_val`, `y_val`; or `x_train`, `y_train`, `x_test`, `y_test`,
    as the files of `keras.datasets` have. A function returns `(x, y)` or `(x, y), (x_val, y_val)`.

    Raises:
        ValueError: if the file or function is missing or gives something else.
    """
    if text.endswith(".npz"):
        return _from_file(text)
    given = function_named("--data", text)()
    if isinstance(given, tuple) and len(given) == 2:
        if all(isinstance(part, tuple) and len(part) == 2 for part in given):
            return given
        if not any(isinstance(part, tuple) for part in given):
            return given, None
    raise ValueError(
        f"Expected the function {text!r} to return (x, y) or ((x, y), (x_val, y_val)). "
        f"Received: {type(given).__name__}."
    )


def initializers_named(text: str) -> dict[str, Any]:
    """Return the initializers of a comma-separated list such as `zeros,RandomNormal(stddev=0.01),ZerO`.

    Raises:
        ValueError: if a name is unknown, or arguments are not literal `key=value` pairs of the class.
    """
    try:
        calls = ast.parse(f"[{text}]", mode="eval").body
    except SyntaxError as error:
        raise ValueError(
            f"Expected `--initializers` as names separated by commas, e.g. zeros,he_normal. Received: {text!r}."
        ) from error
    assert isinstance(calls, ast.List)
    names = [ast.unparse(node) for node in calls.elts]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"Expected `--initializers` to name different initializers, at least one. Received: {text!r}.")
    return {name: _initializer(node) for name, node in zip(names, calls.elts, strict=True)}


def _initializer(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
        arguments = {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}
        return initializers.get({"class_name": node.func.id, "config": arguments})
    raise ValueError(
        "Expected an initializer as name or Class(argument=value), e.g. he_normal or RandomNormal(stddev=0.01). "
        f"Received: {ast.unparse(node)!r}."
    )


def _from_file(name: str) -> tuple[tuple[Any, Any], tuple[Any, Any] | None]:
    try:
        with np.load(name, allow_pickle=False) as file:
            arrays = dict(file)
    except FileNotFoundError as error:
        raise ValueError(
            f"Expected `--data` to name an existing file. Received: {name!r}, which does not exist."
        ) from error
    except (OSError, ValueError) as error:
        raise ValueError(
            f"Expected `--data` to be an .npz file of plain arrays. Received: {name!r}: {error}."
        ) from error
    for x, y, x_val, y_val in _KEYS:
        if x in arrays and y in arrays:
            validation = (arrays[x_val], arrays[y_val]) if x_val in arrays and y_val in arrays else None
            return (arrays[x], arrays[y]), validation
    raise ValueError(
        "Expected arrays x and y (with x_val and y_val for validation), or x_train and y_train (x_test, y_test), in "
        f"{name!r}. Received: {', '.join(sorted(arrays)) or 'none'}."
    )
