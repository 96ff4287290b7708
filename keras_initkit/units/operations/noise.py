"""Dropout and noise: they tell single units apart."""

import keras

from keras_initkit.units.functions import zero_or_unknown
from keras_initkit.units.operations.registry import handles
from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call

_layers = keras.layers
_ADDITIVE = (_layers.GaussianNoise, _layers.AlphaDropout)  # zeros do not stay zeros


@handles(
    _layers.Dropout,
    _layers.SpatialDropout1D,
    _layers.SpatialDropout2D,
    _layers.SpatialDropout3D,
    _layers.AlphaDropout,
    _layers.GaussianDropout,
    _layers.GaussianNoise,
)
def noise(call: Call, plan: Plan) -> None:
    """Add a random number for every feature, unless one mask is shared by all features or the strength is zero."""
    layer = call.operation
    axes = plan.axes_of(call.tensors[0])
    source = plan.space_of(call.tensors[0], axes)
    shape = getattr(layer, "noise_shape", None)
    one_mask = shape is not None and shape[-1] == 1
    strength = layer.stddev if isinstance(layer, _layers.GaussianNoise) else layer.rate
    if not strength or one_mask:
        plan.set_space(call.outputs[0], source, axes)
        return
    behind = plan.result(call.outputs[0], axes, apart=True, given=isinstance(layer, _ADDITIVE))
    plan.noisy.add(behind)
    plan.copy(source, behind, response=zero_or_unknown)
