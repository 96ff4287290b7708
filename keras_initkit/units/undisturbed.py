"""Symbolic calls of the user's layers that leave nothing behind."""

import contextlib
import operator
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Undo what symbolic calls leave behind: nodes of the graph, and attributes that `call` sets."""
    layers = list(model._flatten_layers())
    nodes = [(layer, len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in layers]
    attributes = [(layer, dict(vars(layer))) for layer in layers]
    contents = [(value, value.copy()) for layer in layers for value in vars(layer).values() if _is_container(value)]
    try:
        yield
    finally:
        for layer, before in attributes:
            present = vars(layer)
            for name in [name for name in present if name not in before]:
                object.__delattr__(layer, name) if name in present else None
            for name, value in before.items():
                if present.get(name) is not value:
                    present[name] = value
        for layer, inbound, outbound in nodes:
            del layer._inbound_nodes[inbound:], layer._outbound_nodes[outbound:]
        for container, before in contents:
            _refill(container, before)


def _is_container(value: Any) -> bool:
    return isinstance(value, (list, dict, set))


def _refill(container: Any, before: Any) -> None:
    """Give a container back what it held, past what Keras does when layers add something to theirs."""
    if len(container) == len(before) and all(map(operator.is_, _parts(container), _parts(before))):
        return
    if isinstance(container, list):
        list.__setitem__(container, slice(None), before)
    elif isinstance(container, dict):
        dict.clear(container)
        dict.update(container, before)
    else:
        set.clear(container)
        set.update(container, before)


def _parts(container: Any) -> list[Any]:
    return [*container, *container.values()] if isinstance(container, dict) else list(container)
