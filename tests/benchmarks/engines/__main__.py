"""Prints the benchmark: `python -m tests.benchmarks.engines [--quick] [--only PART]`, from the root of a checkout."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tests.benchmarks.engines.machine import header, machine
from tests.benchmarks.engines.memory import memories, memory_table
from tests.benchmarks.engines.scaling import over_replicas, over_widths, replicas_table, why_it_stops, widths_table
from tests.benchmarks.engines.speed import speed_table, speeds
from tests.benchmarks.engines.tuner import MISSING, has_tuner, tuner_speed, tuner_table

_TRACKING = "tests/benchmarks/test_tracking_share.py"


@click.command()
@click.option("--quick", is_flag=True, help="A few replicas and epochs: does everything run? The numbers mean nothing.")
@click.option(
    "--only",
    "parts",
    multiple=True,
    type=click.Choice(["speed", "scaling", "memory", "tuner", "tracking"]),
    help="A part; may be given several times. All by default.",
)
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write all numbers there too.")
def main(quick: bool, parts: tuple[str, ...], file: Path | None) -> None:
    """Time the study engine side by side with `fit`, and measure its memory.

    \b
    speed     compare() beside a loop of fit, model by model; half of the fits before it, half after
    scaling   seconds per replica against the number of replicas and the width, and what they are spent on
    memory    peak of a process that trains many replicas, above one that trains one
    tuner     KerasTuner's executions_per_trial for the same work
    tracking  the share of MLflow in the default main job

    Every row is measured in a process of its own. Exit code 1 says that both ways did not train the same.
    """
    found: dict[str, Any] = {"machine": machine(), "quick": quick}
    click.echo(header(found["machine"]))
    same = True
    for name in parts or _PARTS:
        click.echo(f"\n## {name}\n")
        found[name] = [asdict(row) for row in _PARTS[name](quick)]
        same &= not any(row.get("disagreement") for row in found[name])
        if file:
            file.write_text(json.dumps(found, indent=1))
    if not same:
        sys.exit(1)


def _speed(quick: bool) -> list[Any]:
    rows = _followed(speeds(quick), lambda row: f"{row.title}, {row.replicas} replicas: {row.ratio:.1f} times")
    click.echo(speed_table(rows))
    return rows


def _scaling(quick: bool) -> list[Any]:
    more = _followed(over_replicas(quick), lambda row: f"{row.replicas} replicas: {row.seconds:.3g} s each")
    click.echo(f"{replicas_table(more)}\n\n{why_it_stops(more)}\n")
    wider = _followed(over_widths(quick), lambda row: f"{row.title}: {row.seconds:.3g} s each")
    click.echo(widths_table(wider))
    return [*more, *wider]


def _memory(quick: bool) -> list[Any]:
    rows = _followed(memories(quick), lambda row: f"{row.title}: {row.more / 1e6:.0f} MB")
    click.echo(memory_table(rows))
    return rows


def _tuner(quick: bool) -> list[Any]:
    if not has_tuner():
        click.echo(MISSING)
        return []
    row = tuner_speed(quick)
    click.echo(tuner_table(row))
    return [row]


def _tracking(quick: bool) -> list[Any]:
    if quick:
        click.echo("Left out: it takes six main jobs.")
        return []
    # A test of its own, which prints the share of every round.
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "benchmark", "-p", "no:cacheprovider", _TRACKING])
    return []


_PARTS = {"speed": _speed, "scaling": _scaling, "memory": _memory, "tuner": _tuner, "tracking": _tracking}


def _followed(rows: Iterable[Any], text: Callable[[Any], str]) -> list[Any]:
    kept = []
    for row in rows:
        click.echo(text(row), err=True)
        kept.append(row)
    return kept


if __name__ == "__main__":
    main()
