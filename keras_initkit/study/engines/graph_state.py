"""Whether a TensorFlow graph does more than compute values from values."""

from collections.abc import Iterable, Iterator
from typing import Any

# Operations that TensorFlow calls stateful without a state that a step could leave behind.
_HARMLESS = ("While", "If", "Case", "For", "Assert", "Print", "HashTable", "LookupTable", "TensorArray", "Cudnn")
_CALLS = ("PartitionedCall", "StatefulPartitionedCall", "SymbolicGradient", "XlaLaunch")
_IN_WORDS = {
    "Random": "random numbers are drawn from TensorFlow's own state",
    "Multinomial": "random numbers are drawn from TensorFlow's own state",
    "Rng": "random numbers are drawn from TensorFlow's own state",
    "PyFunc": "a Python function is called in every step",
    "Variable": "a variable is read or changed that the model does not list",
    "Resource": "a variable is read or changed that the model does not list",
}


def state_in_graph(graph: Any, first: int = 0) -> str:
    """Return in a sentence what the operations of a graph do beyond computing, "" if nothing.

    Keras' variables are values inside a `keras.StatelessScope`, so whatever still reads or changes state there is no
    part of what Keras lists as the state of a model.

    Args:
        graph: a TensorFlow graph.
        first: number of operations at the beginning of the graph that are not looked at.
    """
    for kind in _stateful(graph, graph.get_operations()[first:]):
        return next((words for part, words in _IN_WORDS.items() if part in kind), f"the operation {kind} has a state")
    return ""


def _stateful(graph: Any, operations: Iterable[Any]) -> Iterator[str]:
    for operation in operations:
        if operation.op_def.is_stateful and not operation.type.startswith((*_HARMLESS, *_CALLS)):
            yield operation.type
        for attribute in operation.node_def.attr.values():
            inner = graph._get_function(attribute.func.name) if attribute.HasField("func") else None
            if inner is not None and hasattr(inner, "graph"):
                yield from _stateful(inner.graph, inner.graph.get_operations())
