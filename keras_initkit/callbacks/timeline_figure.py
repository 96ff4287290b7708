"""The verdict of every layer over the epochs as a band of colours, with the events marked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from keras_initkit.callbacks.symmetry_events import EVENTS, SymmetryEvent
from keras_initkit.callbacks.symmetry_figures import check_rows

# After Okabe and Ito: they differ in lightness too. Good is pale, bad is strong.
VERDICT_COLOURS = {
    "healthy": "#BFE3F2",
    "uninformative": "#E6E6E6",
    "transient": "#F0E442",
    "plateau": "#E69F00",
    "redundant": "#0072B2",
    "twins": "#CC79A7",
    "saturated": "#8C6A4F",
    "vanishing": "#8A8A8A",
    "locked": "#C43E00",
    "dead": "#1A1A1A",
    "exploding": "#6A1B9A",
}
_MARKERS = {
    "exploded": "*",
    "died": "X",
    "collapsed": "v",
    "locked": "s",
    "condensed": "<",
    "revived": "P",
    "unlocked": "^",
    "escaped": ">",
    "separated": "D",
}


def timeline_figure(rows: list[dict[str, Any]], events: Sequence[SymmetryEvent], unit: str = "epoch") -> Figure:
    """Draw layers x epochs, coloured by verdict; white marks are events.

    Args:
        rows: as `SymmetryMonitor.rows`.
        events: as `SymmetryMonitor.events`.
        unit: what the labels of the rows count.
    """
    check_rows(rows)
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    times = sorted({row["epoch"] for row in rows})
    names = list(VERDICT_COLOURS)
    codes = np.full((len(layers), len(times)), np.nan)
    for row in rows:
        codes[layers.index(row["layer"]), times.index(row["epoch"])] = names.index(row["verdict"])
    longest = max(map(len, layers))
    height = min(1.5 + 0.3 * max(len(layers), 3), 24)
    figure = Figure(figsize=(7.6 + 0.07 * min(longest, 50), height), layout="constrained")
    axes = figure.subplots()
    colours = ListedColormap(list(VERDICT_COLOURS.values()))
    edges = _edges(times)
    axes.pcolormesh(edges, np.arange(len(layers) + 1) - 0.5, codes, cmap=colours, vmin=-0.5, vmax=len(names) - 0.5)
    axes.hlines(np.arange(1, len(layers)) - 0.5, edges[0], edges[-1], color="white", linewidth=2)
    if len(times) <= 40:
        axes.vlines(edges[1:-1], -0.5, len(layers) - 0.5, color="white", linewidth=0.8)
    seen = _mark(axes, events, layers)
    axes.set_ylim(len(layers) - 0.5, -0.5)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_yticks(range(len(layers)), layers)
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel=unit, title=f"Verdict of every layer over the {unit}s")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    found = [name for name in names if any(row["verdict"] == name for row in rows)]
    handles: list[Any] = [Patch(color=VERDICT_COLOURS[name], label=name) for name in found]
    figure.legend(handles=handles + seen, loc="outside right upper", fontsize="small", frameon=False)
    return figure


def _edges(times: list[float]) -> NDArray[np.float64]:
    """Return where the fields of the measurements meet: half-way between their times."""
    middle = np.asarray(times, dtype=np.float64)
    if len(middle) == 1:
        return middle[0] + np.array([-0.5, 0.5])
    inner = (middle[1:] + middle[:-1]) / 2
    return np.concatenate([[2 * middle[0] - inner[0]], inner, [2 * middle[-1] - inner[-1]]])


def _mark(axes: Any, events: Sequence[SymmetryEvent], layers: list[str]) -> list[Line2D]:
    """Mark the events, and return what the legend says of them."""
    handles = []
    for what in EVENTS:
        mine = [event for event in events if event.what == what]
        style = {"marker": _MARKERS[what], "color": "white", "markeredgecolor": "black", "linestyle": "none"}
        if mine:
            places = [event.epoch for event in mine], [layers.index(event.layer) for event in mine]
            axes.plot(*places, markersize=8, zorder=3, clip_on=False, **style)
            handles.append(Line2D([], [], label=what, markersize=7, **style))  # type: ignore[arg-type]
    return handles
