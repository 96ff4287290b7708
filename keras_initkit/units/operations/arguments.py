"""The arguments of a call by their names."""

import inspect
from typing import Any

from keras_initkit.units.trace import Call


def arguments(call: Call) -> dict[str, Any]:
    """Return the arguments that a layer was called with, by the names of the parameters of its `call`."""
    bound = inspect.signature(call.operation.call).bind_partial(*call.args, **call.kwargs)
    return {**bound.arguments, **bound.arguments.get("kwargs", {})}
