"""Mathematics of initialisation, without Keras: fans of kernels, gains of activations, spectra of convolutions."""

from keras_initkit.theory.activations import ACTIVATIONS
from keras_initkit.theory.critical_line import CriticalPoint, critical_point
from keras_initkit.theory.depth import DEPTH_RULES, deepnet_alpha, depth_factor
from keras_initkit.theory.expectations import expectation
from keras_initkit.theory.fans import KernelLayout, fans
from keras_initkit.theory.gains import gain
from keras_initkit.theory.layer_fans import LAYER_KINDS, layer_fans
from keras_initkit.theory.mean_field import MeanField
from keras_initkit.theory.spectra import convolution_singular_values

__all__ = [
    "ACTIVATIONS",
    "DEPTH_RULES",
    "LAYER_KINDS",
    "CriticalPoint",
    "KernelLayout",
    "MeanField",
    "convolution_singular_values",
    "critical_point",
    "deepnet_alpha",
    "depth_factor",
    "expectation",
    "fans",
    "gain",
    "layer_fans",
]
