"""Pooling to a given size, which keeps the features like any other pooling."""

import keras

from keras_initkit.units.operations.rearranging import max_pooling, same_features
from keras_initkit.units.operations.registry import handles

_layers = keras.layers

for _dimensions in ("1D", "2D", "3D"):
    handles(getattr(_layers, f"AdaptiveAveragePooling{_dimensions}", None))(same_features)
    handles(getattr(_layers, f"AdaptiveMaxPooling{_dimensions}", None))(max_pooling)
