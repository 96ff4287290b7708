"""Where the time of `compare` goes: a clock around the engine's own functions, which stay as they are."""

import pkgutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np

PHASES = ("building", "checking", "compiling", "epochs", "symmetry", "rest")
_STUDY = "keras_initkit.study"
# Where a function lives, its name, and its phase. What it does itself counts, not what others of these do within it.
_WATCHED = (
    (f"{_STUDY}.engines.group:Training", "build_here", "building"),
    (f"{_STUDY}.engines.stacked:StackedEngine", "_kinds", "building"),
    (f"{_STUDY}.identity:StudyIdentity", "of", "checking"),
    (f"{_STUDY}.data:StudyData", "metric_names", "checking"),
    (f"{_STUDY}.engines.stack", "first_step_differs", "checking"),
    (f"{_STUDY}.engines.stack:Computation", "__init__", "compiling"),
    (f"{_STUDY}.engines.stack:Stack", "__init__", "compiling"),
    (f"{_STUDY}.engines.stack:Stack", "_evaluate_before_training", "compiling"),
    (f"{_STUDY}.engines.stack:Stack", "_train_epoch", "epochs"),
    (f"{_STUDY}.engines.group_symmetry:GroupSymmetry", "__init__", "symmetry"),
    (f"{_STUDY}.engines.group_symmetry:GroupSymmetry", "measure", "symmetry"),
    (f"{_STUDY}.engines.group_symmetry:GroupSymmetry", "pictures", "symmetry"),
)
_STACK_BEGINS = ("compiling", "__init__")


class Clock:
    """Collects what was called in which order, and how long it took."""

    def __init__(self) -> None:
        self._calls: list[tuple[str, str, float]] = []
        self._inside = [0.0]  # seconds of watched calls within each call that is running

    def watched(self, function: Callable[..., Any], phase: str) -> Callable[..., Any]:
        """Return the function, timed."""

        def timed(*arguments: Any, **options: Any) -> Any:
            self._inside.append(0.0)
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                seconds = time.perf_counter() - started
                self._calls.append((phase, function.__name__, seconds - self._inside.pop()))
                self._inside[-1] += seconds

        return timed

    def phases(self, total: float) -> dict[str, float]:
        """Return the seconds of each phase, and as rest what is left of the total.

        What the first epoch of a stack takes longer than the median of the others is compiling.
        """
        seconds = dict.fromkeys(PHASES, 0.0)
        for phase, _, took in self._calls:
            seconds[phase] += took
        for epochs in self._epochs_of_stacks():
            if len(epochs) > 1:
                more = max(0.0, epochs[0] - float(np.median(epochs[1:])))
                seconds["compiling"] += more
                seconds["epochs"] -= more
        return seconds | {"rest": total - sum(seconds.values())}

    def _epochs_of_stacks(self) -> list[list[float]]:
        stacks: list[list[float]] = []
        for phase, function, took in self._calls:
            if (phase, function) == _STACK_BEGINS:
                stacks.append([])
            elif phase == "epochs":
                stacks[-1].append(took)
        return stacks

    @property
    def stacks(self) -> int:
        """How many stacks were trained."""
        return len(self._epochs_of_stacks())


@contextmanager
def clocked() -> Iterator[Clock]:
    """Time the engine's functions within the block."""
    clock = Clock()
    with ExitStack() as changes:
        for path, name, phase in _WATCHED:
            owner = pkgutil.resolve_name(path)
            changes.enter_context(mock.patch.object(owner, name, clock.watched(getattr(owner, name), phase)))
        yield clock
