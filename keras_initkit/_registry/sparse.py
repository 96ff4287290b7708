"""Kernels that are mostly zeros."""

from keras_initkit._registry.row import Row

SPARSE: tuple[Row, ...] = ()
