"""One line of the table."""

from typing import NamedTuple


class Row(NamedTuple):
    """A training, what its paper says comes out, and what came out here."""

    training: str
    published: str
    found: str
