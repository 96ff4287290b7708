"""The ranked table of a study for the terminal."""

import math
from typing import Any

from rich.console import Console
from rich.table import Table

from keras_initkit.study.results import StudyResults


def print_table(results: StudyResults, console: Console) -> None:
    """Print one line per initializer, the best first."""
    table = Table(title=f"Initializers ranked by epochs to {results.target}", title_justify="left", pad_edge=False)
    for heading, justify in (
        ("", "right"),
        ("initializer", "left"),
        ("learns", "left"),
        ("seeds", "right"),
        ("epochs to target", "right"),
        (f"final {results.target.metric}", "right"),
        ("units before training", "left"),
        ("units after", "left"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for row in results.table().to_dict("records"):
        table.add_row(
            str(row["rank"]),
            str(row["initializer"]),
            str(row["learns"]),
            _seeds(row),
            _interval(row, "epochs_to_target", 1),
            _interval(row, "final", 3),
            str(row["verdict_before"]),
            str(row["verdict"]),
        )
    console.print(table)
    console.print(
        "seeds: replicas that reach the target. Brackets: 95 % interval of the mean. "
        f"Epochs are capped at {results.budget}."
    )


def _seeds(row: dict[Any, Any]) -> str:
    if not row["replicas"]:
        return "failed"
    return f"{round(row['reached'] * row['replicas'])}/{row['replicas']}"


def _interval(row: dict[Any, Any], key: str, digits: int) -> str:
    if math.isnan(row[key]):
        return "-"
    text = f"{row[key]:.{digits}f}"
    if math.isnan(row[f"{key}_low"]):
        return text
    return f"{text} [{row[f'{key}_low']:.{digits}f}, {row[f'{key}_high']:.{digits}f}]"
