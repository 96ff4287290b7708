"""What happened to the units of a layer between two measurements, and how late collapses are reported."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# What an event says, in the order of severity; the figure marks them, the summary names them.
EVENTS = {
    "exploded": "some weights became NaN or infinite",
    "died": "units get no gradient any more and cannot recover",
    "collapsed": "units that differed at a former measurement are equal now",
    "locked": "units that were equal all along turned out to be locked",
    "condensed": "units came so close that separation takes long",
    "revived": "dead units get a gradient again",
    "unlocked": "locked units came apart",
    "escaped": "units that were nearly equal differ now",
    "separated": "units with equal incoming weights differ now",
}
# Verdicts of layers whose units differ.
SOUND = ("healthy", "plateau", "uninformative")
_ALIKE = ("transient", "redundant")


@dataclass(frozen=True)
class SymmetryEvent:
    """A change of one layer that a measurement found.

    Attributes:
        epoch: the label of the measurement, as in the rows: the epoch, or the step given to `measure`.
        layer: path of the layer.
        what: one of the keys of `EVENTS`, e.g. `"unlocked"`.
        before: number of units concerned at the measurement before: locked ones, dead ones, or copies (units less
            distinct ones) where neither number changed.
        after: the same number now.
    """

    epoch: float
    layer: str
    what: str
    before: int
    after: int


def layer_events(before: dict[str, Any], after: dict[str, Any], most_distinct: float) -> list[SymmetryEvent]:
    """Return what happened to a layer between two rows of `SymmetryMonitor.rows`.

    Args:
        before: row of the layer at the measurement before.
        after: its row now.
        most_distinct: largest number of distinct units that it had at any measurement before.

    Returns:
        The events; at most one about locked and one about dead units, or one about anything else.
    """

    def event(what: str, was: float, now: float) -> SymmetryEvent:
        return SymmetryEvent(after["epoch"], after["layer"], what, int(was), int(now))

    old, new = before["verdict"], after["verdict"]
    if "exploding" in (old, new):
        return [] if old == "exploding" else [event("exploded", 0, after["units"])]
    fewer_distinct = after["distinct"] < most_distinct
    found = []
    if after["locked"] != before["locked"]:
        grown = "collapsed" if fewer_distinct else "locked"
        found.append(event(_which(before, after, "locked", grown, "unlocked"), before["locked"], after["locked"]))
    if after["dead"] != before["dead"]:
        found.append(event(_which(before, after, "dead", "died", "revived"), before["dead"], after["dead"]))
    copies = before["units"] - before["distinct"], after["units"] - after["distinct"]
    if not found and new in _ALIKE and old in SOUND and fewer_distinct:
        found.append(event("collapsed", *copies))
    if not found and new in SOUND and old in _ALIKE:
        found.append(event("separated", *copies))
    if not found and "plateau" in (old, new) and old != new and {old, new} <= set(SOUND):
        found.append(event("condensed" if new == "plateau" else "escaped", *copies))
    return found


def _which(before: dict[str, Any], after: dict[str, Any], count: str, grown: str, shrunk: str) -> str:
    return grown if after[count] > before[count] else shrunk


def collapse_message(events: Iterable[SymmetryEvent], rows: dict[str, dict[str, Any]], when: str) -> str:
    """Return the warning for layers that were sound and are not any more: which, since when, what to change.

    Args:
        events: events `"collapsed"` and `"died"`.
        rows: the present row of each layer.
        when: time of the measurement, such as `"after epoch 7"`.
    """
    fallen = list(events)
    lines = [f"{len(fallen)} hidden layer(s) lost units during training, measured {when}:"]
    for event in fallen:
        row = rows[event.layer]
        if event.what == "died":
            lines.append(
                f"  {event.layer}: {row['dead']} of {row['units']} units died: they learned before, get no gradient "
                "any more, and their weights are zero or the same as those of another unit. Try a smaller learning "
                "rate, or weaker weight decay."
            )
            continue
        state = f"{row['locked']} of {row['units']} units are locked" if row["locked"] else "not locked"
        lines.append(
            f"  {event.layer}: its units collapsed: {row['distinct']} of {row['units']} are distinct now ({state}); "
            "they differed before. Strong gradient noise and weight decay can draw units together. Try a smaller "
            "learning rate, larger batches, or weaker weight decay."
        )
    return "\n".join(lines)
