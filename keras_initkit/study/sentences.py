"""The result of a study in plain sentences."""

import math
from typing import TYPE_CHECKING, Any

from keras_initkit.study.record import Replica

if TYPE_CHECKING:
    from keras_initkit.study.results import StudyResults

_MEANING = {
    "locked, dead": "hidden units are copies of each other and no gradient moves them: {detail}",
    "dead": "units get no gradient and cannot recover: {detail}",
    "locked": "hidden units are copies of each other and stay copies: {detail}",
    "exploding": "the weights became infinite",
    "plateau": "units are almost copies of each other",
    "transient": "units started alike and separate",
    "uninformative": "too few inputs or units to judge their similarity",
    "unknown": "no hidden layer whose units are known",
    "healthy": "hidden units differ",
}


def summary_sentences(results: "StudyResults") -> list[str]:
    """Return a line on the target and one per initializer, the best first."""
    lines = [f"Target: {results.target} ({results.target_source}); budget: {results.budget} epochs."]
    table = results.table()
    for row in table.to_dict("records"):
        records = [r for r in results.records if r.initializer == row["initializer"] and r.status == "finished"]
        lines.append(f"{row['initializer']}: {_learning(row, results.budget)}; {_symmetry(row, records)}.")
    if results.failed:
        first = results.failed[0]
        lines.append(
            f"{len(results.failed)} replica(s) failed, the first {first.initializer} with seed {first.seed}: "
            f"{first.error}"
        )
    return lines


def _learning(row: dict[Any, Any], budget: int) -> str:
    if not row["replicas"]:
        return "every replica failed"
    reached = round(row["reached"] * row["replicas"])
    of = f"{reached} of {row['replicas']} seeds"
    diverged = f", {row['diverged']} diverged" if row["diverged"] else ""
    if row["learns"] == "met at start":
        return f"the target is met before training{diverged}"
    if reached:
        interval = ""
        if not math.isnan(row["epochs_to_target_low"]):
            interval = (
                f" (95 % interval {max(row['epochs_to_target_low'], 0):.1f} to {row['epochs_to_target_high']:.1f})"
            )
        return f"{of} reach the target, on average after {row['epochs_to_target']:.1f} epochs{interval}{diverged}"
    return f"no seed reaches the target in {budget} epochs{diverged}"


def _symmetry(row: dict[Any, Any], records: list[Replica]) -> str:
    if not records:
        return "nothing was measured"
    if row["verdict"] == "healthy" and row["learns"] == "no" and not any(_loss_moves(record) for record in records):
        return (
            "hidden units differ, but the loss hardly moves: the weights may be too small or too large to pass a signal"
        )
    return _MEANING.get(row["verdict"], row["verdict"]).format(detail=_lock_detail(records))


def _loss_moves(record: Replica) -> bool:
    """Return whether the training loss falls by a tenth of its value before training."""
    finite = [value for value in record.curves["loss"] if math.isfinite(value)]
    return bool(finite) and finite[0] - min(finite) > 0.1 * abs(finite[0])


def _lock_detail(records: list[Replica]) -> str:
    start = [row for record in records for row in record.symmetry_at(0)]
    end = [row for record in records for row in record.symmetry_at(-1)]
    before, after = (
        sum(row["locked"] for row in rows if math.isfinite(row["locked"])) / max(len(records), 1)
        for rows in (start, end)
    )
    units = sum(row["units"] for row in end) / max(len(records), 1)
    return f"{before:.0f} of {units:.0f} units locked before training, {after:.0f} after it"
