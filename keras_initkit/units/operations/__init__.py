"""What each layer and operation of Keras does to the features of its input, as links between spaces.

One module per family; importing this package fills the registry.
"""

from keras_initkit.units.operations import activations as activations
from keras_initkit.units.operations import attention as attention
from keras_initkit.units.operations import convolution as convolution
from keras_initkit.units.operations import dense as dense
from keras_initkit.units.operations import depthwise as depthwise
from keras_initkit.units.operations import dot_attention as dot_attention
from keras_initkit.units.operations import einsum as einsum
from keras_initkit.units.operations import elementwise as elementwise
from keras_initkit.units.operations import embedding as embedding
from keras_initkit.units.operations import merging as merging
from keras_initkit.units.operations import noise as noise
from keras_initkit.units.operations import normalisation as normalisation
from keras_initkit.units.operations import pooling as pooling
from keras_initkit.units.operations import rearranging as rearranging
from keras_initkit.units.operations import recurrent as recurrent
from keras_initkit.units.operations import wrapping as wrapping
from keras_initkit.units.operations.registry import handler_of as handler_of
from keras_initkit.units.operations.registry import has_units as has_units
