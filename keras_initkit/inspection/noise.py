"""Dropout and noise, switched off for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

_layers = keras.layers
# Spatial dropout is a Dropout too.
_NOISE = (_layers.Dropout, _layers.AlphaDropout, _layers.GaussianDropout, _layers.GaussianNoise)
_NOISE_STRENGTHS = ("rate", "stddev")
# Of recurrent cells and attention, which are no noise layers themselves.
_DROPOUT_RATES = ("dropout", "recurrent_dropout", "_dropout")


@contextmanager
def noise_as(wanted: bool, model: Any) -> Iterator[None]:
    """Let the dropout and noise layers of Keras act if that is wanted, or switch them off inside the block."""
    changed: list[tuple[dict[str, Any], str, Any]] = []
    for layer in [] if wanted else model._flatten_layers():
        names = [*_DROPOUT_RATES, *(_NOISE_STRENGTHS if isinstance(layer, _NOISE) else ())]
        own = vars(layer)
        changed += [(own, name, own[name]) for name in names if isinstance(own.get(name), (int, float))]
    try:
        for own, name, _ in changed:
            own[name] = 0.0
        yield
    finally:
        for own, name, strength in changed:
            own[name] = strength
