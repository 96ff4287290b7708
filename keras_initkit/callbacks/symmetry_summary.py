"""The story of every layer as one plain sentence."""

import math
from itertools import groupby
from typing import Any

from keras_initkit.callbacks.lock_gaps import LockedUnits
from keras_initkit.callbacks.symmetry_events import SymmetryEvent
from keras_initkit.callbacks.symmetry_record import SymmetryRecord
from keras_initkit.symmetry.separation import SATURATED, growth_rate, steps_until_apart

_COUNTED = {"locked": "locked", "dead": "dead"}


def summarise(record: SymmetryRecord) -> str:
    """Return one line per layer: what it was at first, what happened when, what it is now, how a lock holds."""
    return "\n".join(_layer_line(layer, record) for layer in record.latest)


def _layer_line(layer: str, record: SymmetryRecord) -> str:
    rows = [row for row in record.rows if row["layer"] == layer]
    events = [event for event in record.events if event.layer == layer]
    first, last, unit = rows[0], rows[-1], record.unit
    verdicts = {row["verdict"] for row in rows}
    if len(rows) > 1 and not events and len(verdicts) == 1:
        story = [f"{first['verdict']} from {unit} {first['epoch']:g} to {last['epoch']:g}{_units(first)}"]
    else:
        story = [f"{first['verdict']} at {unit} {first['epoch']:g}{_units(first)}", *_happenings(events, unit)]
        if len(rows) > 1:
            same = " still" if last["verdict"] == first["verdict"] else ""
            story.append(f"{same.strip()} {last['verdict']} at {unit} {last['epoch']:g}{_units(last)}".strip())
    locked = record.gaps.layers.get(layer)
    holding = "" if locked is None or "locked" not in verdicts else describe_lock(locked, unit)
    return f"{layer}: {', '.join(story)}{'; ' if holding else ''}{holding}"


def _units(row: dict[str, Any]) -> str:
    count = _COUNTED.get(row["verdict"])
    return f" ({row[count]} of {row['units']} units)" if count else ""


def _happenings(events: list[SymmetryEvent], unit: str) -> list[str]:
    """Return the events as text; the same thing time after time is said once."""
    texts = []
    for what, same in groupby(events, key=lambda event: event.what):
        run = list(same)
        first, last = run[0], run[-1]
        when = f"at {unit} {first.epoch:g}"
        if len(run) > 1:
            when = f"from {unit} {first.epoch:g} to {last.epoch:g}"
        count = "" if first.before == last.after or what == "exploded" else f" ({first.before} -> {last.after} units)"
        texts.append(f"{what} {when}{count}")
    return texts


def describe_lock(locked: LockedUnits, unit: str) -> str:
    """Return whether a lock is exact or holds up to rounding, and when it comes apart; empty if nothing is known yet.

    Args:
        locked: the units and their gaps since they were locked.
        unit: what the times count, `"epoch"` or `"step"`.
    """
    times, gaps = locked.times, locked.gaps
    if len(gaps) < 2:
        return ""
    apart = next((time for time, gap in zip(times, gaps, strict=True) if gap >= SATURATED), None)
    rate = growth_rate(times, gaps)
    if apart is not None:
        return f"apart since {unit} {apart:g}" + (f"; before, the gap grew {_growth(rate, unit)}" if rate > 0 else "")
    if not any(gaps):
        return f"exact: bit-equal for {_count(times[-1] - times[0], unit)}"
    start = f"held up to rounding: gap {gaps[-1]:.0e}"
    if math.isnan(rate):
        return start
    left = steps_until_apart(gaps[-1], rate)
    if math.isinf(left):
        return f"{start}, not growing"
    return f"{start}, grows {_growth(rate, unit)}, apart in about {_count(_rounded(left), unit)}"


def _growth(rate: float, unit: str) -> str:
    """Return a positive rate of growth in words: slow growth by the time in which a gap doubles."""
    factor = math.exp(min(rate, 700.0))
    if factor < 2:
        return f"twofold in {_count(_rounded(math.log(2) / rate), unit)}"
    return f"{_rounded(factor):,.0f}-fold per {unit}" if factor < 1e6 else f"{factor:.0e}-fold per {unit}"


def _rounded(number: float) -> float:
    """Round to two digits, and to whole numbers from 1 on."""
    return float(f"{number:.2g}") if number < 1 or number >= 100 else float(round(number))


def _count(number: float, unit: str) -> str:
    return f"{number:g} {unit}{'' if number == 1 else 's'}"
