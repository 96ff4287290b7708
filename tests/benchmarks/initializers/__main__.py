"""Prints the table: `python -m tests.benchmarks.initializers [--quick] [--only PART]`, from the root of a checkout."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click

from tests.benchmarks.initializers import adding, deep_relu, deterministic

_PARTS = {"deep_relu": deep_relu.rows, "adding": adding.rows, "deterministic": deterministic.rows}


@click.command()
@click.option("--quick", is_flag=True, help="A few steps: does everything run? The numbers mean nothing.")
@click.option("--only", "parts", multiple=True, type=click.Choice(list(_PARTS)), help="A part. All by default.")
def main(quick: bool, parts: tuple[str, ...]) -> None:
    """Train what the papers trained, in small: about ten minutes on two cores."""
    click.echo("| training | published | here |\n|---|---|---|")
    for name in parts or _PARTS:
        for row in _PARTS[name](quick):
            click.echo(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
