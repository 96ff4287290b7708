"""Wrappers whose layer does the work."""

import keras

from keras_initkit.units.features import NotUnderstood
from keras_initkit.units.operations.registry import handler_of, handles
from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call


@handles(keras.layers.SpectralNormalization, units=True)
def spectral_normalisation(call: Call, plan: Plan) -> None:
    """Divide all weights of a layer by one number, which leaves equal what is equal and zero what is zero."""
    layer = call.operation.layer
    handler = handler_of(layer)
    if handler is None:
        raise NotUnderstood
    handler(Call(layer, call.args[:1], {}, call.tensors, call.outputs), plan)
