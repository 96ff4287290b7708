"""What was measured of one model: rows, verdicts, events and gaps, one measurement after the other."""

from typing import Any

from keras_initkit.callbacks.lock_gaps import LockGaps
from keras_initkit.callbacks.movement import Movement
from keras_initkit.callbacks.symmetry_events import SOUND, SymmetryEvent, layer_events
from keras_initkit.callbacks.unit_pictures import UnitPictures
from keras_initkit.inspection.verdicts import LayerState, judge_model
from keras_initkit.units.reading import UnitReader


class SymmetryRecord:
    """The measurements of one model, in the order of time.

    Args:
        model: a built Keras model with hidden layers.
        layers: names or paths of the layers to watch; `None` for all.
        unit: what the labels of the measurements count, `"epoch"` or `"step"`.

    Attributes:
        model: the model.
        reader: reads its hidden layers.
        unit: as given.
        times: the labels of the measurements.
        rows: one row per measurement and layer.
        states: the latest state of every layer, by its path.
        events: what happened between the measurements.
        gaps: the gaps of layers that were locked.
        pictures: the weights of the first and the latest measurement.

    Raises:
        ValueError: if the model is not built, has no hidden layers of the known types, or not the named ones.
    """

    def __init__(self, model: Any, layers: list[str] | None, unit: str):
        if not model.built:
            raise ValueError(
                f"Expected a built model. Received: model={model.name!r}, which has no weights yet. Give it an "
                "`Input`, or call it on one batch before."
            )
        reader = UnitReader(model)
        if not reader.paths:
            raise ValueError(
                f"Expected a model with hidden layers whose units are known. Received: model={model.name!r} with none. "
                "Remove SymmetryMonitor: output layers and layers of unknown types are not watched."
            )
        self.model = model
        self.unit = unit
        self.times: list[float] = []
        self.rows: list[dict[str, Any]] = []
        self.states: dict[str, LayerState] = {}
        self.events: list[SymmetryEvent] = []
        self.gaps = LockGaps()
        self.pictures = UnitPictures()
        self.reader = reader if layers is None else UnitReader(model, layers)
        self._movement = Movement(model)
        self._latest: dict[str, dict[str, Any]] = {}
        self._most_distinct: dict[str, float] = {}
        self._sound: set[str] = set()

    def measure(self, time: float, optimizer: Any = None) -> list[SymmetryEvent]:
        """Measure the model now and return the events since the measurement before.

        Args:
            time: the label of the measurement.
            optimizer: the optimizer whose state counts. Defaults to the one the model is compiled with.
        """
        states = judge_model(self.reader, self.states, self._movement.since_last(), optimizer)
        self.states = {state.units.layer: state for state in states}
        rows = [{**state.row(0), "epoch": time} for state in states]
        events = [event for row in rows for event in self._events_of(row)]
        gaps = self.gaps.follow(time, states)
        rows = [row | {"gap": gaps[row["layer"]]} if row["layer"] in gaps else row for row in rows]
        self.times.append(time)
        self.rows += rows
        self.events += events
        self.pictures.keep(time, states)
        for row in rows:
            layer, distinct = row["layer"], row["distinct"]
            self._latest[layer] = row
            self._most_distinct[layer] = max(self._most_distinct.get(layer, 0), distinct)
            if row["verdict"] in SOUND:
                self._sound.add(layer)
        return events

    def _events_of(self, row: dict[str, Any]) -> list[SymmetryEvent]:
        layer = row["layer"]
        if layer not in self._latest:
            return []
        before, most_distinct = self._latest[layer], self._most_distinct[layer]
        if self.gaps.hold(layer, row["locked"]):
            most_distinct = 0  # the same units as at first, which rounding had set apart
        return layer_events(before, row, most_distinct)

    @property
    def latest(self) -> dict[str, dict[str, Any]]:
        """The latest row of every layer, by its path."""
        return self._latest

    def is_late(self, event: SymmetryEvent) -> bool:
        """Return whether the layer was in order before this event ended that."""
        return event.what == "collapsed" or (event.what == "died" and event.layer in self._sound)
