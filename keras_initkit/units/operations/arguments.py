"""The arguments of a call by their names, and those that are not understood."""

import inspect
from typing import Any

from keras_initkit.units.features import NotUnderstood
from keras_initkit.units.trace import Call


def arguments(call: Call) -> dict[str, Any]:
    """Return the arguments that a layer was called with, by the names of the parameters of its `call`."""
    bound = inspect.signature(call.operation.call).bind_partial(*call.args, **call.kwargs)
    return {**bound.arguments, **bound.arguments.get("kwargs", {})}


def require_channels_last(layer: Any) -> None:
    """Raise `NotUnderstood` where features are not the last axis."""
    if getattr(layer, "data_format", "channels_last") == "channels_first":
        raise NotUnderstood
