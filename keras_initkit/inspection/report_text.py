"""The report as plain text for a terminal."""

import io
import shutil
from typing import TYPE_CHECKING, Literal

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from keras_initkit.inspection.report_groups import COLUMNS, TEXT_COLUMNS, FindingGroup, grouped, headline
from keras_initkit.inspection.report_plain import printable, short

if TYPE_CHECKING:
    from keras_initkit.inspection.report import Inspection

_WIDTH = 110  # where there is no terminal to ask
_NARROWEST = 80  # the table needs it; narrower terminals break the lines themselves
_GROUPS = 12  # shown in full; a terminal is read to the end only if there is one


def text(inspection: "Inspection", width: int | None = None) -> str:
    """Return the report: a sentence, a table of the layers, the findings with their fixes, and the notes.

    Fixes stand on lines of their own, never broken, so that they can be copied.

    Args:
        inspection: the report.
        width: characters per line, 80 at least. Defaults to the width of the terminal, 110 where there is none.
    """
    width = max(width or shutil.get_terminal_size((_WIDTH, 24)).columns, _NARROWEST)
    written = io.StringIO()
    console = Console(file=written, width=width, color_system=None, force_terminal=False, highlight=False, markup=False)
    console.print(headline(inspection.model, inspection.rows, inspection.findings))
    if inspection.rows:
        console.print(_table(inspection))
    groups = grouped(inspection.findings)
    for group in groups[:_GROUPS]:
        _print_group(group, console)
    if len(groups) > _GROUPS:
        left = sum(len(group.findings) for group in groups[_GROUPS:])
        console.print(f"... and {left} more findings; `.findings` and `--format json` have all of them.\n")
    for note in inspection.notes:
        console.print(Text(f"note: {printable(note)}"))
    return "\n".join(line.rstrip() for line in written.getvalue().split("\n")).rstrip("\n")


def _table(inspection: "Inspection") -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in COLUMNS:
        justify: Literal["left", "right"] = "left" if column in TEXT_COLUMNS else "right"
        # Only names are broken where the terminal is narrow.
        table.add_column(column, justify=justify, overflow="fold", no_wrap=column != "layer")
    for row in inspection.rows:
        table.add_row(*(Text(short(row.get(column, ""))) for column in COLUMNS))
    return table


def _print_group(group: FindingGroup, console: Console) -> None:
    found = group.first
    layers = ", ".join(printable(layer) for layer in group.layers)
    console.print(Text(f"{found.severity}: {found.verdict}: {layers}{group.further}"))
    console.print(Padding(Text(printable(found.cause)), (0, 0, 0, 2)))
    if group.fix:
        console.print("  fix:")
        for line in group.fix.splitlines():
            console.print(Text(f"    {printable(line)}"), soft_wrap=True)
    console.print()
