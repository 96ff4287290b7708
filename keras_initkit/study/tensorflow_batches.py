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


def with_class_weight(dataset: Any, class_weight: dict[int, float]) -> Any:
    """Return a `tf.data.Dataset` of batches `(x, y)` as one of `(x, y, sample_weight)`.

    Classes are read from the targets as in `sample_weight_of_classes`. `fit(class_weight=...)` is not used, since it
    knows no class beyond the largest in the dict: such a sample is an error on a CPU and has weight 0 on a GPU, where
    arrays and this function give it weight 1.
    """
    import tensorflow as tf

    names = tf.constant(list(class_weight), tf.int64)
    weights = tf.constant(list(class_weight.values()), keras.config.floatx())

    def rounded(y: Any) -> Any:
        return tf.cast(tf.round(y) if y.dtype.is_floating else y, tf.int64)

    def weighted(x: Any, y: Any) -> Any:
        if y.shape.rank > 1:
            classes = tf.cond(tf.shape(y)[-1] > 1, lambda: tf.argmax(y, -1), lambda: rounded(y[..., 0]))
        else:
            classes = rounded(y)
        matches = tf.equal(classes[..., None], names)
        named = tf.reduce_sum(tf.where(matches, weights, tf.zeros_like(weights)), -1)
        return x, y, tf.where(tf.reduce_any(matches, -1), named, tf.ones_like(named))

    return dataset.map(weighted, num_parallel_calls=tf.data.AUTOTUNE)
