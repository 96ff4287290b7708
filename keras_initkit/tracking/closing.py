"""Which status a run ends with, and the net that ends runs whose process ends first."""

import atexit
import os
import sys
from typing import Protocol


class Closable(Protocol):
    """Something that is open until `finish` is called."""

    def finish(self, status: str) -> None:
        """End it with `"FINISHED"`, `"FAILED"` or `"KILLED"`."""


_open_runs: dict[int, tuple[int, Closable]] = {}


def status_of(error: BaseException | None) -> str:
    """Return the status that fits how a block ended.

    `"FINISHED"` without an error, `"KILLED"` if it was stopped from outside (`KeyboardInterrupt`, `SystemExit`),
    `"FAILED"` for every other error.
    """
    if error is None:
        return "FINISHED"
    return "KILLED" if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit)) else "FAILED"


def watch(run: Closable) -> None:
    """End `run` when the process ends, unless `forget` was called before."""
    _open_runs[id(run)] = (os.getpid(), run)


def forget(run: Closable) -> None:
    """Take `run` out of the net."""
    _open_runs.pop(id(run), None)


@atexit.register
def _close_open_runs() -> None:
    """End what is still open: nobody said that it came to its end, so it is never `"FINISHED"`.

    An interrupt that ended the process is found in `sys.last_value`. Runs opened before a fork belong to the parent.
    """
    interrupted = isinstance(getattr(sys, "last_value", None), KeyboardInterrupt)
    for pid, run in list(_open_runs.values()):
        if pid == os.getpid():
            run.finish("KILLED" if interrupted else "FAILED")
