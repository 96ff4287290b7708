"""The report as a picture: for each layer, which share of its units works, and how alike they are."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from keras_initkit.inspection.report_plain import printable
from keras_initkit.symmetry.null import expected_mean_square

if TYPE_CHECKING:
    from keras_initkit.inspection.report import Inspection

# Okabe and Ito's colours can be told apart with any colour vision; the hatches also without any.
_BARS = (("distinct", "#56B4E9", ""), ("locked", "#D55E00", "////"), ("dead", "#000000", ""))
_LONGEST_NAME = 30


def overview(inspection: "Inspection") -> Figure:
    """Draw a line per layer: bars of distinct, locked and dead units, and the rms cosine beside what chance gives.

    Raises:
        ValueError: if no layer was judged.
    """
    rows = inspection.rows
    if not rows:
        raise ValueError(
            "Expected a report with layers to draw. Received: none; `.notes` says why none could be judged."
        )
    figure = Figure(figsize=(9, 1.5 + 0.55 * len(rows)), layout="constrained")
    units, alike = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    places = np.arange(len(rows))
    for offset, (key, colour, hatch) in zip((-0.27, 0, 0.27), _BARS, strict=True):
        shares = [_number(row, key) / row["units"] for row in rows]
        units.barh(places + offset, shares, 0.24, label=key, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
    for place, row in enumerate(rows):
        if math.isnan(_number(row, "distinct")):
            units.text(0.01, place, "not measured", va="center", color="0.4", fontsize="small")
    units.set_yticks(places, [_label(row) for row in rows])
    units.set(xlim=(0, 1.02), xlabel="share of the layer's units")
    rms = [_number(row, "rms") for row in rows]
    chance = [math.sqrt(expected_mean_square(row["inputs"])) for row in rows]
    alike.hlines(places, np.fmin(rms, chance), np.fmax(rms, chance), color="0.6", linewidth=1)
    alike.plot(chance, places, "|", color="black", markersize=14, markeredgewidth=1.5, label="by chance")
    alike.plot(rms, places, "o", color="#0072B2", markersize=7, label="measured")
    alike.set(xlim=(-0.03, 1.03), xlabel="rms cosine between units")
    alike.set_ylim(len(rows) - 0.5, -0.5)
    for axes in (units, alike):
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize="small")
    return figure


def _number(row: dict[str, Any], key: str) -> float:
    value = row.get(key)
    return math.nan if value is None else float(value)


def _label(row: dict[str, Any]) -> str:
    name = printable(str(row["layer"]))
    if len(name) > _LONGEST_NAME:
        name = f"...{name[3 - _LONGEST_NAME :]}"
    # A dollar sign would start a formula.
    return f"{name}\n{row.get('verdict', '')}".replace("$", r"\$")
