"""The benchmark as tables: what every tool said, and what the programs did when they were trained."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.table import Table

from tests.benchmarks.faults import published
from tests.benchmarks.faults.answers import SEVERITIES, Answer, Statement, about, missed, seen_by_monitor
from tests.benchmarks.faults.case import Control, FaultCase


@dataclass(frozen=True)
class Judged:
    """A case with what was said about its faulty program and about its clean twin."""

    case: FaultCase
    faulty: Answer
    clean: Answer

    def found(self) -> str:
        """Return when the fault was found: "weights", "batch", "epoch 1", or "no"."""
        if not missed(self.case, self.faulty.weights) and self.case.needs == "weights":
            return "weights"
        if not missed(self.case, self.faulty.batch):
            return "batch"
        return "epoch 1" if seen_by_monitor(self.case, self.faulty.monitor) else "no"

    def silent(self) -> str:
        """Return "yes", or what was said about the clean twin with severity error or warning."""
        return _brief(self.clean.faulty()) or "yes"


def tools_table(judged: list[Judged]) -> Table:
    """Return one row per case with the answers of all tools."""
    table = Table(title="Initialisation faults, tool by tool", show_lines=True)
    for name in ("case", "fault", "layer", *published.TOOLS):
        table.add_column(name, overflow="fold")
    for name in (
        "inspect(model)",
        "inspect(model, x, y)",
        "monitor, epochs 0, 1",
        "found",
        "clean twin silent",
        "seconds",
    ):
        table.add_column(name, overflow="fold", style="bold" if name == "found" else None)
    for one in judged:
        layers = list(one.case.expected) or ["(harmless)"]
        table.add_row(
            one.case.name,
            one.case.title,
            ", ".join(layers).replace("|", " or "),
            *(published.answer(one.case.name, tool) for tool in published.TOOLS),
            _heard(one.case, one.faulty.weights),
            _heard(one.case, one.faulty.batch),
            _watched(one),
            one.found() if one.case.expected else ("silent" if one.found() != "no" else "false alarm"),
            one.silent(),
            f"{one.faulty.seconds:.1f}",
        )
    return table


def controls_table(answers: Iterable[tuple[Control, Answer]]) -> Table:
    """Return one row per negative control with all that was said about it."""
    table = Table(title="Negative controls: no finding may be an error", show_lines=False)
    for name in ("control", "program", "why it is sound", "said", "errors", "loss", "seconds"):
        table.add_column(name, overflow="fold")
    for control, answer in answers:
        errors, said = answer.errors(), _brief(answer.faulty())
        row = (control.name, control.title, control.reason, said or "-", _brief(errors) or "none", _losses(answer))
        table.add_row(*row, f"{answer.seconds:.1f}")
    return table


def symptoms_table(judged: list[Judged]) -> Table:
    """Return one row per case with the loss before and after the short training, with the fault and without."""
    table = Table(title="What the small twins do: loss before -> after training", show_lines=False)
    for name in ("case", "with the fault", "clean twin", "published symptom"):
        table.add_column(name, overflow="fold")
    for one in judged:
        table.add_row(one.case.name, _losses(one.faulty), _losses(one.clean), one.case.symptom)
    return table


def summary(judged: list[Judged]) -> str:
    """Return the counts in sentences."""
    cases = [one for one in judged if one.case.expected]
    found = sum(one.found() != "no" for one in cases)
    quiet = sum(one.silent() == "yes" for one in judged)
    mutants = [one for one in judged if one.case.name in published.SECONDS]
    tools = ", ".join(f"{tool} {published.found(tool)}" for tool in published.TOOLS)
    return (
        f"keras-initkit finds {found} of {len(cases)} faults; {quiet} of {len(judged)} clean twins are silent.\n"
        f"Of the three published mutants: {tools}, "
        f"keras-initkit {sum(one.found() != 'no' for one in mutants)} of {len(mutants)}."
    )


def markdown(table: Table) -> str:
    """Return a table as Markdown."""
    rows = zip(*(column.cells for column in table.columns), strict=True)
    lines = [[column.header for column in table.columns], ["---"] * len(table.columns), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', 'or') for cell in line)} |" for line in lines)


def _heard(case: FaultCase, statements: frozenset[Statement]) -> str:
    said = [one for names in case.expected for one in about(names, statements)]
    right = frozenset().union(*case.expected.values())
    return _brief([one for one in said if one.verdict in right] or said, layers=False) or "-"


def _watched(one: Judged) -> str:
    names = [name for layers in one.case.expected for name in layers.split("|")]
    seen = [" -> ".join(verdicts.get(name, "-") for verdicts in one.faulty.monitor) for name in names]
    return ", ".join(dict.fromkeys(seen)) or "-"


def _brief(statements: Iterable[Statement], *, layers: bool = True) -> str:
    ordered = sorted(statements, key=lambda one: (SEVERITIES.index(one.severity), one.layer, one.verdict))
    texts = [f"{one.layer + ' ' if layers else ''}{one.verdict} ({one.severity})" for one in ordered]
    return ", ".join(dict.fromkeys(texts))


def _losses(answer: Answer) -> str:
    return " -> ".join(f"{loss:.3g}" for loss in answer.losses)
