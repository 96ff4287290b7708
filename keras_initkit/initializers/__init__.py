"""Initializers for Keras layers. Importing this package registers all of them with Keras.

Keras finds classes of other packages only if they were imported: write `import keras_initkit.initializers` before
loading a saved model that uses one of these, or before naming one as `"keras_initkit>ZerO"`.
"""

from keras_initkit._registry import ROWS
from keras_initkit.initializers.activation_scaled import ActivationScaled
from keras_initkit.initializers.base import KernelInitializer
from keras_initkit.initializers.bases import DCT, Hadamard
from keras_initkit.initializers.blocks import Grouped, PerGate, PerHead
from keras_initkit.initializers.chrono import ChronoBias
from keras_initkit.initializers.conv_orthogonal import ConvOrthogonal, DeltaOrthogonal
from keras_initkit.initializers.convolution_aware import ConvolutionAware
from keras_initkit.initializers.critical import CriticalBias, CriticalKernel
from keras_initkit.initializers.description import describe
from keras_initkit.initializers.distinct import Distinct
from keras_initkit.initializers.gabor import Gabor
from keras_initkit.initializers.identity import Dirac, ZerO
from keras_initkit.initializers.idinit import IDInit
from keras_initkit.initializers.layer_fans import LayerFans
from keras_initkit.initializers.orthogonal import ScaledOrthogonal
from keras_initkit.initializers.output_prior import OutputPrior
from keras_initkit.initializers.planted import Perturbed, Tiled
from keras_initkit.initializers.portable import Portable
from keras_initkit.initializers.random_walk import RandomWalk
from keras_initkit.initializers.recurrent_kernels import BlockRotation, NormalizedPositive
from keras_initkit.initializers.registry import get, serialize
from keras_initkit.initializers.scaled import Scaled
from keras_initkit.initializers.seeding import fresh_per_call, reseeded
from keras_initkit.initializers.sinusoidal import Sinusoidal
from keras_initkit.initializers.siren import SIREN
from keras_initkit.initializers.sparse import Sparse, SparseLecun
from keras_initkit.initializers.spectral import Spectral
from keras_initkit.initializers.torch_default import TorchDefault, TorchDefaultBias
from keras_initkit.initializers.transformer import DepthScaled, SmallInit, WangInit
from keras_initkit.initializers.transposed import Transposed
from keras_initkit.initializers.upsampling import ICNR, Bilinear

__all__ = [
    "ROWS",
    "ActivationScaled",
    "Bilinear",
    "BlockRotation",
    "ChronoBias",
    "ConvOrthogonal",
    "ConvolutionAware",
    "CriticalBias",
    "CriticalKernel",
    "DCT",
    "DeltaOrthogonal",
    "DepthScaled",
    "Dirac",
    "Distinct",
    "Gabor",
    "Grouped",
    "Hadamard",
    "ICNR",
    "IDInit",
    "KernelInitializer",
    "LayerFans",
    "NormalizedPositive",
    "OutputPrior",
    "PerGate",
    "PerHead",
    "Perturbed",
    "Portable",
    "RandomWalk",
    "SIREN",
    "Scaled",
    "ScaledOrthogonal",
    "Sinusoidal",
    "SmallInit",
    "Sparse",
    "SparseLecun",
    "Spectral",
    "Tiled",
    "TorchDefault",
    "TorchDefaultBias",
    "Transposed",
    "WangInit",
    "ZerO",
    "describe",
    "fresh_per_call",
    "get",
    "reseeded",
    "serialize",
]
