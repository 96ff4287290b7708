"""The batches of a replica as a tf.data pipeline: one Python call per epoch instead of one per step."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_initkit.study.seeding import data_order


def tensorflow_batches(data: tuple[Any, ...], batch_size: int, seed: int, epochs: int) -> Any:
    """Return a `tf.data.Dataset` with the batches of all epochs, the same as those of `Batches`.

    Args:
        data: `(x,)`, `(x, y)` or `(x, y, sample_weight)`, each an array or a nest of arrays with the samples on axis 0.
        batch_size: samples per step.
        seed: seed of the order.
        epochs: number of epochs.
    """
    import tensorflow as tf

    samples = len(keras.tree.flatten(data)[0])

    def epoch_by_epoch() -> Iterator[Any]:
        for epoch in range(epochs):
            order = data_order(seed, epoch, samples)
            yield keras.tree.map_structure(lambda array, order=order: array[order], tuples)

    # TensorFlow takes lists for tensors, so nests are tuples and dicts.
    tuples = keras.tree.lists_to_tuples(data)
    signature = keras.tree.map_structure(lambda array: tf.TensorSpec(np.shape(array), array.dtype), tuples)
    dataset = tf.data.Dataset.from_generator(epoch_by_epoch, output_signature=signature)
    return dataset.flat_map(_batched(batch_size)).prefetch(tf.data.AUTOTUNE)


def _batched(batch_size: int) -> Any:
    import tensorflow as tf

    def batches(*epoch: Any) -> Any:
        return tf.data.Dataset.from_tensor_slices(epoch).batch(batch_size)

    return batches
