"""A public benchmark of initialisation faults for Keras 3: published cases, clean twins and negative controls."""

from tests.benchmarks.faults import autotrainer, controls, equal_tensors, forums, mutants, scale, thedeepchecker
from tests.benchmarks.faults.case import REGISTERED, Control, FaultCase

_FAMILIES = [family.__name__ for family in (mutants, thedeepchecker, autotrainer, forums, scale, equal_tensors)]

CASES: dict[str, FaultCase] = {
    case.name: case for family in _FAMILIES for case in REGISTERED if case.build.__module__ == family
}
CONTROLS: dict[str, Control] = controls.CONTROLS

__all__ = ["CASES", "CONTROLS"]
