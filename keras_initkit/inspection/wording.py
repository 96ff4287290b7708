"""What is said of layers that cannot learn while a training runs: which, why, and what to change."""

from collections.abc import Sequence

from keras_initkit.inspection.findings import layer_findings
from keras_initkit.inspection.remedy import fewest_changes
from keras_initkit.inspection.state import LayerState
from keras_initkit.inspection.verdicts import analysed_reading
from keras_initkit.units.reading import UnitReader


def fault_message(reader: UnitReader, states: Sequence[LayerState], when: str) -> str:
    """Return the warning for layers that are locked or dead.

    Args:
        reader: the hidden layers of the model, with the weights that were judged.
        states: the states of the layers.
        when: when they were measured, e.g. `"after epoch 3"`.
    """
    which = "1 hidden layer cannot learn as it is" if len(states) == 1 else f"{len(states)} hidden layers cannot learn"
    lines = [f"{which}, measured {when}:"]
    for finding in layer_findings(reader, states, fewest_changes(*analysed_reading(reader))):
        lines += [f"  {finding.layer}: {finding.cause}", f"    fix: {finding.fix}"]
    return "\n".join(lines)
