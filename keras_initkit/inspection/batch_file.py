"""The batch that a report from the command line is measured on, read from a file."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import describe

# Names by which the same file also serves for training; they are no part of the batch.
_IGNORED = ("x_val", "y_val", "x_test", "y_test")


def load_batch(path: str | Path, model: Any) -> tuple[Any, Any]:
    """Return the inputs and, if there are any, the targets in an `.npz` file, as the model takes them.

    One input is an array `x`; several are `x_0`, `x_1`, ... in the order of the model's inputs, or arrays with the
    names of the inputs. Targets are `y`, or the same with `y_0`, ... and the names of the outputs. `x_train` and
    `y_train` are taken for `x` and `y`.

    Args:
        path: the file.
        model: the Keras model that takes the batch.

    Returns:
        `(x, y)`; arrays, or lists or dicts of arrays where the model has several. `y` is None if there is none.

    Raises:
        ValueError: if there is no such file or it does not hold what the model takes.
    """
    arrays = _arrays(path)
    left = {name.removesuffix("_train"): array for name, array in arrays.items() if name not in _IGNORED}
    inputs = _input_names(model)
    # Functional models give names; subclassed ones do not.
    outputs = list(getattr(model, "output_names", None) or [])
    x = _take("x", left, inputs)
    if x is None or (inputs and len(inputs) > 1 and not isinstance(x, list)):
        raise ValueError(f"Expected {_wanted(inputs)} in {str(path)!r}. Received: {_listed(arrays)}.")
    y = _take("y", left, outputs)
    if left:
        raise ValueError(
            f"Expected {_wanted(inputs)}, and y (or {_numbered('y', outputs)}) for the targets in {str(path)!r}. "
            f"Received also: {_listed(left)}."
        )
    if isinstance(x, list) and isinstance(getattr(model, "input", None), dict):
        return dict(zip(inputs, x, strict=True)), y
    return x, y


def _arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    expected = "Expected `--data` to be an .npz file of plain arrays."
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.lib.npyio.NpzFile):
            with file:
                return dict(file)
    except FileNotFoundError as error:
        raise ValueError(f"{expected} Received: {str(path)!r}, which does not exist.") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{expected} Received: {str(path)!r}: {error}") from error
    raise ValueError(f"{expected} Received: {str(path)!r} with one {describe(file)}. Write np.savez(file, x=x, y=y).")


def _input_names(model: Any) -> list[str]:
    if isinstance(getattr(model, "input", None), dict):
        return list(model.input)
    return [tensor.name for tensor in getattr(model, "inputs", None) or []]


def _take(letter: str, arrays: dict[str, NDArray[Any]], names: list[str]) -> Any:
    """Take the arrays of one side out of `arrays`: one by its letter, or several by number or name."""
    if letter in arrays:
        return arrays.pop(letter)
    count = 0
    while f"{letter}_{count}" in arrays:
        count += 1
    if count and count == (len(names) or count):
        taken = [arrays.pop(f"{letter}_{number}") for number in range(count)]
    elif names and all(name in arrays for name in names):
        taken = [arrays.pop(name) for name in names]
    else:
        return None
    return taken if len(taken) > 1 else taken[0]


def _wanted(inputs: list[str]) -> str:
    if len(inputs) <= 1:
        return "an array x"
    return f"arrays {_numbered('x', inputs)}, or {', '.join(inputs)}, for the {len(inputs)} inputs of the model"


def _numbered(letter: str, names: list[str]) -> str:
    return ", ".join(f"{letter}_{number}" for number in range(len(names) or 1))


def _listed(arrays: dict[str, NDArray[Any]]) -> str:
    return ", ".join(f"{name} {array.shape}" for name, array in sorted(arrays.items())) or "none"
