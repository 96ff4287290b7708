"""The data of a study: checked once, given to every replica in the order of its seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras.src.trainers.data_adapters import get_data_adapter
from numpy.typing import NDArray

from keras_initkit._checks import describe
from keras_initkit.study.arrays import checked_arrays, packed, same_length, taken
from keras_initkit.study.datasets import dataset_of, first_batch, one_pass
from keras_initkit.study.generators import KeptBatches
from keras_initkit.study.python_batches import Batches
from keras_initkit.study.seeding import data_order
from keras_initkit.study.tensorflow_batches import tensorflow_batches
from keras_initkit.study.weights import (
    check_targets_of_classes,
    checked_class_weight,
    checked_sample_weight,
    sample_weight_of_classes,
)
from keras_initkit.tracking.fingerprint import data_sha256

EVALUATION_BATCH = 256  # samples, for arrays; datasets have their own batches

Triple = tuple[Any, Any, Any]  # x, y, sample_weight; None for what there is not


@dataclass(frozen=True)
class StudyData:
    """Training and validation data.

    Attributes:
        x: inputs: an array, a nested dict, list or tuple of arrays with the samples on axis 0, or what gives batches by
            itself (`tf.data.Dataset`, `keras.utils.PyDataset`, torch `DataLoader`, `GeneratorPasses`).
        y: targets in the same form, or None.
        validation: `(x, y)`, `(x, y, sample_weight)`, a dataset, or None: what `fit` takes as `validation_data`.
        samples: number of training samples, None for a dataset.
        sample_weight: weights of the training samples, nested like y, or None. Class weights are in it already.
        class_weight: class weights that Keras applies to each batch of a dataset, or None.
    """

    x: Any
    y: Any
    validation: Any
    samples: int | None
    sample_weight: Any = None
    class_weight: dict[int, float] | None = None

    @classmethod
    def of(
        cls, x: Any, y: Any, validation_data: Any, *, sample_weight: Any = None, class_weight: Any = None
    ) -> "StudyData":
        """Check and convert what the user gave.

        Args:
            x: inputs: arrays with the samples on axis 0; a `tf.data.Dataset`, `keras.utils.PyDataset` or torch
                `DataLoader`; a function without arguments that returns an iterator of batches, called for every pass;
                or a generator or iterator of batches, which is read once and kept.
            y: targets of arrays.
            validation_data: `(x, y)`, `(x, y, sample_weight)`, or whatever else `x` may be, or None.
            sample_weight: weights of arrays, of shape `(samples,)` or nested like y for several outputs.
            class_weight: dict from class to weight, as `fit` takes it.

        Raises:
            ValueError: for NaN or infinite values, lengths that differ, no samples, batches without an end, or weights
                that `fit` would not take.
        """
        class_weight = checked_class_weight(class_weight)
        dataset = dataset_of(x, class_weight)
        if dataset is not None:
            for name, value in (("y", y), ("sample_weight", sample_weight)):
                if value is not None:
                    raise ValueError(
                        f"Expected no `{name}` beside a dataset, which gives its own in its batches. "
                        f"Received: {name}={describe(value)}."
                    )
            left = class_weight if dataset is x else None
            return cls(dataset, None, _validation(validation_data), None, class_weight=left)
        x, y = checked_arrays("x", x), checked_arrays("y", y)
        sample_weight = checked_sample_weight("sample_weight", sample_weight, y)
        if class_weight is not None:
            check_targets_of_classes(y, sample_weight)
            sample_weight = sample_weight_of_classes(y, class_weight)
        samples = same_length(x=x, y=y, sample_weight=sample_weight)
        return cls(x, y, _validation(validation_data), samples, sample_weight)

    @property
    def arrays(self) -> Triple | None:
        """The training data as `(x, y, sample_weight)`, None for what gives its own batches."""
        return None if self.samples is None else (self.x, self.y, self.sample_weight)

    def order(self, seed: int, epoch: int) -> NDArray[np.intp]:
        """Return the order of the samples in an epoch, of shape `(samples,)`; batches are its parts in turn.

        Raises:
            TypeError: for a dataset, which has its own order.
        """
        if self.samples is None:
            raise TypeError(f"Expected arrays. Received: {describe(self.x)}, which gives its batches in its own order.")
        return data_order(seed, epoch, self.samples)

    def sha256(self) -> str | None:
        """Return the fingerprint of all data and weights, None if the content of a dataset cannot be told."""
        training = [self.x, self.y] if self.samples is not None else [self.x]
        if self.sample_weight is not None:
            training.append(self.sample_weight)
        known = self.samples is not None or isinstance(self.x, KeptBatches)
        if not known or not isinstance(self.validation, (tuple, KeptBatches, type(None))):
            return None
        parts = (list(part) if isinstance(part, KeptBatches) else part for part in (*training, self.validation))
        return data_sha256(tuple(parts))

    def training(self, seed: int, batch_size: int, epochs: int) -> dict[str, Any]:
        """Return the arguments of `fit` for the data: batches in the order of the seed, or the dataset itself.

        The batches are the same on every backend; there may be a callback that belongs to them.
        """
        if self.samples is None:
            weights = {} if self.class_weight is None else {"class_weight": self.class_weight}
            return {"x": self.x, "shuffle": False, **weights}
        if keras.backend.backend() == "tensorflow":
            batches = tensorflow_batches(packed(self.x, self.y, self.sample_weight), batch_size, seed, epochs)
            return {"x": batches, "steps_per_epoch": -(-self.samples // batch_size), "shuffle": False}
        own = Batches(self.x, self.y, batch_size, seed, self.sample_weight)
        return {"x": own, "shuffle": False, "callbacks": [own.follow_epochs()]}

    def validating(self) -> dict[str, Any]:
        """Return the arguments of `fit` for the validation data, with the batches that `evaluate` takes."""
        if self.validation is None:
            return {}
        sizes = {"validation_batch_size": EVALUATION_BATCH} if isinstance(self.validation, tuple) else {}
        return {"validation_data": self.validation, **sizes}

    def pass_batches(self, epoch: int = 0) -> Iterator[Triple]:
        """Yield the batches of one pass over a dataset, as `fit` sees them in an epoch.

        Args:
            epoch: number of the epoch since the beginning of a training; a `PyDataset` is told of its end before the
                first one too, as in every `fit`.

        Raises:
            TypeError: for arrays, whose batches follow from `order`.
        """
        if self.samples is not None:
            raise TypeError("Expected a dataset. Received: arrays, whose batches follow from `order(seed, epoch)`.")
        return one_pass(self.x, self.class_weight, first=epoch == 0)

    def training_batches_in_order(self) -> Iterator[Triple]:
        """Yield the training data as `evaluate` sees it, with the weights of training: views of arrays, or a pass."""
        return self.pass_batches() if self.arrays is None else _slices(self.arrays)

    def validation_batches(self) -> Iterator[Triple]:
        """Yield the validation data as `evaluate` sees it: views of arrays, a pass over a dataset, or nothing."""
        if self.validation is None:
            return iter(())
        if isinstance(self.validation, tuple):
            return _slices(keras.utils.unpack_x_y_sample_weight(self.validation))
        return one_pass(self.validation)

    def evaluate(self, model: Any) -> dict[str, float]:
        """Return the model's loss and metrics on the training and the validation data, as `fit` names them.

        The weights of training hold here too, so that these values stand before the curves that `fit` gives.
        """
        dataset = self.x if self.class_weight is None else get_data_adapter(self.x, class_weight=self.class_weight)
        values = _evaluate(model, self.arrays or dataset)
        if self.validation is not None:
            values |= {f"val_{name}": value for name, value in _evaluate(model, self.validation).items()}
        return values

    def metric_names(self, model: Any) -> list[str]:
        """Return the names of the metrics that `fit` will log, from evaluating a few samples."""
        names = list(_evaluate_few(model, *self.few_samples))
        return names if self.validation is None else [*names, *(f"val_{name}" for name in names)]

    def one_batch(self) -> Any:
        """Return a few inputs, to build a model that is not built yet."""
        return self.few_samples[0]

    @cached_property
    def few_samples(self) -> Triple:
        """A few samples as a step of training gets them; read once from a dataset."""
        if self.arrays is None:
            return first_batch(self.x, self.class_weight)
        x, y, sample_weight = (taken(part, slice(2)) for part in self.arrays)
        return x, y, sample_weight


def _validation(data: Any) -> Any:
    if data is None:
        return None
    dataset = dataset_of(data)
    if dataset is not None:
        return dataset
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError(
            "Expected `validation_data` to be a triple (x, y, sample_weight), a pair (x, y) or a dataset. "
            f"Received: {describe(data)}."
        )
    x, y = checked_arrays("validation x", data[0]), checked_arrays("validation y", data[1])
    sample_weight = checked_sample_weight("validation sample_weight", data[2], y) if len(data) == 3 else None
    same_length(validation_x=x, validation_y=y, validation_sample_weight=sample_weight)
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def _slices(data: Triple) -> Iterator[Triple]:
    for start in range(0, len(keras.tree.flatten(data[0])[0]), EVALUATION_BATCH):
        x, y, sample_weight = (taken(part, slice(start, start + EVALUATION_BATCH)) for part in data)
        yield x, y, sample_weight


def _evaluate_few(model: Any, x: Any, y: Any, weight: Any) -> dict[str, Any]:
    """Return the values of loss and metrics, without a function to be compiled if the steps are those of Keras."""
    backend = keras.backend.backend()
    if type(model).test_step is not keras.Model.test_step or backend not in ("tensorflow", "jax"):
        return model.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    if backend == "jax":
        model._symbolic_build(data_batch=(x, y, weight))
        return model.get_metrics_result()
    tensors = keras.tree.map_structure(lambda a: None if a is None else keras.ops.convert_to_tensor(a), (x, y, weight))
    return model.test_step(tensors)


def _evaluate(model: Any, data: Any) -> dict[str, float]:
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    sizes = {"batch_size": EVALUATION_BATCH} if isinstance(data, tuple) else {}
    values = model.evaluate(x, y, sample_weight=sample_weight, verbose=0, return_dict=True, **sizes)
    # As in the logs that curves are made of: a metric of many values, such as one per class, has no curve.
    return {name: float(value) for name, value in values.items() if np.ndim(value) == 0}
