"""Prints the benchmark: `python -m tests.benchmarks.faults [CASE ...]`, from the root of a checkout."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.benchmarks.faults import CASES, CONTROLS
from tests.benchmarks.faults.answers import ask
from tests.benchmarks.faults.table import Judged, controls_table, markdown, summary, symptoms_table, tools_table
from tests.benchmarks.faults.truth import contradictions


@click.command()
@click.argument("names", nargs=-1, metavar="[CASE ...]")
@click.option("--list", "only_list", is_flag=True, help="Print the names and sources of all cases and stop.")
@click.option("--check", is_flag=True, help="Train every faulty program and compare its weights with what is expected.")
@click.option("--symptoms", is_flag=True, help="Print the losses with and without the fault too.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown.")
@click.option("--width", default=230, show_default=True, help="Columns of the terminal or file.")
def main(names: tuple[str, ...], only_list: bool, check: bool, symptoms: bool, as_markdown: bool, width: int) -> None:
    """Print what four published tools and keras-initkit say about initialisation faults of Keras programs.

    CASE is the name of a case or negative control, or the beginning of one, e.g. `M1` or `F-`; all by default.
    """
    unknown = [name for name in names if not any(known.startswith(name) for known in [*CASES, *CONTROLS])]
    if unknown:
        raise click.UsageError(f"Expected names of cases. Received: {', '.join(unknown)}. See --list.")
    cases = [case for case in CASES.values() if _chosen(case.name, names)]
    controls = [control for control in CONTROLS.values() if _chosen(control.name, names)]
    if only_list:
        for case in cases:
            click.echo(f"{case.name}: {case.title}\n    {case.source}")
        for control in controls:
            click.echo(f"{control.name}: {control.title}")
        return
    if check:
        for case in _progress(cases, "Training"):
            click.echo(f"{case.name}: {'; '.join(contradictions(case)) or 'as expected'}")
        return
    judged = [Judged(case, ask(case.build(True)), ask(case.build(False))) for case in _progress(cases, "Faults")]
    if judged:
        _print(tools_table(judged), as_markdown, width)
        click.echo(f"\n{summary(judged)}\n")
    if judged and symptoms:
        _print(symptoms_table(judged), as_markdown, width)
    if controls:
        _print(controls_table([(one, ask(one.build())) for one in _progress(controls, "Controls")]), as_markdown, width)


def _chosen(name: str, beginnings: tuple[str, ...]) -> bool:
    return not beginnings or any(name.startswith(beginning) for beginning in beginnings)


def _progress(items: list[Any], text: str) -> Iterable[Any]:
    return track(items, text, console=Console(stderr=True), transient=True)


def _print(table: Table, as_markdown: bool, width: int) -> None:
    if as_markdown:
        click.echo(f"\n{markdown(table)}")
    else:
        Console(width=width).print(table)


if __name__ == "__main__":
    main()
