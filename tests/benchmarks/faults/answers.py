"""What keras-initkit says about a program: before training, with one batch, and after the first epoch."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras_initkit as ik
from tests.benchmarks.faults.case import FaultCase, Program

SEVERITIES = ("error", "warning", "info", "none")


@dataclass(frozen=True)
class Statement:
    """One verdict on one layer, with its severity, "none" for a layer about which nothing was found."""

    layer: str
    verdict: str
    severity: str


@dataclass(frozen=True)
class Answer:
    """All that was said about one program.

    Attributes:
        weights: statements of `inspect(model)`.
        batch: statements of `inspect(model, x, y)` with one batch.
        monitor: verdict of SymmetryMonitor by layer, at epochs 0 and 1; empty if the program was not trained.
        losses: the loss before training and after the last epoch; empty if it was not trained.
        seconds: time of the inspection with one batch.
    """

    weights: frozenset[Statement]
    batch: frozenset[Statement]
    monitor: tuple[dict[str, str], ...]
    losses: tuple[float, ...]
    seconds: float

    def faulty(self) -> list[Statement]:
        """Return what was said with severity error or warning before training."""
        said = [statement for statement in self.weights | self.batch if statement.severity in ("error", "warning")]
        return sorted(said, key=lambda statement: (statement.layer, statement.verdict, statement.severity))

    def errors(self) -> list[Statement]:
        """Return what was said with severity error before training."""
        return [statement for statement in self.faulty() if statement.severity == "error"]


def ask(program: Program, *, train: bool = True) -> Answer:
    """Inspect a program without and with one batch, then, with `train`, train it and watch."""
    weights = _statements(ik.inspect(program.model))
    started = time.perf_counter()
    batch = _statements(ik.inspect(program.model, *program.first_batch()))
    seconds = time.perf_counter() - started
    monitor, losses = ((), ()) if not train else watched_training(program)
    return Answer(weights, batch, monitor, losses, seconds)


def watched_training(program: Program) -> tuple[tuple[dict[str, str], ...], tuple[float, ...]]:
    """Train a program; return the monitor's verdicts at epochs 0 and 1, and the losses before and after."""
    before = program.model.evaluate(program.x, program.y, batch_size=256, verbose=0, return_dict=True)["loss"]
    monitor = ik.SymmetryMonitor(on_locked="ignore", log=False)
    try:
        history = program.model.fit(program.x, program.y, verbose=0, callbacks=[monitor], **program.fit)
    except ValueError as error:  # models without hidden layers cannot be watched
        if "hidden" not in str(error):
            raise
        history = program.model.fit(program.x, program.y, verbose=0, **program.fit)
    return verdicts(monitor), (before, history.history["loss"][-1])


def verdicts(monitor: ik.SymmetryMonitor) -> tuple[dict[str, str], ...]:
    """Return the verdicts of all layers at epochs 0 and 1."""
    return tuple({row["layer"]: row["verdict"] for row in monitor.rows if row["epoch"] == epoch} for epoch in (0, 1))


def _statements(inspection: Any) -> frozenset[Statement]:
    findings = {Statement(found.layer, found.verdict, found.severity) for found in inspection.findings}
    rows = {Statement(row["layer"], row["verdict"], row["severity"] or "none") for row in inspection.rows}
    return frozenset(findings | rows)


def about(names: str, statements: Iterable[Statement]) -> list[Statement]:
    """Return the statements about one of the layers joined by `|`, or about a part of it."""
    layers = names.split("|")
    return [one for one in statements if any(f"{one.layer}/".startswith(f"{name}/") for name in layers)]


def missed(case: FaultCase, statements: frozenset[Statement]) -> list[str]:
    """Return what the statements do not say of the faulty layers, or say wrongly."""
    wrong = []
    for names, allowed in case.expected.items():
        said = about(names, statements)
        if not any(one.verdict in allowed and one.severity in case.severities for one in said):
            heard = ", ".join(f"{one.layer}: {one.verdict} ({one.severity})" for one in said) or "nothing"
            wrong.append(f"{names}: expected {' or '.join(sorted(allowed))}, heard {heard}")
    if "error" not in case.severities:
        wrong += [f"{one.layer}: {one.verdict} is no error here" for one in statements if one.severity == "error"]
    return wrong


def seen_by_monitor(case: FaultCase, monitor: tuple[dict[str, str], ...]) -> bool:
    """Return whether the monitor names every faulty layer, with a right verdict, at epoch 0 or 1."""
    return bool(case.expected) and all(
        any(verdicts.get(name) in allowed for verdicts in monitor for name in names.split("|"))
        for names, allowed in case.expected.items()
    )
