"""The table of the layers and operations whose effect on features is known, filled by the modules beside it."""

from collections.abc import Callable
from typing import Any

from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call

Handler = Callable[[Call, Plan], None]

_HANDLERS: dict[type, Handler] = {}
_OPERATIONS: dict[str, Handler] = {}
_WITH_UNITS: set[Handler] = set()


def handles(*types: type | None, units: bool = False) -> Callable[[Handler], Handler]:
    """Register a function as the one that says what calls of these types do; None stands for a type Keras lacks.

    Args:
        types: the types of layers.
        units: whether layers of these types have units of their own, or layers inside them do.
    """

    def register(handler: Handler) -> Handler:
        if units:
            _WITH_UNITS.add(handler)
        _HANDLERS.update({kind: handler for kind in types if kind is not None})
        return handler

    return register


def handles_operations(*names: str) -> Callable[[Handler], Handler]:
    """Register a function for operations of `keras.ops`, by the names of their classes, which are not public."""

    def register(handler: Handler) -> Handler:
        _OPERATIONS.update(dict.fromkeys(names, handler))
        return handler

    return register


def handler_of(operation: Any) -> Handler | None:
    """Return the function that says what an operation does, None if it is not known.

    A subclass with a `call` of its own is another operation.
    """
    if type(operation).__module__.startswith("keras.src.ops."):
        return _OPERATIONS.get(type(operation).__name__)
    for kind in type(operation).__mro__:
        if kind in _HANDLERS:
            same = getattr(type(operation), "call", None) is getattr(kind, "call", None)
            return _HANDLERS[kind] if same else None
    return None


def has_units(operation: Any) -> bool:
    """Return whether the layer is of a type whose units are known."""
    return handler_of(operation) in _WITH_UNITS
