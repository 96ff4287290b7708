"""Batches as flat lists of arrays, which is what programs take, and back."""

from collections.abc import Callable, Sequence
from typing import Any

import keras


class BatchLayout:
    """The structure of `(x, y, sample_weight)`: nests of arrays, of which some are missing.

    Args:
        batch: a batch of that structure, or the whole data.
    """

    def __init__(self, batch: Any):
        self._structure = batch
        self._present = [part is not None for part in keras.tree.flatten(batch)]

    def flatten(self, batch: Any) -> list[Any]:
        """Return the arrays of a batch."""
        return [part for part in keras.tree.flatten(batch) if part is not None]

    def pack(self, arrays: Sequence[Any]) -> Any:
        """Return the batch that `flatten` made a list of."""
        given = iter(arrays)
        filled = [next(given) if present else None for present in self._present]
        return keras.tree.pack_sequence_as(self._structure, filled)

    def taking(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of a state and the arrays of a batch, from one of a state and a batch."""
        return lambda state, arrays: function(state, self.pack(arrays))
