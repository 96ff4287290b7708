"""Argument checks with one voice: what was expected, what was received, what to do."""

import difflib
import math
from collections.abc import Iterable
from typing import Any

import numpy as np


class InitializationError(RuntimeError):
    """A network cannot learn as it is initialised.

    Raised by `SymmetryMonitor(on_locked="raise")`. The message names the layers, what is wrong and what to change.
    """


def describe(value: Any) -> str:
    """Return a short text for a received value: its type and, where it is short, the value itself."""
    if isinstance(value, np.ndarray):
        return f"array of shape {value.shape} and dtype {value.dtype}"
    text = repr(value)
    if len(text) > 80:
        text = text[:77] + "..."
    return f"{text} (of type {type(value).__name__})"


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return `value` if it is one of `choices`, else raise with the nearest choice.

    Args:
        name: name of the argument, as the user types it.
        value: the received value.
        choices: the allowed strings.

    Raises:
        ValueError: if `value` is none of them.
    """
    allowed = list(choices)
    if isinstance(value, str) and value in allowed:
        return value
    near = difflib.get_close_matches(value, allowed, n=1) if isinstance(value, str) else []
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(repr(choice) for choice in allowed)
    raise ValueError(f"Expected `{name}` to be one of {listed}. Received: {name}={describe(value)}.{hint}")


def check_integer(name: str, value: Any, minimum: int) -> int:
    """Return `value` as an int of at least `minimum`; booleans and fractions are refused."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < minimum:
        raise ValueError(
            f"Expected `{name}` to be an integer of at least {minimum}. Received: {name}={describe(value)}."
        )
    return int(value)


def check_number(name: str, value: Any, *, minimum: float = -math.inf, exclusive: bool = False) -> float:
    """Return `value` as a finite float not below `minimum` (above it, if `exclusive`)."""
    valid = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, (bool, np.bool_))
    if not valid or not math.isfinite(value) or value < minimum or (exclusive and value == minimum):
        bound = "" if minimum == -math.inf else f" {'above' if exclusive else 'of at least'} {minimum:g}"
        raise ValueError(f"Expected `{name}` to be a finite number{bound}. Received: {name}={describe(value)}.")
    return float(value)


def check_finite(name: str, array: np.ndarray, advice: str) -> None:
    """Raise if a floating array has a NaN or an infinity, saying how many and where the first one is."""
    if array.dtype.kind not in "fc" and not is_custom_float(array.dtype):
        return
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"Expected `{name}` to hold finite numbers. Received: {int(bad.sum())} NaN or infinite values in an "
            f"{describe(array)}, the first at index {first}. {advice}"
        )


def is_custom_float(dtype: np.dtype) -> bool:
    """Return whether this is a float type that NumPy knows only by extension, such as bfloat16."""
    return dtype.kind == "V" and dtype.type is not np.void
