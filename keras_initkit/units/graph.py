"""The graph of a functional model and of the models nested in it, as one."""

from collections.abc import Iterator
from typing import Any

import keras

# One scale and one shift per feature.
NORMALISATIONS = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)


class Graph:
    """The nodes of a functional model and of those nested in it: which operations read a tensor, and what they give.

    Args:
        model: a functional model.
        open_end: whether the model lies in one whose graph is not known, so that its outputs are read by unknown
            layers.
    """

    def __init__(self, model: Any, *, open_end: bool = False):
        """Index the nodes of the model."""
        self.open_end = open_end
        self._readers: dict[int, list[tuple[Any, Any]]] = {}
        self._outputs: dict[int, list[Any]] = {}
        self._same: dict[int, list[Any]] = {}  # across the border of a nested model a tensor goes on as another one
        self._models: set[int] = set()
        self._final = {id(tensor) for tensor in keras.tree.flatten(model.outputs)}
        self._index(model)

    @classmethod
    def of(cls, model: Any, *, open_end: bool = False) -> "Graph | None":
        """Return the graph of a functional or built Sequential model, None for others."""
        functional = _functional(model)
        return None if functional is None else cls(functional, open_end=open_end)

    def covers(self, model: Any) -> bool:
        """Return whether the nodes of this model are part of the graph."""
        return id(_functional(model)) in self._models

    def outputs_of(self, operation: Any) -> list[Any]:
        """Return the tensors the operation gives in this model, one per call."""
        return self._outputs.get(id(operation), [])

    def readers_of(self, tensor: Any) -> Iterator[tuple[Any, Any]]:
        """Yield `(operation, node)` for every operation that reads the tensor."""
        yield from self._readers.get(id(tensor), [])

    def same_as(self, tensor: Any) -> Iterator[Any]:
        """Yield the tensors under which this one goes on inside or outside a nested model."""
        yield from self._same.get(id(tensor), [])

    def sources_of(self, tensor: Any) -> int:
        """Return how many tensors go on as this one, more than one if a nested model is called on several."""
        return sum(any(tensor is same for same in others) for others in self._same.values())

    def is_final(self, tensor: Any) -> bool:
        """Return whether the tensor is an output of the model."""
        return id(tensor) in self._final

    def leads_to_weights(self, tensors: list[Any]) -> bool:
        """Return whether a layer with weights of its own, other than a normalisation, comes behind the tensors."""
        waiting, seen = list(tensors), set()
        while waiting:
            tensor = waiting.pop()
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            if self.open_end and self.is_final(tensor):
                return True
            waiting += self.same_as(tensor)
            for operation, node in self.readers_of(tensor):
                if getattr(operation, "weights", None) and not isinstance(operation, NORMALISATIONS):
                    return True
                waiting += node.outputs
        return False

    def _index(self, model: Any) -> None:
        if id(model) in self._models:
            return
        self._models.add(id(model))
        for nodes in model._nodes_by_depth.values():
            for node in nodes:
                read = node.arguments.keras_tensors
                inner = _functional(node.operation)
                if inner is not None and len(inner.inputs) == len(read) and len(inner.outputs) == len(node.outputs):
                    self._index(inner)
                    for outside, inside in zip([*read, *inner.outputs], [*inner.inputs, *node.outputs], strict=True):
                        self._same.setdefault(id(outside), []).append(inside)
                    continue
                self._outputs.setdefault(id(node.operation), []).extend(node.outputs)
                for tensor in read:
                    self._readers.setdefault(id(tensor), []).append((node.operation, node))


def _functional(model: Any) -> Any:
    functional = getattr(model, "_functional", None) or model
    return functional if hasattr(functional, "_nodes_by_depth") else None
