"""Biases, which belong to one unit each."""

from keras_initkit._registry.row import Row

BIAS: tuple[Row, ...] = ()
