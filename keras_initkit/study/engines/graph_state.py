"""What a TensorFlow graph is made of: state that it has besides its arguments, operations that defy vectorisation."""

from collections.abc import Iterable, Iterator
from typing import Any

# Operations that TensorFlow calls stateful without a state that a step could leave behind.
_HARMLESS = ("While", "If", "Case", "For", "Assert", "Print", "HashTable", "LookupTable", "TensorArray", "Cudnn")
_CALLS = ("PartitionedCall", "StatefulPartitionedCall", "SymbolicGradient", "XlaLaunch")
_IN_WORDS = {
    "Random": "random numbers are drawn from TensorFlow's own state",
    "Multinomial": "random numbers are drawn from TensorFlow's own state",
    "TruncatedNormal": "random numbers are drawn from TensorFlow's own state",
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
    for operation, _ in _operations(graph, graph.get_operations()[first:]):
        kind = operation.type
        if operation.op_def.is_stateful and not kind.startswith((*_HARMLESS, *_CALLS)):
            return next(
                (words for part, words in _IN_WORDS.items() if part in kind), f"the operation {kind} has a state"
            )
    return ""


def defies_vectorisation(graph: Any, first: int = 0) -> bool:
    """Return whether a graph has operations whose vectorised form fails when it is run.

    A `tf.where` that gives as many rows as it finds, in a branch of a condition: where no replica takes the branch,
    there is nothing to stack. Keras' sums of the rows of an embedding's gradient are made of it.

    Args:
        graph: a TensorFlow graph.
        first: number of operations at the beginning of the graph that are not looked at.
    """
    return any(nested and op.type == "Where" for op, nested in _operations(graph, graph.get_operations()[first:]))


def _operations(graph: Any, operations: Iterable[Any], nested: bool = False) -> Iterator[tuple[Any, bool]]:
    """Yield operations and those of the functions they call, and whether they are in such a function."""
    for operation in operations:
        yield operation, nested
        for attribute in operation.node_def.attr.values():
            inner = graph._get_function(attribute.func.name) if attribute.HasField("func") else None
            if inner is not None and hasattr(inner, "graph"):
                yield from _operations(inner.graph, inner.graph.get_operations(), nested=True)
