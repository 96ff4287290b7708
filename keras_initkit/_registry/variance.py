"""Independent weights whose variance follows from the size of the layer or the depth of the network."""

from keras_initkit._registry.row import Row

VARIANCE: tuple[Row, ...] = ()
