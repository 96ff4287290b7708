"""Mathematics of initialisation, without Keras: fans of kernels, gains of activations, spectra of convolutions."""

from keras_initkit.theory.activations import ACTIVATIONS
from keras_initkit.theory.fans import KernelLayout, fans
from keras_initkit.theory.gains import expectation, gain
from keras_initkit.theory.layer_fans import LAYER_KINDS, layer_fans
from keras_initkit.theory.spectra import convolution_singular_values

__all__ = [
    "ACTIVATIONS",
    "LAYER_KINDS",
    "KernelLayout",
    "convolution_singular_values",
    "expectation",
    "fans",
    "gain",
    "layer_fans",
]
