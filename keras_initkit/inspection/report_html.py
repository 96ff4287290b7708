"""The report in HTML, for notebooks and as a page of its own."""

from html import escape
from typing import TYPE_CHECKING

from keras_initkit.inspection.report_groups import COLUMNS, TEXT_COLUMNS, FindingGroup, grouped, headline
from keras_initkit.inspection.report_plain import printable, short

if TYPE_CHECKING:
    from keras_initkit.inspection.report import Inspection

# Text and background are those of the page, light or dark; only a bar beside a finding has a colour, one that can be
# told from the others with any colour vision and seen on white and on black. The word says the same.
_BAR = {"error": "#D55E00", "warning": "#E69F00", "info": "#4A90C2"}
_LINE = "1px solid rgba(128, 128, 128, 0.4)"


def fragment(inspection: "Inspection") -> str:
    """Return the report as one element with all its styles, as notebooks show it."""
    parts = [f"<p><strong>{_safe(headline(inspection.model, inspection.rows, inspection.findings))}</strong></p>"]
    if inspection.rows:
        parts.append(_table(inspection))
    parts += [_group(group) for group in grouped(inspection.findings)]
    if inspection.notes:
        parts.append(f"<ul>{''.join(f'<li>{_safe(note)}</li>' for note in inspection.notes)}</ul>")
    return f'<div style="overflow-x: auto; line-height: 1.4">{"".join(parts)}</div>'


def page(inspection: "Inspection") -> str:
    """Return the report as a whole page, in the reader's choice of light or dark."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_safe(inspection.model)}</title>\n</head>\n"
        '<body style="font-family: system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em">\n'
        f"{fragment(inspection)}\n</body>\n</html>\n"
    )


def _table(inspection: "Inspection") -> str:
    head = "".join(f'<th scope="col" style="{_cell(column)}">{column}</th>' for column in COLUMNS)
    body = ""
    for row in inspection.rows:
        cells = (f'<td style="{_cell(column)}">{_safe(short(row.get(column, "")))}</td>' for column in COLUMNS)
        body += f"<tr>{''.join(cells)}</tr>"
    return (
        f'<table style="border-collapse: collapse"><thead><tr style="border-bottom: {_LINE}">{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _cell(column: str) -> str:
    # Only names are broken where the page is narrow.
    narrow = "; overflow-wrap: anywhere; min-width: 8em" if column == "layer" else ""
    return f"text-align: {'left' if column in TEXT_COLUMNS else 'right'}; padding: 0.15em 0.7em{narrow}"


def _group(group: FindingGroup) -> str:
    found = group.first
    layers = ", ".join(f"<code>{_safe(layer)}</code>" for layer in group.layers)
    fix = (
        f'<pre style="margin: 0.3em 0 0; padding: 0.4em 0.6em; border: {_LINE}; overflow-x: auto; text-align: left">'
        f"<code>{escape(group.fix)}</code></pre>"
        if group.fix
        else ""
    )
    return (
        f'<div style="border-left: 4px solid {_BAR[found.severity]}; padding-left: 0.7em; margin: 0.8em 0">'
        f"<strong>{found.severity}: {found.verdict}</strong>: {layers}{_safe(group.further)}"
        f"<div>{_safe(found.cause)}</div>{fix}</div>"
    )


def _safe(text: str) -> str:
    return escape(printable(text))
