"""Prints the benchmark: `python -m tests.benchmarks.faults [CASE ...]`, from the root of a checkout."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
from rich.console import Console
from rich.progress import track

from tests.benchmarks.faults import CASES, CONTROLS
from tests.benchmarks.faults.answers import ask
from tests.benchmarks.faults.table import Judged, controls_table, summary, symptoms_table, tools_table
from tests.benchmarks.faults.truth import contradictions


@click.command()
@click.argument("names", nargs=-1, metavar="[CASE ...]")
@click.option("--list", "only_list", is_flag=True, help="Print the names and sources of all cases and stop.")
@click.option("--no-controls", is_flag=True, help="Leave out the negative controls.")
@click.option("--symptoms", is_flag=True, help="Print the losses with and without the fault too.")
@click.option("--check", is_flag=True, help="Train every faulty program and compare its weights with what is expected.")
@click.option("--width", default=230, show_default=True, help="Columns of the terminal or file.")
def main(names: tuple[str, ...], only_list: bool, no_controls: bool, symptoms: bool, check: bool, width: int) -> None:
    """Print what four published tools and keras-initkit say about initialisation faults of Keras programs.

    CASE is a name or the beginning of one, e.g. `M1` or `F-`; all cases by default.
    """
    console = Console(width=width)
    unknown = [name for name in names if not any(known.startswith(name) for known in [*CASES, *CONTROLS])]
    if unknown:
        raise click.UsageError(f"Expected names of cases. Received: {', '.join(unknown)}. See --list.")
    cases = [case for case in CASES.values() if _chosen(case.name, names)]
    controls = [] if no_controls else [one for one in CONTROLS.values() if _chosen(one.name, names)]
    if only_list:
        for case in cases:
            console.print(f"{case.name}: {case.title}. {case.source}", markup=False)
        for one in controls:
            console.print(f"{one.name}: {one.title}", markup=False)
        return
    if check:
        for case in track(cases, console=console, transient=True):
            console.print(f"{case.name}: {'; '.join(contradictions(case)) or 'as expected'}", markup=False)
        return
    judged = [
        Judged(case, ask(case.build(True)), ask(case.build(False)))
        for case in track(cases, "Faults", console=console, transient=True)
    ]
    if judged:
        console.print(tools_table(judged))
        console.print(summary(judged), markup=False)
    if judged and symptoms:
        console.print(symptoms_table(judged))
    if controls:
        said = [(one, ask(one.build())) for one in track(controls, "Controls", console=console, transient=True)]
        console.print(controls_table(said))


def _chosen(name: str, beginnings: tuple[str, ...]) -> bool:
    return not beginnings or any(name.startswith(beginning) for beginning in beginnings)


main()
