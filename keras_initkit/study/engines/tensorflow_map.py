"""A function of one replica, applied to stacked replicas in a TensorFlow graph."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from keras_initkit.study.engines.graph_state import defies_vectorisation, state_in_graph
from keras_initkit.study.engines.pure_step import NotAsFit

# What Keras users call the operations that TensorFlow runs in a loop over the replicas; "" says nothing to them.
_IN_WORDS = {
    "Bitcast": "",
    "Random": "random numbers",
    "Conv": "convolutions",
    "While": "loops",
    "TensorList": "loops",
    "Image": "images",
    "Resize": "images",
    "Crop": "images",
}
_WHOLE_STEP = "the whole step"


class TensorFlowMap:
    """Applies functions to stacked replicas.

    TensorFlow vectorises what it can, and runs single operations in a loop over the replicas where it cannot. Where
    even this fails, the whole function is run in such a loop.

    Attributes:
        one_by_one: in words of Keras, what is run for one replica after the other; known once a function was traced.
    """

    def __init__(self) -> None:
        self.one_by_one: set[str] = set()

    def __call__(self, function: Callable[..., Any], *stacked: Any) -> Any:
        """Return the stacked results of a function of one replica.

        Args:
            function: takes the arguments without their leading axis, and returns a nest of tensors.
            *stacked: nests of tensors of shape `(R, ...)`.

        Raises:
            NotAsFit: if the function has a state besides its arguments.
        """
        structure: Any = None
        vectorised = True

        def one(own: Any) -> Any:
            nonlocal structure
            graph = tf.compat.v1.get_default_graph()
            known = len(graph.get_operations())
            found = function(*own)
            reason = state_in_graph(graph, known)
            if reason:
                raise NotAsFit(reason)
            structure = tf.nest.map_structure(tf.type_spec_from_value, found)
            if vectorised and defies_vectorisation(graph, known):
                raise _NotVectorisable
            return found

        with _noted_loops(self.one_by_one):
            try:
                return tf.vectorized_map(one, stacked, fallback_to_while_loop=True)
            except Exception as error:
                # What TensorFlow fails to vectorise is no fault of the model's, if one replica could be traced.
                if structure is None or isinstance(error, NotAsFit):
                    raise
        vectorised = False
        self.one_by_one.add(_WHOLE_STEP)
        return tf.map_fn(one, stacked, fn_output_signature=structure)


class _NotVectorisable(Exception):
    pass


@contextmanager
def _noted_loops(words: set[str]) -> Iterator[None]:
    """Collect the operations that TensorFlow warns it cannot vectorise, instead of printing the warnings."""

    def note(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.levelno >= logging.ERROR:  # it is raised too
            return False
        found = re.search(r'while_loop for converting (?:name: [\s\S]*?op: ")?(\w+)|^(\w+) uses a while_loop', text)
        if found is None:
            return True
        name = found[1] or found[2]
        words.add(next((word for part, word in _IN_WORDS.items() if part in name), f"the operation {name}"))
        words.discard("")
        return False

    logger = logging.getLogger("tensorflow")
    logger.addFilter(note)
    try:
        yield
    finally:
        logger.removeFilter(note)
