"""Keras' progress line prints all of `logs`; with symmetry of every layer it would fill the screen."""

from collections.abc import Callable, Iterable
from typing import Any

import keras

# What can stop a model from learning is worth the space.
SHOWN = ("symmetry/locked", "symmetry/dead")


class ShortenedLine:
    """Calls `ProgbarLogger.on_epoch_end` with those `logs` that a line has room for.

    Args:
        print_line: the bound method.
    """

    def __init__(self, print_line: Callable[..., None]):
        self._print_line = print_line

    def __call__(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Print the line."""
        logs = {key: value for key, value in (logs or {}).items() if not key.startswith("symmetry/") or key in SHOWN}
        self._print_line(epoch, logs)


def shorten_progress_line(callbacks: Iterable[Any]) -> None:
    """Leave all keys of the monitor but `SHOWN` out of the progress lines; `logs` and other callbacks keep them."""
    for callback in callbacks:
        shortened = isinstance(vars(callback).get("on_epoch_end"), ShortenedLine)
        if isinstance(callback, keras.callbacks.ProgbarLogger) and not shortened:
            callback.on_epoch_end = ShortenedLine(callback.on_epoch_end)
