"""Whether layers of the user draw random numbers, of which the gradients of one pass say nothing."""

from typing import Any

import keras

from keras_initkit.units.operations import handler_of


def draws_numbers(model: Any) -> bool:
    """Return whether a layer whose effect is not known holds a generator of random numbers."""
    return any(
        handler_of(layer) is None
        and any(isinstance(value, keras.random.SeedGenerator) for value in vars(layer).values())
        for layer in model._flatten_layers()
    )
