"""What the table says of one initializer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KERAS = "keras"
KIT = "keras_initkit"

# Words for the layers whose kernels a scheme serves.
ANY_KERNEL = ("any kernel",)
UNITS = ("dense", "conv", "attention")  # kernels of which Keras reads the fans rightly

# Shapes of kernels, dense ones first: wide and tall, of one entry, with up to three spatial axes.
KERNELS = ((5, 7), (7, 5), (1, 1), (3, 4, 6), (2, 4, 6), (3, 3, 4, 6), (2, 4, 6, 3), (2, 3, 2, 4, 6), (1, 8))
EVEN_KERNELS = ((6, 8), (8, 4), (12, 12), (3, 4, 8), (2, 3, 4, 12))
VECTORS = ((8,), (1,), (5,))


@dataclass(frozen=True)
class Row:
    """One initializer.

    Attributes:
        name: the class name.
        source: the package that defines it, `"keras"` or `"keras_initkit"`.
        formula: the values in one line. I and O are the inputs and outputs of a kernel, n_in and n_out its fans.
        use: what it is for, in one line.
        layers: the layers whose kernels or biases it serves; `ANY_KERNEL` for all of them.
        guarantee: what makes values of this scheme what they are; the tests hold it to that.
        reference: author, year and link, or an empty string where nothing is to be cited.
        kind: `"kernel"`, `"bias"`, or `"wrapper"` for what changes the draws of another initializer.
        deterministic: True if the class takes no seed.
        fresh: True if each call gives new values although the seed is an integer.
        example: arguments with which the class can be built.
        shapes: shapes that it serves with these arguments; the contract tests run over them.
        minimum_rank: the fewest axes a shape may have.
    """

    name: str
    source: str
    formula: str
    use: str
    layers: tuple[str, ...]
    guarantee: str
    reference: str = ""
    kind: str = "kernel"
    deterministic: bool = False
    fresh: bool = False
    example: Mapping[str, Any] = field(default_factory=dict)
    shapes: tuple[tuple[int, ...], ...] = KERNELS
    minimum_rank: int = 2

    @property
    def alias(self) -> str:
        """The name in snake case, by Keras' rule; "ZerO" keeps its own, since "zero" is Keras' `Zeros`."""
        return self.name if self.name == "ZerO" else snake_case(self.name)


def snake_case(name: str) -> str:
    """Return a class name in snake case as Keras writes it: `"GlorotUniform"` becomes `"glorot_uniform"`."""
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()
