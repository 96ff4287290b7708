"""The report in GitHub's Markdown."""

import re
from typing import TYPE_CHECKING

from keras_initkit.inspection.report_groups import COLUMNS, TEXT_COLUMNS, FindingGroup, grouped, headline
from keras_initkit.inspection.report_plain import printable, short

if TYPE_CHECKING:
    from keras_initkit.inspection.report import Inspection


def markdown(inspection: "Inspection") -> str:
    """Return the report: a sentence, a table of the layers, the findings with their fixes as code, and the notes."""
    blocks = [f"**{_prose(headline(inspection.model, inspection.rows, inspection.findings))}**"]
    if inspection.rows:
        blocks.append(_table(inspection))
    blocks += [_group(group) for group in grouped(inspection.findings)]
    blocks += ["\n".join(f"- {_prose(note)}" for note in inspection.notes)] if inspection.notes else []
    return "\n\n".join(blocks) + "\n"


def _table(inspection: "Inspection") -> str:
    lines = [_line(COLUMNS), _line(["---" if column in TEXT_COLUMNS else "---:" for column in COLUMNS])]
    for row in inspection.rows:
        cells = [short(row.get(column, "")) for column in COLUMNS]
        # GitHub takes a bar for the end of a cell even within code.
        lines.append(_line([_code(cells[0]).replace("|", r"\|"), *(_prose(cell) for cell in cells[1:])]))
    return "\n".join(lines)


def _line(cells: "list[str] | tuple[str, ...]") -> str:
    return f"| {' | '.join(cells)} |"


def _group(group: FindingGroup) -> str:
    found = group.first
    layers = ", ".join(_code(printable(layer)) for layer in group.layers)
    text = f"**{found.severity}: {found.verdict}**: {layers}{group.further}\n\n{_prose(found.cause)}"
    return f"{text}\n\n{_code_block(group.fix)}" if group.fix else text


def _code(text: str) -> str:
    """Return a text as a span of code, between more backticks than it has in a row itself."""
    fence = "`" * (_longest_run(text) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def _code_block(text: str) -> str:
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}python\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _prose(text: str) -> str:
    """Return a text that Markdown shows as it is; underscores within words are safe and stay readable."""
    text = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[\\`*\[\]|~#]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text)
