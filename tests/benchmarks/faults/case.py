"""A case of the benchmark: a small Keras program with one initialisation fault, and the same program without it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

REGISTERED: "list[FaultCase]" = []


@dataclass(frozen=True)
class Program:
    """What a user has in hand before `fit`: a compiled model, its data, and the arguments of `fit`."""

    model: Any
    x: Any
    y: Any
    fit: dict[str, Any] = field(default_factory=dict)

    def first_batch(self) -> tuple[Any, Any]:
        """Return the `(x, y)` of one batch."""
        size = self.fit["batch_size"]
        return ([part[:size] for part in self.x] if isinstance(self.x, list) else self.x[:size]), self.y[:size]


@dataclass(frozen=True)
class FaultCase:
    """One published fault, rebuilt.

    Attributes:
        name: short id, unique in the benchmark.
        family: the collection it comes from.
        title: the fault in a few words.
        source: where it was published.
        symptom: what the people who met it saw, and what this small twin shows instead where that differs.
        build: gives the program with the fault (`True`) or its clean twin (`False`).
        expected: which verdicts are right, by the layer that has the fault. Derived from the update rule of the
            program and checked by training it, not from what any tool says. Layers joined by `|` are alternatives.
        severities: which severities are right. Without "error" the program learns, so no layer may be called one.
        needs: the least that must be known to see the fault: `"weights"`, or `"batch"`, one batch of data.
    """

    name: str
    family: str
    title: str
    source: str
    symptom: str
    build: Callable[[bool], Program]
    expected: dict[str, frozenset[str]]
    severities: frozenset[str]
    needs: str = "weights"


@dataclass(frozen=True)
class Control:
    """A program that looks suspicious and is sound: no finding may be of severity error."""

    name: str
    title: str
    reason: str
    build: Callable[[], Program]


def fault(
    name: str,
    *,
    family: str,
    title: str,
    source: str,
    symptom: str,
    expected: dict[str, str],
    severity: str,
    needs: str = "weights",
) -> Callable[[Callable[[bool], Program]], Callable[[bool], Program]]:
    """Register the function that builds a case; verdicts and severities are given as words with spaces between."""

    def register(build: Callable[[bool], Program]) -> Callable[[bool], Program]:
        verdicts = {layer: frozenset(words.split()) for layer, words in expected.items()}
        severities = frozenset(severity.split())
        REGISTERED.append(FaultCase(name, family, title, source, symptom, build, verdicts, severities, needs))
        return build

    return register
