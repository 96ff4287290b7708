"""The tables in the README of the initializers: `python -m tests.initializers.readme` writes them anew."""

import re
from pathlib import Path

from keras_initkit._registry import KERAS, KIT, ROWS
from keras_initkit._registry.markdown import markdown
from tests.initializers.peers import comparison

README = Path(__file__).parents[2] / "keras_initkit" / "initializers" / "README.md"


def tables() -> dict[str, str]:
    """Return what stands between the markers of each name."""
    ours, theirs = ([row for row in ROWS if row.source == source] for source in (KIT, KERAS))
    schemes = f"{markdown(ours)}\n\nThose of Keras:\n\n{markdown(theirs)}"
    return {"schemes": schemes, "peers": comparison()}


def with_tables(text: str) -> str:
    """Return the page with the tables as they are now."""
    for name, table in tables().items():
        pattern = rf"(<!-- {name}: .*? -->\n).*?(<!-- end of {name} -->)"
        text, found = re.subn(pattern, lambda m, t=table: f"{m[1]}\n{t}\n\n{m[2]}", text, flags=re.DOTALL)
        if found != 1:
            raise ValueError(f"Expected one pair of markers for {name!r} in {README}. Received: {found}.")
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text("utf-8")), "utf-8")
