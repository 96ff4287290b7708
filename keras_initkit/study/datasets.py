"""Data that give their own batches: what they are, and one pass over them as `fit` and `evaluate` make it."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import keras
import numpy as np
from keras.src.trainers.data_adapters import get_data_adapter, is_tf_dataset, is_torch_dataloader

from keras_initkit._checks import describe
from keras_initkit.study.arrays import no_batches
from keras_initkit.study.generators import GeneratorPasses, KeptBatches
from keras_initkit.study.tensorflow_batches import with_class_weight
from keras_initkit.study.weights import check_targets_of_classes, sample_weight_of_classes

_INFINITE = -1  # tf.data.INFINITE_CARDINALITY


def dataset_of(x: Any, class_weight: dict[int, float] | None = None) -> Any:
    """Return what gives the batches of `x`, or None if `x` is no dataset or generator.

    Args:
        x: anything. Generators become `GeneratorPasses` (functions) or `KeptBatches` (iterators). In their batches and
            those of a `tf.data.Dataset` class weights become sample weights; other datasets are returned as they are.
        class_weight: class to weight, or None.

    Raises:
        ValueError: for a dataset without an end, or batches to which class weights cannot be applied.
    """
    if isinstance(x, (GeneratorPasses, KeptBatches)):
        return x
    if isinstance(x, keras.utils.PyDataset) or is_tf_dataset(x) or is_torch_dataloader(x):
        _check_end(x)
        if class_weight is not None:
            _check_class_weight(x)
            if is_tf_dataset(x):
                return with_class_weight(x, class_weight)
        return x
    if hasattr(x, "__next__"):
        return KeptBatches(x, class_weight)
    if callable(x):
        return GeneratorPasses(x, class_weight)
    return None


def first_batch(dataset: Any, class_weight: dict[int, float] | None = None) -> tuple[Any, Any, Any]:
    """Return the first `(x, y, sample_weight)` of a dataset, with None for what it does not give.

    A `PyDataset` is not told that an epoch begins, nor are its workers started.
    """
    if isinstance(dataset, keras.utils.PyDataset):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(dataset[0])
        if class_weight is not None:
            sample_weight = sample_weight_of_classes(np.asarray(y), class_weight)
        return x, y, sample_weight
    for batch in get_data_adapter(dataset, class_weight=class_weight).get_numpy_iterator():
        return keras.utils.unpack_x_y_sample_weight(batch)
    raise no_batches(dataset)


def one_pass(
    dataset: Any, class_weight: dict[int, float] | None = None, *, first: bool = True
) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the `(x, y, sample_weight)` of one pass, as `fit` makes it in an epoch with `shuffle=False`.

    Args:
        dataset: what `dataset_of` returns.
        class_weight: class weights that a dataset of the user's does not have yet, or None.
        first: whether this is the first pass of a `fit`, or that of an `evaluate`, which begin by telling a `PyDataset`
            that an epoch has ended.
    """
    adapter = get_data_adapter(dataset, class_weight=class_weight)
    if first:
        adapter.on_epoch_end()
    adapter.on_epoch_begin()
    try:
        for batch in islice(adapter.get_numpy_iterator(), adapter.num_batches):
            yield keras.utils.unpack_x_y_sample_weight(batch)
    finally:
        adapter.on_epoch_end()


def _check_end(dataset: Any) -> None:
    if isinstance(dataset, keras.utils.PyDataset):
        endless, empty, advice = dataset.num_batches is None, dataset.num_batches == 0, "Give it a `__len__`."
    elif is_tf_dataset(dataset):
        count = int(dataset.cardinality())
        endless, empty, advice = count == _INFINITE, count == 0, "End it with `.take(n)`, or leave out `.repeat()`."
    else:
        return
    if endless:
        raise ValueError(f"Expected a dataset that ends after one pass. Received: {describe(dataset)}. {advice}")
    if empty:
        raise no_batches(dataset)


def _check_class_weight(dataset: Any) -> None:
    if is_torch_dataloader(dataset):
        raise ValueError(
            "Expected no `class_weight` beside a torch DataLoader, for which Keras has none. "
            f"Received: x={describe(dataset)}. Give batches (x, y, sample_weight)."
        )
    _, y, sample_weight = first_batch(dataset)
    check_targets_of_classes(y, sample_weight)
