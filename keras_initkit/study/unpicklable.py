"""Which part of something cannot be pickled: what a function closes over, what an object holds."""

import functools
import types
from collections.abc import Iterator, Mapping
from typing import Any

import cloudpickle

from keras_initkit.tracking.errors import first_line

_DEEPEST = 20


def pickled(value: Any, parts: Mapping[str, Any]) -> bytes:
    """Return a value as bytes for another process; functions and classes of the script come along with their code.

    Args:
        value: what to pickle.
        parts: what it is made of, by the names that the user knows.

    Raises:
        TypeError: if something cannot be pickled; the message names it and says what to do.
    """
    try:
        return bytes(cloudpickle.dumps(value))
    except Exception as error:
        for name, part in parts.items():
            failure = _failure(part)
            if failure is not None:
                raise _explained(name, part, failure) from failure
        raise _explained("the study", value, error) from error


def _failure(value: Any) -> Exception | None:
    try:
        cloudpickle.dumps(value)
    except Exception as error:
        return error
    return None


def _explained(name: str, value: Any, error: Exception) -> TypeError:
    path, part, cause = _culprit(value, error)
    where = "".join(f", {step}" for step in path)
    return TypeError(
        f"Expected {name} to be picklable, since `executor` trains in other processes. Received: {name}{where}: "
        f"{_kind(part)}, which cannot be pickled ({first_line(cause)}). {_advice(part)}"
    )


def _culprit(value: Any, error: Exception) -> tuple[list[str], Any, Exception]:
    """Return the way to the smallest part that cannot be pickled, the part, and why it cannot."""
    path: list[str] = []
    for _ in range(_DEEPEST):
        failing = ((step, part, _failure(part)) for step, part in _parts(value))
        found = next((entry for entry in failing if entry[2] is not None), None)
        if found is None:
            break
        path, value, error = [*path, found[0]], found[1], found[2] or error
    return path, value, error


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a value is made of, and what it is to the value."""
    if isinstance(value, types.MethodType):
        yield "its object", value.__self__
        value = value.__func__
    if isinstance(value, functools.partial):
        yield "its function", value.func
        yield from ((f"argument {place}", part) for place, part in enumerate(value.args))
        yield from ((f"argument `{name}`", part) for name, part in value.keywords.items())
    elif isinstance(value, types.FunctionType):
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            try:
                yield f"which uses `{name}`", cell.cell_contents
            except ValueError:  # it has no value yet
                continue
        for name in sorted(_global_names(value.__code__) & set(value.__globals__)):
            yield f"which uses `{name}`", value.__globals__[name]
        defaults = (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
        yield from (("a default of its arguments", part) for part in defaults)
    elif isinstance(value, dict):
        yield from ((f"its entry {key!r}", part) for key, part in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((f"its item {place}", part) for place, part in enumerate(value))
    elif not type(value).__module__.startswith("tensorflow."):  # whose insides say nothing to the user
        held = getattr(value, "__dict__", {})
        yield from ((f"its attribute `{name}`", part) for name, part in list(held.items()) if name[:2] != "__")


def _global_names(code: types.CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*map(_global_names, inner))


def _kind(part: Any) -> str:
    return f"a {type(part).__module__}.{type(part).__qualname__}".replace("a builtins.", "a ")


def _advice(part: Any) -> str:
    if type(part).__module__.startswith("tensorflow.python.data"):
        return (
            "Give arrays, or a function without arguments that makes the dataset and returns its "
            "`as_numpy_iterator()`: it is called in the worker."
        )
    if isinstance(part, types.GeneratorType):
        return "Give a function that returns a new generator."
    return "Make it inside the function that uses it, or leave out `executor`."
