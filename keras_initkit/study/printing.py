"""The ranked table of a study for the terminal."""

import math
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from keras_initkit.study.results import StudyResults


def print_table(results: StudyResults, console: Console) -> None:
    """Print one line per initializer, the best first."""
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title=f"Ranked by epochs to {results.target}", title_justify="left"
    )
    for heading in (
        "",
        "initializer",
        "learns",
        "seeds",
        "epochs [95 % interval]",
        f"final {results.target.metric}",
        "units",
    ):
        table.add_column(heading, justify="left" if heading in ("initializer", "learns", "units") else "right")
    for row in results.table().to_dict("records"):
        table.add_row(
            str(row["rank"]),
            str(row["initializer"]),
            str(row["learns"]),
            f"{round(row['reached'] * row['replicas'])}/{row['replicas']}" if row["replicas"] else "failed",
            _interval(row),
            "-" if math.isnan(row["final"]) else f"{row['final']:.3f}",
            _units(row),
        )
    console.print(table)
    console.print(
        f"epochs: mean over the seeds, capped at the budget of {results.budget}; seeds: how many reach the target; "
        "units: verdict on the hidden units, before -> after training where it changes.\n",
        highlight=False,
    )


def _interval(row: dict[Any, Any]) -> str:
    mean, low, high = (row[key] for key in ("epochs_to_target", "epochs_to_target_low", "epochs_to_target_high"))
    if math.isnan(mean):
        return "-"
    return f"{mean:.1f}" if math.isnan(low) else f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def _units(row: dict[Any, Any]) -> str:
    before, after = str(row["verdict_before"]), str(row["verdict"])
    return after if before == after else f"{before} -> {after}"
