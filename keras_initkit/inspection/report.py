"""The report of an inspection: what was measured in each layer, what is wrong, and what to change."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_initkit._checks import InitializationError, check_choice
from keras_initkit.inspection.finding import SEVERITIES, Finding
from keras_initkit.inspection.report_groups import counted, worst_first
from keras_initkit.inspection.report_plain import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Inspection:
    """What `inspect` found in a model; printed, it is a table with the findings below.

    Attributes:
        model: name of the model.
        findings: what is wrong or worth knowing, the worst first (error, warning, info), then in layer order.
        rows: one dict per layer, as `SymmetryMonitor.rows` has them without `epoch`, and `severity`: that of the worst
            finding on the layer, empty if there is none. Numbers that could not be measured are NaN.
        notes: what could not be judged, and why.
    """

    model: str
    findings: tuple[Finding, ...]
    rows: list[dict[str, Any]]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "findings", worst_first(self.findings, [row["layer"] for row in self.rows]))

    @property
    def ok(self) -> bool:
        """Whether no finding is an error: the model can learn as it is initialised."""
        return not self.at_least("error")

    def at_least(self, severity: str) -> tuple[Finding, ...]:
        """Return the findings of a severity and of those above it.

        Args:
            severity: `"error"`, `"warning"` (with the errors) or `"info"` (all).

        Raises:
            ValueError: for another severity.
        """
        wanted = SEVERITIES[: SEVERITIES.index(check_choice("severity", severity, SEVERITIES)) + 1]
        return tuple(finding for finding in self.findings if finding.severity in wanted)

    def assert_healthy(self, severity: str = "error") -> None:
        """Raise if there is a finding; for test suites.

        Example:
            >>> Inspection("net", (), [{"layer": "hidden", "units": 8}]).assert_healthy()

        Args:
            severity: the least severity that raises: `"error"`, `"warning"` (stricter) or `"info"` (strictest).
                Defaults to `"error"`.

        Raises:
            InitializationError: if there is such a finding; the text has the table and says what to change.
            ValueError: for another severity.
        """
        found = self.at_least(severity)
        if found:
            kinds = ", ".join(SEVERITIES[: SEVERITIES.index(severity) + 1])
            raise InitializationError(
                f"Expected a model without findings of severity {kinds}. Received: {self.model!r} with "
                f"{counted(found)}.\n\n{self}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain lists, dicts, texts and numbers, ready for JSON; `None` where not finite.

        Returns:
            A dict with `model`, `ok`, `findings` (dicts with the attributes of `Finding`), `rows` and `notes`.
        """
        report = {
            "model": self.model,
            "ok": self.ok,
            "findings": [vars(finding) for finding in self.findings],
            "rows": self.rows,
            "notes": self.notes,
        }
        return {key: plain(value) for key, value in report.items()}

    def to_markdown(self) -> str:
        """Return the report in GitHub's Markdown: a table, then the findings with their changes as code."""
        from keras_initkit.inspection.report_markdown import markdown

        return markdown(self)

    def to_html(self) -> str:
        """Return the report as one HTML page that needs no other file."""
        from keras_initkit.inspection.report_html import page

        return page(self)

    def plot(self) -> "Figure":
        """Draw, for each layer, the share of distinct, locked and dead units, and the rms cosine against chance.

        Returns:
            A matplotlib Figure.
        """
        from keras_initkit.inspection.report_figure import overview

        return overview(self)

    def _repr_html_(self) -> str:
        from keras_initkit.inspection.report_html import fragment

        return fragment(self)

    def __str__(self) -> str:
        from keras_initkit.inspection.report_text import text

        return text(self)

    def __repr__(self) -> str:
        return f"Inspection({self.model!r}, {len(self.rows)} layers, {counted(self.findings)})"
