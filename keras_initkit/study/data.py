"""The data of a study: checked once, given to every replica in the order of its seed."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_initkit._checks import check_finite, describe
from keras_initkit.study.seeding import data_order
from keras_initkit.study.tensorflow_batches import tensorflow_batches

_EVALUATION_BATCH = 256


@dataclass(frozen=True)
class StudyData:
    """Training and validation data.

    Attributes:
        x: inputs: an array, a nested dict, list or tuple of arrays with the samples on axis 0, or a dataset that gives
            batches by itself (`tf.data.Dataset`, `keras.utils.PyDataset`).
        y: targets in the same form, or None.
        validation: `(x, y)`, a dataset, or None.
        samples: number of training samples, None for a dataset.
    """

    x: Any
    y: Any
    validation: Any
    samples: int | None

    @classmethod
    def of(cls, x: Any, y: Any, validation_data: Any) -> "StudyData":
        """Check and convert what the user gave.

        Raises:
            ValueError: for NaN or infinite values, lengths that differ, no samples, or a generator, which could be read
                only once.
        """
        if _is_dataset(x):
            if y is not None:
                raise ValueError(
                    f"Expected no `y` beside a dataset, which gives its own targets. Received: y={describe(y)}."
                )
            return cls(x, None, _validation(validation_data), None)
        x, y = _arrays("x", x), _arrays("y", y)
        samples = _same_length(x=x, y=y)
        return cls(x, y, _validation(validation_data), samples)

    def training(self, seed: int, batch_size: int, epochs: int) -> dict[str, Any]:
        """Return the arguments of `fit` for the data: batches in the order of the seed, or the dataset itself.

        The batches are the same on every backend; there may be a callback that belongs to them.
        """
        if self.samples is None:
            return {"x": self.x, "shuffle": False}
        if keras.backend.backend() == "tensorflow":
            data = (self.x,) if self.y is None else (self.x, self.y)
            batches = tensorflow_batches(data, batch_size, seed, epochs)
            return {"x": batches, "steps_per_epoch": -(-self.samples // batch_size), "shuffle": False}
        batches = Batches(self.x, self.y, batch_size, seed)
        return {"x": batches, "shuffle": False, "callbacks": [batches.follow_epochs()]}

    def evaluate(self, model: Any) -> dict[str, float]:
        """Return the model's loss and metrics on the training and the validation data, as `fit` names them."""
        values = _evaluate(model, self.x, self.y)
        if self.validation is not None:
            x, y = self.validation if isinstance(self.validation, tuple) else (self.validation, None)
            values |= {f"val_{name}": value for name, value in _evaluate(model, x, y).items()}
        return values

    def metric_names(self, model: Any) -> list[str]:
        """Return the names of the metrics that `fit` will log, from evaluating a few samples."""
        inputs, targets = self._few_samples()
        names = list(model.evaluate(inputs, targets, verbose=0, return_dict=True))
        return names if self.validation is None else [*names, *(f"val_{name}" for name in names)]

    def same_outputs(self, one: Any, other: Any) -> bool:
        """Return whether two models give the same for a few samples, up to rounding."""
        inputs = self.one_batch()
        pairs = zip(
            keras.tree.flatten(one(inputs, training=False)),
            keras.tree.flatten(other(inputs, training=False)),
            strict=True,
        )
        numbers = ((keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b)) for a, b in pairs)
        return all(np.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True) for a, b in numbers)

    def one_batch(self) -> Any:
        """Return a few inputs, to build a model that is not built yet."""
        return self._few_samples()[0]

    def _few_samples(self) -> tuple[Any, Any]:
        if self.samples is not None:
            x = keras.tree.map_structure(lambda array: array[:2], self.x)
            return x, None if self.y is None else keras.tree.map_structure(lambda array: array[:2], self.y)
        batch = next(iter(self.x)) if not isinstance(self.x, keras.utils.PyDataset) else self.x[0]
        if isinstance(batch, (tuple, list)):
            return batch[0], batch[1] if len(batch) > 1 else None
        return batch, None


class Batches(keras.utils.PyDataset):
    """Batches of arrays, in an order given by the seed and the epoch.

    The epoch is told by the callback `follow_epochs`: Keras calls a dataset's own `on_epoch_end` once before training
    too, and its `on_epoch_begin` also when it only looks at the shapes.
    """

    def __init__(self, x: Any, y: Any, batch_size: int, seed: int):
        super().__init__()
        self._x, self._y, self._batch_size, self._seed = x, y, batch_size, seed
        self._samples = len(keras.tree.flatten(x)[0])
        self.start_epoch(0)

    def __len__(self) -> int:
        return -(-self._samples // self._batch_size)

    def __getitem__(self, index: int) -> Any:
        chosen = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        x = keras.tree.map_structure(lambda array: array[chosen], self._x)
        if self._y is None:
            return (x,)
        return x, keras.tree.map_structure(lambda array: array[chosen], self._y)

    def start_epoch(self, epoch: int) -> None:
        """Shuffle for an epoch."""
        self._order = data_order(self._seed, epoch, self._samples)

    def follow_epochs(self) -> Any:
        """Return the callback that shuffles at the beginning of every epoch."""
        return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: self.start_epoch(epoch))


def _is_dataset(x: Any) -> bool:
    if isinstance(x, keras.utils.PyDataset):
        return True
    if any(cls.__module__.startswith("tensorflow.python.data") for cls in type(x).__mro__):
        return True
    if hasattr(x, "__next__"):
        raise ValueError(
            "Expected data that can be read once per replica: arrays, a tf.data.Dataset or a keras.utils.PyDataset. "
            f"Received: x={describe(x)}, which is used up after one pass. Collect it into arrays first."
        )
    return False


def _arrays(name: str, data: Any) -> Any:
    def convert(part: Any) -> Any:
        array = np.asarray(part)
        if array.dtype == object or array.ndim == 0:
            raise ValueError(
                f"Expected `{name}` to be an array, or a dict or list of arrays, with the samples on the first axis. "
                f"Received: {name}={describe(part)}."
            )
        check_finite(name, array, "Remove these samples, or fill the gaps before the study.")
        return array

    return None if data is None else keras.tree.map_structure(convert, data)


def _same_length(**data: Any) -> int:
    lengths = {
        name: sorted({len(a) for a in keras.tree.flatten(part)}) for name, part in data.items() if part is not None
    }
    found = sorted({length for each in lengths.values() for length in each})
    if len(found) != 1 or found[0] == 0:
        raise ValueError(f"Expected the same number of samples, at least one, everywhere. Received: lengths {lengths}.")
    return found[0]


def _validation(data: Any) -> Any:
    if data is None or _is_dataset(data):
        return data
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise ValueError(f"Expected `validation_data` to be a pair (x, y) or a dataset. Received: {describe(data)}.")
    x, y = _arrays("validation x", data[0]), _arrays("validation y", data[1])
    _same_length(validation_x=x, validation_y=y)
    return x, y


def _evaluate(model: Any, x: Any, y: Any) -> dict[str, float]:
    sizes = {} if _is_dataset(x) else {"batch_size": _EVALUATION_BATCH}
    values = model.evaluate(x, y, verbose=0, return_dict=True, **sizes)
    return {name: float(value) for name, value in values.items()}
