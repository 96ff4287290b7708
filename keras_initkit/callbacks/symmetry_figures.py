"""Figures of the units: their statistics over the epochs, and the cosines of all pairs."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

# Okabe and Ito's colours can be told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999", "#8C510A", "#5E3C99")


def symmetry_figure(rows: list[dict[str, Any]]) -> Figure:
    """Draw, over the epochs and for each layer, the share of distinct units and the rms cosine."""
    if not rows:
        raise ValueError("Expected a monitor that has measured something. Received: no rows. Call `fit` with it first.")
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    for index, layer in enumerate(layers):
        mine = [row for row in rows if row["layer"] == layer]
        epochs = [row["epoch"] for row in mine]
        colour = COLOURS[index % len(COLOURS)]
        label = f"{layer} ({mine[-1]['verdict']})"
        style = {
            "color": colour,
            "linewidth": nested_width(index, len(layers)),
            "solid_capstyle": "butt",
            "marker": ".",
        }
        left.plot(epochs, [row["distinct"] / row["units"] for row in mine], label=label, **style)
        right.plot(epochs, [row["rms"] for row in mine], **style)
        right.axhline(mine[0]["inputs"] ** -0.5, color=colour, linestyle=":", linewidth=1)
    left.set(xlabel="epoch", ylabel="share of distinct units", ylim=(-0.03, 1.03), title="Distinct units")
    right.set(xlabel="epoch", ylabel="rms cosine", ylim=(-0.03, 1.03), title="Alikeness (dotted: random weights)")
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.legend(fontsize="small")
    return figure


def nested_width(index: int, count: int) -> float:
    """Return the width of line `index` of `count`: ever thinner on top of each other, equal lines are all seen."""
    return 1.5 + 8 * (count - 1 - index) / max(count - 1, 1)


def heatmap_figure(cosines: NDArray[np.float64], title: str) -> Figure:
    """Draw a cosine matrix; blue is opposite, white unrelated, red the same direction."""
    figure = Figure(figsize=(4.6, 4), layout="constrained")
    axes = figure.subplots()
    draw_cosines(axes, cosines, figure)
    axes.set(title=title, xlabel="unit", ylabel="unit")
    return figure


def draw_cosines(axes: Any, cosines: NDArray[np.float64], figure: Figure | None = None) -> None:
    """Draw a cosine matrix into axes, with a colour bar if the figure is given."""
    image = axes.imshow(cosines, vmin=-1, vmax=1, cmap="RdBu_r", interpolation="nearest")
    if figure is not None:
        figure.colorbar(image, ax=axes, label="cosine")
