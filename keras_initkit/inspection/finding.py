"""A finding: what is wrong in one layer, how bad it is, why, and the smallest change that mends it."""

from dataclasses import dataclass, field
from typing import Any

VERDICTS = (
    "healthy",
    "transient",
    "plateau",
    "locked",
    "dead",
    "twins",
    "vanishing",
    "exploding",
    "saturated",
    "redundant",
    "uninformative",
)
SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True)
class Finding:
    """What is wrong in one layer of a network, or worth knowing about it.

    Attributes:
        layer: path of the layer in the model, `"block/dense"` for a nested one.
        verdict: one of the kit's verdicts, e.g. `"locked"`.
        severity: `"error"` if the layer cannot learn as built, `"warning"` if it learns late or less than its size
            suggests, `"info"` otherwise.
        units: indices of the units concerned.
        cause: one sentence that says what was found and why it matters.
        fix: the smallest change that mends it, as a line of code to paste, with a few words where needed.
        evidence: the numbers behind it, by name; plain numbers, texts and lists of them.
    """

    layer: str
    verdict: str
    severity: str
    units: tuple[int, ...]
    cause: str
    fix: str
    evidence: dict[str, Any] = field(default_factory=dict)
