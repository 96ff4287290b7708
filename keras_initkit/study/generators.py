"""Batches from Python generators: a function is called for every pass, what can be read only once is kept.

A generator function goes to `fit` as Keras' own interface for data, `DataAdapter`, rather than as a `PyDataset`, which
has one state: TensorFlow reads ahead in threads, and an iterator that was left half read would take batches from the
next one. Here every iteration calls the function anew.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

from keras_initkit._checks import describe
from keras_initkit.study.arrays import checked_arrays, no_batches, packed, same_length
from keras_initkit.study.memory import free_memory
from keras_initkit.study.weights import check_targets_of_classes, checked_sample_weight, sample_weight_of_classes

_ENDLESS = 100_000  # batches of one pass
_SHARE = 0.25  # of the free memory, for batches that are kept
_END = object()


class KeptBatches(keras.utils.PyDataset):
    """The batches of a generator or iterator, read once and held once for all replicas and epochs.

    Args:
        batches: an iterator of `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`.
        class_weight: class to weight, or None.

    Raises:
        ValueError: if there are no batches, if they take more than a quarter of the free memory, or do not end.
    """

    def __init__(self, batches: Iterator[Any], class_weight: dict[int, float] | None = None):
        super().__init__()
        self._batches: list[tuple[Any, ...]] = []
        limit, held = int(_SHARE * free_memory()), 0
        for number, batch in enumerate(batches):
            # Some generators fill the same arrays again and again.
            copied = keras.tree.map_structure(np.array, _standard(batch, number, class_weight))
            held += sum(array.nbytes for array in keras.tree.flatten(copied))
            if held > limit or number >= _ENDLESS:
                raise ValueError(
                    f"Expected an iterator of at most {_ENDLESS} batches and {_size(limit)} (a quarter of the free "
                    "memory), since it can be read only once and what it gives is kept. "
                    f"Received: {number + 1} batches of {_size(held)}, and more, from {describe(batches)}. "
                    "Give a generator function, which is called "
                    "for every pass, or a tf.data.Dataset; end an endless one with itertools.islice or `.take(n)`."
                )
            self._batches.append(copied)
        if not self._batches:
            raise no_batches(batches)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self._batches[index]


class GeneratorPasses(DataAdapter):
    """The batches of a function without arguments that returns an iterator, called anew for every pass.

    It is given to `fit` and `evaluate` as `x`. The first pass is made here, to count the batches and to check them.

    Args:
        function: returns an iterator of `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`.
        class_weight: class to weight, or None.

    Raises:
        ValueError: if it needs arguments, gives the same iterator twice, no batches, batches that differ in structure
            or type, or batches without an end.
    """

    def __init__(self, function: Callable[[], Iterable[Any]], class_weight: dict[int, float] | None = None):
        self._function, self._class_weight = function, class_weight
        self._count = 0  # until the first pass is through
        _check_function(function)
        self._nest: Any = None
        self._forms: list[_Form] = []
        count = 0
        for count, batch in enumerate(self, start=1):
            arrays = keras.tree.flatten(batch)
            if count == 1:
                self._nest = keras.tree.map_structure(lambda _: 0, batch)
                self._forms = [_form(array) for array in arrays]
            else:
                _check_nest(self._nest, batch, count - 1)
                self._forms = [_merged(f, a, count - 1) for f, a in zip(self._forms, arrays, strict=True)]
            if count > _ENDLESS:
                raise ValueError(
                    f"Expected a generator function that ends after one pass over the data. Received: {_ENDLESS} "
                    f"batches, and more, from {describe(function)}. End it, such as by "
                    "`lambda: itertools.islice(batches(), n)`, or give a tf.data.Dataset with `.take(n)`."
                )
        if count == 0:
            raise no_batches(function)
        self._count = count

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        seen, batches = 0, iter(self._function())
        for seen, batch in enumerate(batches, start=1):
            # Keras asks for no more than it expects, so the end is looked for before the last batch is given.
            if seen == self._count and next(batches, _END) is not _END:
                raise self._uneven(f"more than {seen}")
            yield _standard(batch, seen - 1, self._class_weight)
        if self._count and seen != self._count:
            raise self._uneven(str(seen))

    def _uneven(self, received: str) -> Exception:
        return ValueError(
            "Expected a generator function that gives the same number of batches in every pass. "
            f"Received: {self._count} in the first pass and {received} in a later one from {describe(self._function)}."
        )

    @property
    def num_batches(self) -> int:
        """Number of batches of a pass."""
        return self._count

    @property
    def batch_size(self) -> None:
        """Unknown: batches may be of any size."""
        return

    def get_numpy_iterator(self) -> Iterator[Any]:
        """Return the batches of a pass, for any backend."""
        return iter(self)

    def get_jax_iterator(self) -> Iterator[Any]:
        """Return the batches of a pass, for JAX."""
        return iter(self)

    def get_tf_dataset(self) -> Any:
        """Return the batches of a pass, for TensorFlow."""
        import tensorflow as tf

        def spec(form: _Form) -> Any:
            shape, dtype = form
            return tf.TensorSpec(shape, tf.string if dtype.kind in "US" else dtype)

        signature = keras.tree.pack_sequence_as(self._nest, [spec(form) for form in self._forms])
        dataset = tf.data.Dataset.from_generator(lambda: iter(self), output_signature=signature)
        return dataset.prefetch(tf.data.AUTOTUNE)

    def get_torch_dataloader(self) -> Any:
        """Return the batches of a pass, for torch."""
        from keras.src.trainers.data_adapters.data_adapter_utils import get_torch_dataloader

        return get_torch_dataloader(self)


_Form = tuple[tuple[int | None, ...], np.dtype[Any]]  # shape, None where batches differ, and type


def _standard(batch: Any, number: int, class_weight: dict[int, float] | None) -> tuple[Any, ...]:
    """Return a batch as `(x,)`, `(x, y)` or `(x, y, sample_weight)` of arrays; class weights become sample weights."""
    parts = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    if not 1 <= len(parts) <= 3:
        raise ValueError(
            "Expected batches of the form x, (x,), (x, y) or (x, y, sample_weight). "
            f"Received: {describe(batch)} as batch {number}."
        )
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(parts)
    x, y = checked_arrays(f"x of batch {number}", x), checked_arrays(f"y of batch {number}", y)
    sample_weight = checked_sample_weight(f"sample_weight of batch {number}", sample_weight, y)
    if class_weight is not None:
        check_targets_of_classes(y, sample_weight)
        sample_weight = sample_weight_of_classes(y, class_weight)
    same_length(x=x, y=y, sample_weight=sample_weight)
    # TensorFlow takes lists for tensors, so nests are tuples and dicts.
    return keras.tree.lists_to_tuples(packed(x, y, sample_weight))


def _check_function(function: Callable[[], Iterable[Any]]) -> None:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        raise ValueError(
            "Expected a function without arguments that returns an iterator of batches. "
            f"Received: x={describe(function)}. Bind its arguments, such as by `lambda: batches(path)`."
        ) from None
    one, other = function(), function()
    if not isinstance(one, Iterable):
        raise ValueError(
            "Expected a function that returns an iterator of batches. "
            f"Received: {describe(one)} from {describe(function)}."
        )
    if one is other and hasattr(one, "__next__"):
        raise ValueError(
            "Expected a function that returns a new iterator whenever it is called. "
            f"Received: the same one twice from {describe(function)}. Make the iterator inside the function."
        )


def _form(array: Any) -> _Form:
    return (None, *array.shape[1:]), array.dtype


def _merged(form: _Form, array: Any, number: int) -> _Form:
    shape, dtype = form
    same_type = array.dtype == dtype or array.dtype.kind == dtype.kind == "U" or array.dtype.kind == dtype.kind == "S"
    if array.ndim != len(shape) or not same_type:
        raise ValueError(
            "Expected batches of one number of axes and one type. "
            f"Received: {describe(array)} in batch {number}, after shape {shape} and dtype {dtype}."
        )
    return tuple(a if a == b else None for a, b in zip(shape, array.shape, strict=True)), dtype


def _check_nest(nest: Any, batch: Any, number: int) -> None:
    try:
        keras.tree.assert_same_structure(nest, keras.tree.map_structure(lambda _: 0, batch))
    except (ValueError, TypeError):
        raise ValueError(
            "Expected batches of one structure. "
            f"Received: {keras.tree.map_structure(np.shape, batch)} in batch {number}, other than in the first."
        ) from None


def _size(nbytes: int) -> str:
    unit = next((power for power in (3, 2, 1) if nbytes >= 1000**power), 0)
    return f"{nbytes / 1000**unit:.3g} {('bytes', 'kB', 'MB', 'GB')[unit]}"
