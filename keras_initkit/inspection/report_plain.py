"""Values as plain text, numbers, lists and dicts, for JSON and for people."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: numbers that are not finite become None, unknown objects their text."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value)


def printable(text: str) -> str:
    r"""Return a text of one line that cannot steer a terminal: control characters are shown as escapes.

    >>> print(printable("a\tb"))
    a\tb
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def short(value: Any) -> str:
    """Return a value for a cell of a table: three digits of a fraction, `-` where there is no value.

    >>> short(3.0), short(0.12345), short(float("nan"))
    ('3', '0.123', '-')
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return "-"
    if isinstance(value, float):
        if math.isnan(value):
            return "-"
        return str(int(value)) if value.is_integer() and abs(value) < 1e6 else f"{value:.3g}"
    return printable(str(value))
