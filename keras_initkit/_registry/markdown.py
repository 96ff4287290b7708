"""The table of initializers for pages."""

from collections.abc import Iterable

from keras_initkit._registry.row import Row


def markdown(rows: Iterable[Row]) -> str:
    """Return a Markdown table: scheme, values, use, layers, what the tests hold it to, paper."""
    lines = ["| scheme | values | use | layers | guarantee | paper |", "|---|---|---|---|---|---|"]
    for row in rows:
        layers = ", ".join(row.layers).replace("_", " ")
        cells = (f"`{row.name}`", row.formula, row.use, layers, row.guarantee, _linked(row.reference))
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def _linked(reference: str) -> str:
    who, _, link = reference.rpartition(", ")
    return f"[{who}]({link})" if who else reference
