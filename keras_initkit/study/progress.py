"""Progress of a study on the terminal."""

import sys
from datetime import timedelta
from types import TracebackType
from typing import Any

from keras_initkit._checks import describe


class StudyProgress:
    """A bar over all epochs of all replicas, on standard error; silent if it is not wanted.

    Args:
        verbose: 0, 1, or `"auto"`: a bar if standard error is a terminal.
        total: number of epochs of all replicas together.
    """

    def __init__(self, verbose: str | int, total: int):
        if isinstance(verbose, bool) or verbose not in (0, 1, "auto"):
            raise ValueError(f'Expected `verbose` to be 0, 1 or "auto". Received: verbose={describe(verbose)}.')
        self._bar: Any = None
        if verbose == 1 or (verbose == "auto" and sys.stderr.isatty()):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total} epochs"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task("", total=total)
        self._done = 0

    def __enter__(self) -> "StudyProgress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def name(self, text: str) -> None:
        """Say what is being trained."""
        if self._bar:
            self._bar.update(self._task, description=text)

    def epochs(self, count: int) -> None:
        """Count epochs."""
        self._done += count
        if self._bar:
            self._bar.update(self._task, completed=self._done)

    def estimate(self, seconds: float, groups: int) -> None:
        """Tell after the first group about how long the others will take."""
        if self._bar:
            about = timedelta(seconds=round(seconds * groups))
            self._bar.console.print(f"The first group took {seconds:.0f} s; about {about} for the {groups} left.")

    def reached(self, epochs: int) -> None:
        """Set the count, after replicas that stopped early, failed or were known."""
        self._done = epochs
        if self._bar:
            self._bar.update(self._task, completed=epochs)
