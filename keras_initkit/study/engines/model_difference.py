"""What differs between two models of a study beside the values of their variables."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_initkit.study.engines.build_replay import same_bits
from keras_initkit.study.engines.computation import same_computation, without_names
from keras_initkit.tracking.fingerprint import model_sha256

_COMPILED = ("jit_compile", "run_eagerly", "steps_per_execution", "loss")


def structural_difference(one: Any, other: Any) -> str:
    """Return what keeps the training function of one compiled model from serving another; "" if nothing is seen."""
    return "" if same_computation(one, other) else _structural(one, other)


def constants_of(model: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the numbers and arrays that layers hold as plain attributes: a compiled function has them as constants.

    Returns:
        (name of the layer, attribute -> number, array, list of such, or None where there is none) for every layer.
        Take them right after the model was built; Keras keeps flags there that change when it is used.
    """
    return [(layer.name, _constants(layer)) for layer in _layers(model)]


def _constants(layer: Any) -> dict[str, Any]:
    # The penalties of the last call are results.
    return {name: _numbers(value) for name, value in vars(layer).items() if name != "_losses"}


def constant_difference(
    one: list[tuple[str, dict[str, Any]]], other: list[tuple[str, dict[str, Any]]], seeds: Mapping[int, int]
) -> str:
    """Return which constant of one model is another one in the second model; "" if all are equal.

    Args:
        one: what `constants_of` gave for a model.
        other: what it gave for a model of the same structure.
        seeds: seeds that Keras drew while the first was built -> those of the second; layers may hold these.
    """
    for (layer, constants), (_, counterparts) in zip(one, other, strict=True):
        for name in constants.keys() | counterparts.keys():
            if not _same_numbers(constants.get(name), counterparts.get(name), seeds):
                return f"the attribute {name!r} of the layer {layer!r}"
    return ""


def _structural(one: Any, other: Any) -> str:
    if type(one) is not type(other):
        return f"the class of the model: {type(one).__name__} and {type(other).__name__}"
    layers, counterparts = _layers(one), _layers(other)
    if len(layers) != len(counterparts):
        return f"the number of layers: {len(layers)} and {len(counterparts)}"
    # The model itself comes first, and what contains another layer before it; the innermost says most.
    for layer, counterpart in zip(reversed(layers), reversed(counterparts), strict=True):
        if model_sha256(layer) != model_sha256(counterpart):
            return f"the configuration of the layer {layer.name!r} or the shapes of its weights"
    names = [[v.name for v in model.variables] for model in (one, other)]
    if names[0] != names[1]:
        return f"the names of the variables: {names[0]} and {names[1]}"
    configs = [{"class": type(m.optimizer).__name__, **without_names(m.optimizer.get_config())} for m in (one, other)]
    for key in configs[0]:
        if repr(configs[0][key]) != repr(configs[1].get(key)):
            return f"`{key}` of the optimizer: {configs[0][key]} and {configs[1].get(key)}"
    for name in _COMPILED:
        if repr(getattr(one, name, None)) != repr(getattr(other, name, None)):
            return f"`{name}` in `compile`: {getattr(one, name, None)} and {getattr(other, name, None)}"
    return "perhaps its training step, or state that is no Keras variable, which cannot be compared"


def _layers(model: Any) -> list[Any]:
    return list(model._flatten_layers())


def _numbers(value: Any) -> Any:
    if isinstance(value, (bool, int)):
        return value
    if isinstance(value, (float, complex, np.number, np.ndarray)):
        return np.array(value)
    if isinstance(value, (list, tuple, dict)):
        # Without the keys: they may be names that Keras counts per process, or layers.
        parts = [_numbers(part) for part in (value.values() if isinstance(value, dict) else value)]
        return parts if any(part is not None for part in parts) else None
    if not keras.ops.is_tensor(value) or hasattr(value, "assign"):  # variables are compared elsewhere
        return None
    try:
        return np.array(keras.ops.convert_to_numpy(value))
    except Exception:  # a tensor of a trace that is over, which no function can use as a constant
        return None


def _same_numbers(one: Any, other: Any, seeds: Mapping[int, int]) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(_same_numbers(a, b, seeds) for a, b in zip(one, other, strict=True))
    if isinstance(one, np.ndarray):
        return same_bits(one, other)
    return bool(one == other or (type(one) is int and seeds.get(one) == other))
