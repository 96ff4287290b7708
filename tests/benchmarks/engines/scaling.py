"""Seconds per replica against the number of replicas and against width, and what they are spent on."""

import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.benchmarks.engines.fresh import in_fresh_process
from tests.benchmarks.engines.markdown import markdown
from tests.benchmarks.engines.phases import PHASES, clocked
from tests.benchmarks.engines.problems import problem
from tests.benchmarks.engines.ways import compared, loop_of_fit

REPLICAS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
WIDTHS = (16, 64, 256, 1024)
_AT_WIDTH = 16  # replicas
_FALLS = 0.9  # a doubling that leaves more than this share of the time per replica is the end of the fall


@dataclass(frozen=True)
class Point:
    """One study, clocked.

    Attributes:
        problem: name of the model.
        title: what it is.
        replicas: how many were trained.
        stacks: in how many stacks.
        seconds: wall time per replica.
        phases: what it consists of, per replica.
        fit: seconds of a plain `fit` of the same model, or None where none was timed.
    """

    problem: str
    title: str
    replicas: int
    stacks: int
    seconds: float
    phases: dict[str, float]
    fit: float | None


def clocked_study(name: str, replicas: int, epochs: int, fits: int = 0) -> Point:
    """Train in this process; with `fits`, a loop of so many fits before and after."""
    chosen = problem(name)
    loop = loop_of_fit(chosen, range(fits), epochs).seconds
    with clocked() as clock:
        ours = compared(chosen, replicas, epochs)
    loop += loop_of_fit(chosen, range(fits, 2 * fits), epochs).seconds
    each = {phase: seconds / replicas for phase, seconds in clock.phases(ours.seconds[0]).items()}
    fit = statistics.fmean(loop) if loop else None
    return Point(name, chosen.title, replicas, clock.stacks, ours.per_replica, each, fit)


def over_replicas(quick: bool) -> Iterator[Point]:
    """Yield the digits MLP with more and more replicas, each study in a process of its own."""
    for replicas in (1, 4) if quick else REPLICAS:
        yield in_fresh_process(clocked_study, "mlp", replicas, 2 if quick else 20)


def over_widths(quick: bool) -> Iterator[Point]:
    """Yield MLPs with wider and wider hidden layers, beside `fit`, each in a process of its own."""
    for width in (16, 64) if quick else WIDTHS:
        replicas, epochs = (4, 2) if quick else (_AT_WIDTH, 20)
        yield in_fresh_process(clocked_study, f"mlp-{width}", replicas, epochs, 1)


def replicas_table(points: Sequence[Point]) -> str:
    """Return seconds per replica against their number."""
    rows = [[p.replicas, p.stacks, p.seconds, *(p.phases[phase] for phase in PHASES)] for p in points]
    return markdown(["replicas", "stacks", "s per replica", *PHASES], rows)


def widths_table(points: Sequence[Point]) -> str:
    """Return seconds per replica against the width, beside `fit`."""
    rows = [
        [p.title, p.replicas, p.stacks, p.fit, p.seconds, (p.fit or 0) / p.seconds, *p.phases.values()] for p in points
    ]
    header = ["model", "replicas", "stacks", "fit, s per replica", "compare, s per replica", "ratio", *PHASES]
    return markdown(header, rows)


def why_it_stops(points: Sequence[Point]) -> str:
    """Return in a sentence where the time per replica stops falling, and what is left there."""
    last = points[-1]
    for one, more in itertools.pairwise(points):
        if more.seconds > _FALLS * one.seconds:
            last = one
            break
    shares = {phase: last.phases[phase] / last.seconds for phase in PHASES}
    left = sorted(shares, key=lambda phase: -shares[phase])[:3]
    spent = ", ".join(f"{shares[phase]:.0%} {phase}" for phase in left)
    where = "It still falls at" if last is points[-1] else "It stops falling at"
    return (
        f"{where} {last.replicas} replicas ({last.seconds:.3g} s each): {spent}. Building, checking and compiling are "
        "paid once for all replicas of a stack; epochs and symmetry grow with their number, and are what is left. A "
        "stack has a largest size, and every further one is compiled anew."
    )
