"""Values as text: params in their shortest exact form, artifacts as strict JSON."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def param_text(value: Any) -> str:
    """Return a param as MLflow keeps it: text.

    Floats have the fewest digits that give the same number back in their own precision, so a float32 of 0.01 is
    `"0.01"` and not `"0.009999999776482582"`. Dicts, lists and tuples become JSON.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.generic):
        return str(value)
    if isinstance(value, (Mapping, list, tuple, np.ndarray)):
        return json.dumps(plain(value), ensure_ascii=False)
    return str(value)


def json_text(value: Any) -> str:
    """Return indented JSON; numpy values become plain ones and NaN or infinity, which JSON does not know, `null`."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """Return `value` with only dicts, lists, strings, numbers, booleans and None in it."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(entry) for entry in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, np.floating):
        value = float(str(value))
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (int, str)) else str(value)
