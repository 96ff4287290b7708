"""What is kept of one replica: curves, symmetry, numbers, or the error that ended it."""

from dataclasses import asdict, dataclass, field
from typing import Any

# From worst to best; the verdict of a replica is that of its worst layer.
_SEVERITY = ("exploding", "dead", "locked", "vanishing", "saturated", "plateau", "twins", "transient", "redundant")


@dataclass(frozen=True)
class Replica:
    """The record of one (initializer, seed) pair.

    Attributes:
        initializer: name of the initializer in the study.
        seed: its seed.
        status: `"finished"` or `"failed"`.
        error: the error's type and text, empty if there was none.
        seconds: time from building the model to the last epoch; of replicas trained together each has its share.
        curves: metric name -> values, epoch 0 first.
        symmetry: rows of `SymmetryMonitor`.
        metrics: numbers of the monitored curve, see `convergence_metrics`.
        initial_state: what each layer was initialised with.
        run_id: MLflow run, empty if nothing was tracked.
    """

    initializer: str
    seed: int
    status: str = "finished"
    error: str = ""
    seconds: float = 0.0
    curves: dict[str, list[float]] = field(default_factory=dict)
    symmetry: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    initial_state: dict[str, Any] = field(default_factory=dict)
    run_id: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Replica":
        """Return the record that `to_dict` described."""
        return cls(**data)

    def symmetry_at(self, epoch: int) -> list[dict[str, Any]]:
        """Return the rows of one epoch; -1 is the last measured one."""
        epochs = sorted({row["epoch"] for row in self.symmetry})
        if not epochs:
            return []
        wanted = epochs[-1] if epoch == -1 else epoch
        return [row for row in self.symmetry if row["epoch"] == wanted]

    @property
    def has_dead_layer(self) -> bool:
        """Whether all units of some hidden layer are dead in the end, so that nothing passes."""
        return any(row["dead"] == row["units"] for row in self.symmetry_at(-1))

    @property
    def verdict(self) -> str:
        """The verdict at the last measured epoch: of the worst layer, or both if units are locked and dead."""
        return worst_verdict(self.symmetry_at(-1))


def worst_verdict(rows: list[dict[str, Any]]) -> str:
    """Return the verdict of the worst layer of one epoch, `"unknown"` if no layer was measured.

    A layer of zeros is both locked and dead; the verdict then names both.
    """
    if not rows:
        return "unknown"
    verdicts = {row["verdict"] for row in rows}
    found = [name for name in ("locked", "dead") if any(row[name] > 0 for row in rows)]
    if found and "exploding" not in verdicts:
        return ", ".join(found)
    worst = next((name for name in _SEVERITY if name in verdicts), None)
    if worst is not None:
        return worst
    return "healthy" if "healthy" in verdicts else "uninformative"
