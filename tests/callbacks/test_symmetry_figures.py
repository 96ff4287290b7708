"""What the figures of the monitor show: the timeline, heat maps by class, many layers."""

import itertools
from types import SimpleNamespace

import matplotlib.colors
import numpy as np
import pytest

from keras_initkit.callbacks.symmetry_events import EVENTS, SymmetryEvent
from keras_initkit.callbacks.symmetry_figures import (
    class_order,
    heatmap_figure,
    layer_colours,
    symmetry_figure,
)
from keras_initkit.callbacks.timeline_figure import VERDICT_COLOURS, timeline_figure
from keras_initkit.callbacks.unit_pictures import UnitPictures, _joined
from keras_initkit.inspection.finding import VERDICTS
from keras_initkit.symmetry import cosine_matrix


def rows(verdicts, epochs=None):
    """Rows of layers a, b, ... whose verdicts over the epochs are given."""
    epochs = range(len(verdicts[0])) if epochs is None else epochs
    return [
        {"epoch": epoch, "layer": chr(97 + n) if n < 26 else f"layer_{n}", "verdict": verdict}
        | {"units": 8, "inputs": 16, "distinct": 8 if verdict == "healthy" else 1, "rms": 0.3}
        for n, layer in enumerate(verdicts)
        for epoch, verdict in zip(epochs, layer, strict=True)
    ]


def colour_at(axes, layer, epoch):
    """Return the colour the timeline shows for the layer of this number at this epoch."""
    mesh = axes.collections[0]
    across, down = mesh.get_coordinates()[0, :, 0], mesh.get_coordinates()[:, 0, 1]
    column, row = np.searchsorted(across, epoch) - 1, np.searchsorted(down, layer) - 1
    return matplotlib.colors.to_hex(mesh.to_rgba(mesh.get_array())[row, column]).upper()


