"""The command line. Heavy modules are imported inside the commands, so that help and listings are instant."""

import contextlib
import dataclasses
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from keras_initkit import __version__

_EXPERIMENT = "initializers on digits"
_PLAIN_WIDTH = 110  # of tables in files and pipes, which have no width of their own


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keras-initkit")
def main() -> None:
    """Tell whether the initialisation of a Keras network lets it learn, and which one learns best.

    Exit codes: 0 done, 1 some replicas failed or a model cannot learn, 2 usage.
    """


@main.command()
@click.option("--model", metavar="MODULE:FUNCTION", help="build_model(kernel_initializer) -> compiled Keras model.")
@click.option("--data", metavar="FILE.npz|MODULE:FUNCTION", help="Arrays x, y (and x_val, y_val), or a function.")
@click.option("--initializers", metavar="LIST", help="E.g. 'zeros,he_normal,RandomNormal(stddev=0.01)'.")
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="Seeds per initializer.")
@click.option("--epochs", type=click.IntRange(min=1), default=20, show_default=True, help="Budget of every replica.")
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True, help="Samples per step.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "stacked", "sequential"]),
    default="auto",
    show_default=True,
    help="Replicas together as one program, or one by one through fit.",
)
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that train.")
@click.option("--target", metavar="TEXT", help="What counts as learned, e.g. 'val_accuracy >= 0.9'.")
@click.option("--experiment", default=_EXPERIMENT, show_default=True, help="MLflow experiment; '' for no tracking.")
@click.option("--resume/--no-resume", default=True, show_default=True, help="Read replicas that are in MLflow already.")
@click.option("--save", metavar="FILE.npz", help="Also save the results to a file.")
def compare(
    model: str | None,
    data: str | None,
    initializers: str | None,
    seeds: int,
    epochs: int,
    batch_size: int,
    engine: str,
    workers: int,
    target: str | None,
    experiment: str,
    resume: bool,
    save: str | None,
) -> None:
    """Train with each initializer and seed, print the ranked table, keep everything in MLflow.

    Without --model and --data: a small perceptron on scikit-learn's handwritten digits, nine initializers.
    """
    if (model is None) != (data is None):
        raise click.UsageError("Expected --model and --data together, or neither. Received: only one of them.")
    if experiment:
        from keras_initkit.tracking.writer import start_early

        start_early()  # another process loads MLflow while this one loads Keras
    with _quiet_imports():
        from rich.console import Console

        from keras_initkit.study import digits, sources
        from keras_initkit.study.executors import processes
        from keras_initkit.study.printing import print_table
        from keras_initkit.study.run import compare as run_study
    console = Console()
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    with _usage_errors():
        if save and not Path(save).absolute().parent.is_dir():
            raise ValueError(f"Expected `--save` to name a file in an existing folder. Received: {save!r}.")
        build_model = digits.build_model if model is None else sources.function_named("--model", model)
        (x, y), validation = digits.load() if data is None else sources.data_named(data)
        named = digits.initializers() if initializers is None else sources.initializers_named(initializers)
        console.print(
            f"Training {len(named)} initializers x {seeds} seeds, {epochs} epochs each"
            f"{' (handwritten digits, 64-64-64-10 perceptron)' if data is None else ''}."
        )
        with processes(workers) if workers > 1 else contextlib.nullcontext() as executor:
            results = run_study(
                build_model,
                x,
                y,
                validation_data=validation,
                initializers=named,
                seeds=seeds,
                epochs=epochs,
                batch_size=batch_size,
                engine=engine,
                executor=executor,
                target=target or (digits.TARGET if data is None else None),
                experiment=experiment or None,
                resume=resume,
                catch=(Exception,),
            )
    print_table(results, console)
    console.print(results.summary(), highlight=False)
    if results.engine:
        console.print(f"Trained: {results.engine}.", highlight=False)
    if save:
        console.print(f"Saved: {results.save(save)}")
    if results.url:
        console.print("\nOpen the comparison:  keras-initkit ui")
        console.print(f"and then: {results.url}", soft_wrap=True)
    sys.exit(1 if results.failed else 0)


