"""What the monitor does when a layer cannot learn: warn, raise or stop, once per layer and kind."""

import warnings
from collections.abc import Sequence

from keras_initkit._checks import InitializationError
from keras_initkit.callbacks.symmetry_events import SymmetryEvent, collapse_message
from keras_initkit.callbacks.symmetry_record import SymmetryRecord
from keras_initkit.inspection.wording import fault_message

_FAULTY = ("locked", "dead")


class SymmetryAlarm:
    """Reports layers that are locked or dead, and layers that were in order and collapsed.

    Args:
        on_locked: `"warn"`, `"raise"`, `"stop"` or `"ignore"`. A collapse that leaves a layer neither locked nor dead
            is a warning also with `"raise"` and `"stop"`.
    """

    def __init__(self, on_locked: str):
        self._on_locked = on_locked
        self._reported: set[tuple[str, str]] = set()

    def respond(self, record: SymmetryRecord, time: float, events: Sequence[SymmetryEvent]) -> None:
        """Report what is new at this measurement.

        Raises:
            InitializationError: if layers are locked or dead, with `"raise"`.
        """
        late = {event.layer: event for event in events if record.is_late(event)}
        late = {layer: event for layer, event in late.items() if self._is_news(layer, "collapsed")}
        faulty = [
            state
            for layer, state in record.states.items()
            if state.verdict in _FAULTY and (layer, "collapsed") not in self._reported
        ]
        faulty = [state for state in faulty if self._is_news(state.units.layer, state.verdict)]
        if self._on_locked == "ignore" or not (late or faulty):
            return
        texts = []
        if faulty:
            texts.append(fault_message(record.reader, faulty, _when(record.unit, time)))
        if late:
            texts.append(collapse_message(late.values(), record.latest, f"after {record.unit} {time:g}"))
        severe = bool(faulty) or any(record.states[layer].verdict in _FAULTY for layer in late)
        if severe and self._on_locked == "raise":
            raise InitializationError("\n".join(texts))
        warnings.warn("\n".join(texts), UserWarning, stacklevel=4)
        if severe and self._on_locked == "stop":
            record.model.stop_training = True

    def _is_news(self, layer: str, kind: str) -> bool:
        news = (layer, kind) not in self._reported
        self._reported.add((layer, kind))
        return news


def _when(unit: str, time: float) -> str:
    if unit == "step":
        return f"at step {time:g}"
    return "before training" if time == 0 else f"after epoch {time:g}"
