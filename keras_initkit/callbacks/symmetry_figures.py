"""Figures of the units: their statistics over the epochs, and the cosines of all pairs."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

# Okabe and Ito's colours can be told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999", "#8C510A", "#5E3C99")
_LEGEND_ROWS = 16
_MOST_BORDERS = 16


def symmetry_figure(rows: list[dict[str, Any]], unit: str = "epoch") -> Figure:
    """Draw, over the epochs and for each layer, the share of distinct units and the rms cosine."""
    check_rows(rows)
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    many = len(layers) > len(COLOURS)
    columns = -(-len(layers) // _LEGEND_ROWS)
    figure = Figure(figsize=(9 + 2.2 * columns, 3.6 if len(layers) <= 8 else 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for index, (layer, colour) in enumerate(zip(layers, layer_colours(len(layers)), strict=True)):
        mine = [row for row in rows if row["layer"] == layer]
        epochs = [row["epoch"] for row in mine]
        style = {
            "color": colour,
            "linewidth": 1.5 if many else nested_width(index, len(layers)),
            "solid_capstyle": "butt",
            "marker": "." if len(epochs) <= 60 else None,
        }
        label = f"{layer} ({mine[-1]['verdict']})"
        left.plot(epochs, [row["distinct"] / row["units"] for row in mine], label=label, **style)
        right.plot(epochs, [row["rms"] for row in mine], **style)
        right.axhline(mine[0]["inputs"] ** -0.5, color=colour, linestyle=":", linewidth=1)
    left.set(xlabel=unit, ylabel="share of distinct units", ylim=(-0.03, 1.03), title="Distinct units")
    right.set(xlabel=unit, ylabel="rms cosine", ylim=(-0.03, 1.03), title="Alikeness (dotted: random weights)")
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend = figure.legend(loc="outside right upper", ncols=columns, fontsize="small", frameon=False)
    for handle in legend.get_lines():
        handle.set_linewidth(3)
    return figure


def check_rows(rows: list[dict[str, Any]]) -> None:
    """Raise if there is nothing to draw."""
    if not rows:
        raise ValueError("Expected a monitor that has measured something. Received: no rows. Call `fit` with it first.")


def layer_colours(count: int) -> list[str]:
    """Return a colour for each layer; where layers outnumber the colours, from dark to light by depth."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    return [to_hex(colour) for colour in colormaps["viridis"](np.linspace(0, 0.92, count))]


def nested_width(index: int, count: int) -> float:
    """Return the width of line `index` of `count`: ever thinner on top of each other, equal lines are all seen."""
    return 1.5 + 8 * (count - 1 - index) / max(count - 1, 1)


def heatmap_figure(cosines: NDArray[np.float64], title: str, classes: NDArray[np.intp] | None = None) -> Figure:
    """Draw a cosine matrix; blue is opposite, white unrelated, red the same direction.

    Args:
        cosines: matrix `(units, units)`.
        title: title of the figure.
        classes: labels `(units,)`: units with the same label stand together, and classes of several units are framed.
            Defaults to `None`: units stand as they are.
    """
    figure = Figure(figsize=(5.2, 4.4), layout="constrained")
    axes = figure.subplots()
    if classes is None:
        draw_cosines(axes, cosines, figure)
        axes.set(title=title, xlabel="unit", ylabel="unit")
        return figure
    order, sizes = class_order(classes)
    draw_cosines(axes, cosines[np.ix_(order, order)], figure)
    shared = [size for size in sizes if size > 1]
    if shared:
        frame_classes(axes, sizes)
        plural = "class" if len(shared) == 1 else "classes"
        title += f"\n{sum(shared)} of {len(classes)} units are copies, in {len(shared)} {plural}"
    label = "unit, class by class" if shared else "unit"
    axes.set(title=title, xlabel=label, ylabel=label)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
        axis.set_major_formatter(lambda place, _: str(order[int(place)]) if 0 <= place < len(order) else "")
    return figure


def class_order(classes: NDArray[np.intp]) -> tuple[NDArray[np.intp], list[int]]:
    """Return the units class by class, classes by their first unit, and the sizes of the classes in that order."""
    _, first, inverse, counts = np.unique(classes, return_index=True, return_inverse=True, return_counts=True)
    return np.argsort(first[inverse], kind="stable"), counts[np.argsort(first)].tolist()


def frame_classes(axes: Any, sizes: list[int]) -> None:
    """Frame the classes of several units in a matrix that is ordered by class, and draw their borders across it."""
    start = 0
    few = sum(size > 1 for size in sizes) <= _MOST_BORDERS
    for size in sizes:
        if size > 1:
            corner = (start - 0.5, start - 0.5)
            axes.add_patch(Rectangle(corner, size, size, fill=False, edgecolor="black", linewidth=1.4, clip_on=False))
        if size > 1 and few:
            for border in corner[0], corner[0] + size:
                axes.axhline(border, color="black", linewidth=0.5)
                axes.axvline(border, color="black", linewidth=0.5)
        start += size


def draw_cosines(axes: Any, cosines: NDArray[np.float64], figure: Figure | None = None) -> None:
    """Draw a cosine matrix into axes, with a colour bar if the figure is given."""
    image = axes.imshow(cosines, vmin=-1, vmax=1, cmap="RdBu_r", interpolation="nearest")
    if figure is not None:
        figure.colorbar(image, ax=axes, label="cosine")