def test_the_timeline_has_the_colour_of_every_verdict_at_its_epoch():
    story = [["locked", "locked", "healthy"], ["healthy", "healthy", "dead"]]
    figure = timeline_figure(rows(story, epochs=[0, 4, 10]), [])
    axes = figure.axes[0]
    for layer, verdicts in enumerate(story):
        for epoch, verdict in zip([0, 4, 10], verdicts, strict=True):
            assert colour_at(axes, layer, epoch) == VERDICT_COLOURS[verdict]
    assert colour_at(axes, 0, 6.9) == VERDICT_COLOURS["locked"]  # up to half-way to the next measurement
    assert colour_at(axes, 0, 7.1) == VERDICT_COLOURS["healthy"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first layer is on top
    assert axes.get_xlabel() == "epoch"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["healthy", "locked", "dead"]


def test_the_timeline_marks_the_events_with_a_legend():
    events = [
        SymmetryEvent(1, "b", "unlocked", 8, 0),
        SymmetryEvent(2, "a", "collapsed", 0, 8),
        SymmetryEvent(2, "b", "collapsed", 0, 8),
    ]
    figure = timeline_figure(rows([["healthy"] * 2 + ["locked"], ["locked", "healthy", "locked"]]), events, "step")
    axes = figure.axes[0]
    marks = {line.get_marker(): line.get_xydata().tolist() for line in axes.lines}
    assert sorted(marks.values()) == [[[1, 1]], [[2, 0], [2, 1]]]
    assert [text.get_text() for text in figure.legends[0].get_texts()][-2:] == ["collapsed", "unlocked"]
    assert axes.get_xlabel() == "step"


def test_every_verdict_and_event_has_a_look_of_its_own():
    assert set(VERDICT_COLOURS) == set(VERDICTS)
    assert len(set(VERDICT_COLOURS.values())) == len(VERDICTS)
    events = [SymmetryEvent(0, "a", what, 0, 1) for what in EVENTS]
    lines = timeline_figure(rows([["healthy"]]), events).axes[0].lines
    assert len({line.get_marker() for line in lines}) == len(EVENTS)


@pytest.mark.parametrize(("layers", "epochs"), [(1, 2), (30, 2), (30, 200)])
def test_figures_have_room_for_few_and_many_layers_and_epochs(layers, epochs):
    measured = rows([["locked"] + ["healthy"] * epochs] * layers)
    timeline, lines = timeline_figure(measured, []), symmetry_figure(measured)
    for figure in (timeline, lines):
        figure.draw_without_rendering()
    labels = [label.get_window_extent() for label in timeline.axes[0].get_yticklabels()]
    assert not any(one.overlaps(other) for one, other in itertools.pairwise(labels))
    legend = lines.legends[0]
    assert len(legend.get_texts()) == layers
    box, page = legend.get_window_extent(), lines.bbox
    assert page.x0 <= box.x0
    assert box.x1 <= page.x1
    assert page.y0 <= box.y0
    assert lines.axes[1].get_window_extent().x1 <= box.x0


def test_layers_have_colours_of_their_own():
    for count in (1, 10, 11, 60):
        assert len(set(layer_colours(count))) == count


def test_a_figure_of_nothing_is_refused():
    with pytest.raises(ValueError, match="Received: no rows"):
        timeline_figure([], [])


def test_units_of_a_class_stand_together_in_the_order_of_their_first_unit():
    order, sizes = class_order(np.array([7, 2, 7, 5, 2, 7]))
    assert order.tolist() == [0, 2, 5, 1, 4, 3]
    assert sizes == [3, 2, 1]


def test_the_heat_map_by_class_shows_the_reordered_cosines_and_frames_the_classes():
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((5, 6))
    kernel[:, 5], kernel[:, 3] = kernel[:, 1], kernel[:, 0]
    figure = heatmap_figure(cosine_matrix(kernel), "one", np.array([0, 1, 2, 0, 4, 1]))
    axes, order = figure.axes[0], [0, 3, 1, 5, 2, 4]
    np.testing.assert_allclose(axes.images[0].get_array(), cosine_matrix(kernel[:, order]))
    frames = [(patch.get_x(), patch.get_y(), patch.get_width()) for patch in axes.patches]
    assert frames == [(-0.5, -0.5, 2), (1.5, 1.5, 2)]
    assert axes.get_title() == "one\n4 of 6 units are copies, in 2 classes"
    assert [axes.xaxis.get_major_formatter()(place) for place in range(-1, 7)] == ["", *map(str, order), ""]


def test_the_heat_map_of_different_units_is_in_their_own_order_without_frames():
    cosines = cosine_matrix(np.random.default_rng(0).standard_normal((5, 6)))
    for classes in (None, np.arange(6)):
        figure = heatmap_figure(cosines, "one", classes)
        np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), cosines)
        assert len(figure.axes[0].patches) == 0
        assert figure.axes[0].get_title() == "one"


@pytest.mark.parametrize(
    ("opposite", "locked", "expected"),
    [
        (False, None, [0, 1, 2, 0, 4]),  # equal incoming weights
        (True, None, [0, 0, 2, 0, 4]),  # and opposite ones, where the activation cannot tell
        (False, [0, 1, 2, 3, 2], [0, 1, 2, 0, 2]),  # and what is locked for another reason
    ],
)
def test_a_class_is_of_units_with_equal_weights_or_locked_together(opposite, locked, expected):
    kernel = np.random.default_rng(0).standard_normal((4, 5))
    kernel[:, 1], kernel[:, 3] = -kernel[:, 0], kernel[:, 0]
    units = SimpleNamespace(layer="one", kernel=kernel)
    classes = None if locked is None else np.array(locked)
    pictures = UnitPictures()
    pictures.keep(0, [SimpleNamespace(units=units, similarity=object(), classes=classes, opposite=opposite)])
    labels = pictures.classes("one", 0)
    first = [int(np.flatnonzero(labels == label)[0]) for label in labels]
    assert first == expected


def test_partitions_are_joined():
    together = _joined(np.array([0, 0, 1, 1, 2]), np.array([9, 8, 8, 7, 6]))
    assert len(set(together[:4])) == 1
    assert together[4] not in together[:4]
    apart = _joined(np.arange(4), np.arange(4) + 10)
    assert len(set(apart)) == 4
