"""The findings in the order they are read, and those that say the same of many layers together."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_initkit.inspection.finding import SEVERITIES, Finding
from keras_initkit.inspection.report_plain import printable

# Names and indices shown before the rest is only counted.
_NAMES = 8

COLUMNS = ("layer", "units", "inputs", "distinct", "locked", "dead", "verdict", "severity")
TEXT_COLUMNS = ("layer", "verdict", "severity")


@dataclass(frozen=True)
class FindingGroup:
    """Findings with the same verdict, severity, cause and fix, but for the name of the layer.

    Attributes:
        findings: the findings, in the order of the layers; at least one.
    """

    findings: tuple[Finding, ...]

    @property
    def first(self) -> Finding:
        """The finding that speaks for the group."""
        return self.findings[0]

    @property
    def layers(self) -> list[str]:
        """The layers concerned, at most `_NAMES` of them, each once."""
        return list(dict.fromkeys(finding.layer for finding in self.findings))[:_NAMES]

    @property
    def fix(self) -> str:
        """The lines of code that mend the layers named; a line that mends several stands once."""
        fixes = list(dict.fromkeys(finding.fix for finding in self.findings if finding.fix))
        rest = [f"# and the same for {len(fixes) - _NAMES} more"] if len(fixes) > _NAMES else []
        return "\n".join([*fixes[:_NAMES], *rest])

    @property
    def further(self) -> str:
        """What follows the names of the layers: how many more there are, and which units of a single layer."""
        count = len({finding.layer for finding in self.findings})
        if count > _NAMES:
            return f" and {count - _NAMES} more layers"
        return f" ({_indices(self.first.units)})" if len(self.findings) == 1 and self.first.units else ""


def grouped(findings: Sequence[Finding]) -> list[FindingGroup]:
    """Return the findings, those that say the same together; groups stand where their first finding stood."""
    groups: dict[tuple[str, str, str, str], list[Finding]] = {}
    for finding in findings:
        texts = _unnamed(finding.cause, finding.layer), _unnamed(finding.fix, finding.layer)
        groups.setdefault((finding.verdict, finding.severity, *texts), []).append(finding)
    return [FindingGroup(tuple(group)) for group in groups.values()]


def _unnamed(text: str, layer: str) -> str:
    """Return a text without the name of its layer, as a path or as the quoted names along the path."""
    text = re.sub(rf"(?<![\w/]){re.escape(layer)}(?![\w/])", "\0", text)
    for part in layer.split("/"):
        text = text.replace(f'"{part}"', '"\0"')
    return text


def worst_first(findings: Sequence[Finding], layers: Sequence[str]) -> tuple[Finding, ...]:
    """Return the findings by severity, then in the order of the layers; those on other layers come last."""
    place = {layer: index for index, layer in enumerate(layers)}
    return tuple(
        sorted(findings, key=lambda found: (SEVERITIES.index(found.severity), place.get(found.layer, len(layers))))
    )


def counted(findings: Sequence[Finding]) -> str:
    """Return how many findings of each severity there are, e.g. `"2 errors, 1 info"`."""
    counts = Counter(finding.severity for finding in findings)
    words = [
        f"{counts[severity]} {severity}{'s' if counts[severity] > 1 and severity != 'info' else ''}"
        for severity in SEVERITIES
        if counts[severity]
    ]
    return ", ".join(words) or "no findings"


def headline(model: str, rows: Sequence[dict[str, Any]], findings: Sequence[Finding]) -> str:
    """Return the report in one sentence."""
    layers = "1 layer" if len(rows) == 1 else f"{len(rows)} layers"
    unable = " cannot learn as built" if any(finding.severity == "error" for finding in findings) else ""
    return f"{printable(model)}{unable}: {layers}, {counted(findings)}."


def _indices(units: Sequence[int]) -> str:
    if len(units) == 1:
        return f"unit {units[0]}"
    if len(units) > 2 and list(units) == list(range(units[0], units[0] + len(units))):
        return f"{len(units)} units: {units[0]} to {units[-1]}"
    rest = f" and {len(units) - _NAMES} more" if len(units) > _NAMES else ""
    return f"{len(units)} units: {', '.join(map(str, units[:_NAMES]))}{rest}"