@main.command()
@click.argument("model", metavar="MODEL.keras")
@click.option("--data", metavar="BATCH.npz", help="A batch: x and, for gradients, y; x_0, x_1, ... for several inputs.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "json", "html"]),
    default="text",
    show_default=True,
    help="How the report is written.",
)
@click.option("--output", metavar="FILE", type=click.Path(dir_okay=False, writable=True), help="File for the report.")
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@click.option("--import", "imports", metavar="MODULE", multiple=True, help="Module with own layers; may be repeated.")
@click.option("--unsafe", is_flag=True, help="Run Python code in the file (Lambda layers); only if you trust it.")
def inspect(
    model: str, data: str | None, form: str, output: str | None, strict: bool, imports: tuple[str, ...], unsafe: bool
) -> None:
    """Say whether a saved model can learn as it is initialised; nothing is trained.

    Symmetry needs the weights alone; --data adds what shows on a batch. Exit codes: 0 no error, 1 a layer cannot
    learn as built (with --strict: or there is a warning), 2 usage, or a model that cannot be loaded.
    """
    if output and not Path(output).absolute().parent.is_dir():
        raise click.UsageError(f"Expected `--output` to name a file in an existing folder. Received: {output!r}.")
    with _quiet_imports():
        from keras_initkit.inspection.batch_file import load_batch
        from keras_initkit.inspection.inspect import inspect as inspect_model
        from keras_initkit.inspection.model_file import load_model_file
    # What modules of the user print is no part of the report.
    with _usage_errors(), contextlib.redirect_stdout(sys.stderr):
        loaded, notes = load_model_file(model, imports=imports, unsafe=unsafe)
        x, y = load_batch(data, loaded) if data else (None, None)
        report = inspect_model(loaded, x, y)
    report = dataclasses.replace(report, notes=(*notes, *report.notes))
    text = {
        "text": report.__str__,
        "markdown": report.to_markdown,
        "json": lambda: json.dumps(report.to_dict(), indent=2, allow_nan=False),
        "html": report.to_html,
    }[form]().rstrip("\n")
    if output:
        Path(output).write_text(f"{text}\n", "utf-8")
        click.echo(f"Written: {output}")
    else:
        click.echo(text)
    sys.exit(1 if report.at_least("warning" if strict else "error") else 0)


@main.command("list")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--format", "form", type=click.Choice(["text", "markdown"]), default="text", show_default=True)
def list_initializers(names: tuple[str, ...], form: str) -> None:
    """Show every initializer, or those named: values, use, layers, what the tests hold it to, and its paper.

    In a file or pipe each has one line.
    """
    from rich.console import Console
    from rich.table import Table

    from keras_initkit._checks import check_choice
    from keras_initkit._registry import ROWS
    from keras_initkit._registry.markdown import markdown

    known = {name: row for row in ROWS for name in (row.name, row.alias)}
    try:
        rows = [known[check_choice("NAME", name, known)] for name in names] or ROWS
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if form == "markdown":
        click.echo(markdown(rows))
        return
    console = Console()
    if not console.is_terminal:
        console.width = 6 * _PLAIN_WIDTH  # one line each, for grep
    table = Table(pad_edge=False, box=None)
    for title in ("name", "from", "values", "use", "layers", "guarantee", "paper"):
        table.add_column(title, overflow="fold")  # links are wrapped, not cut
    for row in rows:
        layers = ", ".join(row.layers).replace("_", " ")
        table.add_row(row.name, row.source, row.formula, row.use, layers, row.guarantee, row.reference)
    if names and console.is_terminal:
        table = _records(table)
    console.print(table)


def _records(table: Any) -> Any:
    """Return a table with a line for each cell, for terminals too narrow for all columns."""
    from rich.table import Table

    columns = [(str(column.header), list(column.cells)) for column in table.columns]
    records = Table(show_header=False, pad_edge=False, box=None)
    records.add_column(style="bold")
    records.add_column(overflow="fold")
    for number in range(table.row_count):
        for title, cells in columns:
            records.add_row(title, cells[number])
        records.add_row()
    return records


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port to listen on.")
def ui(host: str, port: int) -> None:
    """Serve the MLflow UI on the store in use, and print the links that open with the charts of the kit."""
    with _quiet_imports():
        from keras_initkit.tracking.server import comparison_links, serve
        from keras_initkit.tracking.store import connect
    with _usage_errors(), _exit_on_sigterm():
        client = connect()
        click.echo(f"Starting the MLflow UI on {client.tracking_uri} ...")
        with serve(host=host, port=port) as address:
            links = comparison_links(client, address)
            for link in links:
                click.echo(f"{link.experiment} · {link.view}:\n  {link.url}")
            if not links:
                click.echo(f"{address}\nThere is no comparison in this store yet; `keras-initkit compare` makes one.")
            click.echo("Press Ctrl-C to stop.")
            with contextlib.suppress(KeyboardInterrupt):
                _wait_forever()
            click.echo("Stopped.")


@contextlib.contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """End the block properly if the process is told to end, so that the server it started ends with it."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait_forever() -> None:
    import threading

    threading.Event().wait()


@contextlib.contextmanager
def _usage_errors() -> Iterator[None]:
    """Turn the kit's errors about arguments, stores, ports and studies that are running into one line, exit code 2."""
    from keras_initkit.tracking.errors import TrackingError

    try:
        yield
    except (ValueError, TypeError, RuntimeError, TrackingError) as error:
        # The kit's own messages say what was expected; anything else is a fault with a traceback.
        if not str(error).startswith("Expected"):
            raise
        raise click.UsageError(str(error)) from error


@contextlib.contextmanager
def _quiet_imports() -> Iterator[None]:
    """Keep what TensorFlow prints while it is loaded off the terminal, unless loading fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as noise:
        os.dup2(noise.fileno(), 2)
        try:
            yield
        except BaseException:
            noise.seek(0)
            os.write(kept, noise.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
