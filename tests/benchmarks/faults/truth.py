"""What training itself says: an oracle for the expected verdicts that uses nothing of the kit, only the weights."""

from typing import Any

import keras
import numpy as np

from tests.benchmarks.faults.case import FaultCase, Program

_NEAR = 1e-3  # rounding frees units that are equal in exact arithmetic, but not that far within a short training


def columns(layer: Any) -> Any:
    """Return the weights into the units of a Dense layer or convolution, as an array (weights, units)."""
    weights = [np.asarray(weight) for weight in layer.get_weights()[:2]]
    return np.concatenate([weight.reshape(-1, weight.shape[-1]) for weight in weights])


def different(units: Any) -> int:
    """Return how many columns differ from all before them by more than rounding explains."""
    size = np.abs(units).max(initial=0.0) or 1.0
    kept: list[Any] = []
    for unit in units.T:
        if all(np.abs(unit - other).max() > _NEAR * size for other in kept):
            kept.append(unit)
    return len(kept)


def saturated(program: Program, layer: Any) -> float:
    """Return the share of the outputs of a sigmoid or tanh layer that lie within 1 % of an end of their range."""
    model = keras.Model(program.model.inputs[0], layer.output)
    outputs = np.asarray(model(program.x))
    low = -1.0 if layer.activation is keras.activations.tanh else 0.0
    position = (outputs - low) / (1.0 - low)
    return float(np.mean((position < 0.01) | (position > 0.99)))


def contradictions(case: FaultCase) -> list[str]:
    """Train the faulty program and return where it does not do what the case says."""
    program = case.build(True)
    layers = {name: program.model.get_layer(name) for names in case.expected for name in names.split("|")}
    start = {name: columns(layer) for name, layer in layers.items() if layer.get_weights()}
    share = {
        name: saturated(program, layers[name]) for name, allowed in case.expected.items() if "saturated" in allowed
    }
    program.model.fit(program.x, program.y, verbose=0, **program.fit)
    end = {name: columns(layers[name]) for name in start}
    wrong = []
    for names, allowed in case.expected.items():
        first, *others = names.split("|")
        if "twins" in allowed:
            equal = bool(others) and different(np.stack([end[name].ravel() for name in (first, *others)], 1)) == 1
            if equal != ("locked" in allowed):
                wrong.append(f"{names}: the tensors are {'equal' if equal else 'different'} after training")
        elif "locked" in allowed and different(end[first]) == end[first].shape[1]:
            wrong.append(f"{first}: all units differ after training")
        elif "dead" in allowed and not (start[first] == end[first]).all(axis=0).any():
            wrong.append(f"{first}: every unit was moved by training")
        elif "transient" in allowed and different(end[first]) <= different(start[first]):
            wrong.append(f"{first}: training did not separate the units")
        elif "saturated" in allowed and share[first] < 0.5:
            wrong.append(f"{first}: only {share[first]:.0%} of the outputs are saturated")
    return wrong
