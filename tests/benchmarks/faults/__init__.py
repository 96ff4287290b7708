"""A public benchmark of initialisation faults for Keras 3: published cases, clean twins and negative controls."""

from tests.benchmarks.faults import autotrainer, controls, equal_tensors, forums, mutants, scale, thedeepchecker
from tests.benchmarks.faults.case import CASES, CONTROLS

FAMILIES = (mutants, thedeepchecker, autotrainer, forums, scale, equal_tensors, controls)  # importing them registers

__all__ = ["CASES", "CONTROLS", "FAMILIES"]
