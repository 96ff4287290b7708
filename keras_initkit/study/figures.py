"""Figures of a study: learning curves, symmetry over epochs, ranking, heat maps of the units before and after."""

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from keras_initkit.callbacks.symmetry_figures import draw_cosines, nested_width

if TYPE_CHECKING:
    from keras_initkit.study.results import StudyResults

_MOST_HEATMAPS = 12


def curves(results: "StudyResults", metric: str) -> Figure:
    """Draw a metric over the epochs: every replica thin, the median bold, the range of the replicas as a band."""
    figure, axes = _canvas()
    lowest = math.inf
    for name, values in results.curves[metric].items():
        colour = results.colours[name]
        epochs = np.arange(values.shape[1])
        axes.plot(epochs, values.T, color=colour, linewidth=0.5, alpha=0.35)
        low, median, high = _range(values)
        axes.fill_between(epochs, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.plot(epochs, median, color=colour, linewidth=2, label=name)
        finite = values[np.isfinite(values)]
        lowest = min(lowest, float(finite.min(initial=math.inf)))
    if "loss" in metric and lowest > 0:
        axes.set_yscale("log")
        # A replica that explodes must not squeeze all others into a line.
        start = np.concatenate([v[:, 0] for v in results.curves[metric].values()])
        top = 3 * float(np.nanmedian(start))
        if axes.get_ylim()[1] > top:
            axes.set_ylim(top=top)
    if metric == results.target.metric:
        axes.axhline(results.target.value, color="black", linestyle=":", linewidth=1)
        place = {"xycoords": ("axes fraction", "data"), "fontsize": "small", "ha": "right", "va": "top"}
        axes.annotate(str(results.target), (0.99, results.target.value), **place)
    replicas = len(results.seeds)
    axes.set(xlabel="epoch", ylabel=metric, title=f"{metric}: {replicas} seeds each, median and range")
    _legend(figure, axes)
    return figure


def symmetry(results: "StudyResults") -> Figure:
    """Draw the share of distinct units and the rms cosine of the worst layer: median and range over the seeds."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2)
    measures: list[Callable[[dict[str, Any]], float]] = [
        lambda row: row["distinct"] / row["units"],
        lambda row: -row["rms"],
    ]
    for axes, measure, sign in zip(panels, measures, (1, -1), strict=True):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for index, name in enumerate(results.initializers):
            values = _worst_over_layers(results, name, measure)
            if values is None:
                continue
            epochs, worst = values
            low, median, high = _range(sign * worst)
            colour = results.colours[name]
            axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
            width = nested_width(index, len(results.initializers))
            axes.plot(epochs, median, color=colour, linewidth=width, label=name, solid_capstyle="butt")
        axes.set(xlabel="epoch", ylim=(-0.04, 1.06))
    panels[0].set(ylabel="share of distinct units", title="Distinct units, worst layer")
    panels[1].set(ylabel="rms cosine", title="Alikeness of the units, worst layer")
    _legend(figure, panels[0])
    return figure


def ranking(results: "StudyResults") -> Figure:
    """Draw the mean capped epochs to the target with 95 % intervals, and each seed as a dot."""
    table = results.table()
    figure = Figure(figsize=(8, 1 + 0.42 * len(table)), layout="constrained")
    axes = figure.subplots()
    for position, row in enumerate(table.to_dict("records")):
        colour = results.colours[row["initializer"]]
        seeds = [
            record.metrics["epochs_to_target_capped"]
            for record in results.records
            if record.initializer == row["initializer"] and "epochs_to_target_capped" in record.metrics
        ]
        if not seeds:
            continue
        spread = np.linspace(-0.16, 0.16, len(seeds)) if len(seeds) > 1 else [0.0]
        axes.plot(seeds, position + np.asarray(spread), "o", color=colour, alpha=0.35, markersize=4)
        mean, low, high = row["epochs_to_target"], row["epochs_to_target_low"], row["epochs_to_target_high"]
        if not math.isnan(low):
            axes.plot([max(low, 0), min(high, results.budget)], [position, position], color=colour, linewidth=2)
        axes.plot(mean, position, "D", color=colour, markersize=7)
        reached = f"{round(row['reached'] * row['replicas'])}/{row['replicas']}"
        axes.annotate(reached, (1.01, position), xycoords=("axes fraction", "data"), va="center", fontsize="small")
    axes.set_yticks(range(len(table)), table["initializer"])
    axes.set_ylim(len(table) - 0.5, -0.6)
    axes.set_xlim(-0.02 * results.budget, 1.02 * results.budget)
    axes.set(
        xlabel="epochs to the target, capped at the budget (mean, 95 % interval, seeds)",
        title=f"How fast {results.target} is reached (right: seeds that reach it)",
    )
    return figure


def heatmaps(results: "StudyResults") -> Figure:
    """Draw the cosines of the units of the first hidden layer, before and after training, for each initializer."""
    shown = [(name, layers) for name, layers in results.pictures.items() if layers][:_MOST_HEATMAPS]
    if not shown:
        raise ValueError("Expected a study of models with hidden layers of known types. Received: none measured.")
    columns = len(shown)
    figure = Figure(figsize=(1.6 * columns + 0.9, 3.9), layout="constrained")
    grid = figure.subplots(2, columns, squeeze=False)
    for column, (name, layers) in zip(grid.T, shown, strict=True):
        layer, pair = next(iter(layers.items()))
        for axes, cosines in zip(column, pair, strict=True):
            draw_cosines(axes, cosines)
            axes.set(xticks=[], yticks=[])
        column[0].set_title(name.replace("(", "\n("), fontsize="small")
    for axes, text in zip(grid[:, 0], ("before", "after"), strict=True):
        axes.set_ylabel(text)
    figure.colorbar(grid[0, 0].images[0], ax=grid, label="cosine", shrink=0.8)
    figure.suptitle(f"Alikeness of the units of {layer}, seed {results.seeds[0]}")
    return figure


def _canvas() -> tuple[Figure, Any]:
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, axes


def _legend(figure: Figure, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    handles = [Line2D([], [], color=handle.get_color(), linewidth=2) for handle in handles]
    if handles:
        figure.legend(handles, labels, loc="outside right upper", fontsize="small", frameon=False)


def _range(values: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return minimum, median and maximum over the first axis, NaN where all are missing."""
    values = np.where(np.isfinite(values), values, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any value stays NaN
        return np.nanmin(values, axis=0), np.nanmedian(values, axis=0), np.nanmax(values, axis=0)


def _worst_over_layers(
    results: "StudyResults", name: str, measure: Callable[[dict[str, Any]], float]
) -> tuple[list[int], NDArray[np.float64]] | None:
    """Return the measured epochs and the smallest value of `measure` over the layers, `(replicas, epochs)`."""
    rows = [record.symmetry for record in results.records if record.initializer == name and record.symmetry]
    if not rows:
        return None
    epochs = sorted({row["epoch"] for replica in rows for row in replica})
    worst = np.full((len(rows), len(epochs)), np.nan)
    for i, replica in enumerate(rows):
        for j, epoch in enumerate(epochs):
            here = [measure(row) for row in replica if row["epoch"] == epoch]
            worst[i, j] = min((value for value in here if math.isfinite(value)), default=math.nan)
    return epochs, worst
