"""`compare` beside a loop of `fit`, in one process: fits before and after it, so that the machine's load hits both."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tests.benchmarks.engines.fresh import in_fresh_process
from tests.benchmarks.engines.markdown import markdown
from tests.benchmarks.engines.problems import problem
from tests.benchmarks.engines.ways import compared, disagreement, loop_of_fit


@dataclass(frozen=True)
class Goal:
    """A row of the table and how many times faster it has to be, on each backend that has a goal."""

    problem: str
    replicas: int
    times: dict[str, int]
    aim: str = ""


GOALS = (
    Goal("mlp", 32, {"tensorflow": 25, "jax": 10}),
    Goal("mlp", 128, {"tensorflow": 40, "jax": 10}, aim=", aim 80"),
    Goal("convolutions", 32, {"tensorflow": 5}),
    Goal("attention", 32, {"tensorflow": 10}),
    Goal("lstm", 32, {"tensorflow": 10}),
)


@dataclass(frozen=True)
class Speed:
    """Seconds per replica of both ways.

    Attributes:
        problem: name of the model.
        title: what it is.
        replicas: how many `compare` trained.
        fits: seconds of each fit of the loop, in order; the first also starts the backend.
        ours: seconds per replica of `compare`, all it does included.
        fit_loss: mean training loss after the last epoch, over the fits.
        loss: the same over the replicas.
        engine: what `compare` says of how they were trained.
        disagreement: how the results differ, empty if they do not; then the times cannot be compared.
        goal: what the ratio has to be.
    """

    problem: str
    title: str
    replicas: int
    fits: list[float]
    ours: float
    fit_loss: float
    loss: float
    engine: str
    disagreement: str
    goal: str = "-"

    @property
    def ratio(self) -> float:
        """Mean time of a fit over the time of a replica."""
        return statistics.fmean(self.fits) / self.ours

    @property
    def steady_ratio(self) -> float:
        """The same with the median fit, which forgets what only the first one pays."""
        return statistics.median(self.fits) / self.ours


def measured(name: str, replicas: int, epochs: int, fits: int) -> Speed:
    """Time `fits` seeds of a loop, `compare`, and the next `fits` seeds of the loop, in this process."""
    chosen = problem(name)
    before = loop_of_fit(chosen, range(fits), epochs)
    ours = compared(chosen, replicas, epochs)
    loop = before.joined(loop_of_fit(chosen, range(fits, 2 * fits), epochs))
    return Speed(
        problem=name,
        title=chosen.title,
        replicas=replicas,
        fits=loop.seconds,
        ours=ours.per_replica,
        fit_loss=statistics.fmean(loop.losses),
        loss=statistics.fmean(ours.losses),
        engine=ours.engine,
        disagreement=disagreement(loop, ours),
        goal=_goal(name, replicas),
    )


def speeds(quick: bool) -> Iterator[Speed]:
    """Yield every row of the table, each from a process of its own; in short form for `quick`."""
    for goal in GOALS[:1] + GOALS[2:] if quick else GOALS:
        replicas, epochs, fits = (4, 2, 1) if quick else (goal.replicas, 20, 3)
        yield in_fresh_process(measured, goal.problem, replicas, epochs, fits)


def speed_table(rows: Sequence[Speed]) -> str:
    """Return the table."""
    header = (
        "model", "replicas", "fit, s per replica", "compare, s per replica", "ratio", "ratio to the median fit", "goal",
        "final loss: fit, compare", "engine",
    )  # fmt: skip
    return markdown(header, [_row(row) for row in rows])


def _row(row: Speed) -> list[Any]:
    losses = f"{row.fit_loss:.3g}, {row.loss:.3g}" + (f": NOT THE SAME, {row.disagreement}" if row.disagreement else "")
    seconds = (statistics.fmean(row.fits), row.ours, row.ratio, row.steady_ratio)
    return [row.title, row.replicas, *seconds, row.goal, losses, row.engine]


def _goal(name: str, replicas: int) -> str:
    backend = keras.backend.backend()
    for goal in GOALS:
        if (goal.problem, goal.replicas) == (name, replicas) and backend in goal.times:
            return f"{goal.times[backend]}{goal.aim if backend == 'tensorflow' else ''}"
    return "-"
