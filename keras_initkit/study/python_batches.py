"""The batches of a replica as a `PyDataset`, for the backends that read no tf.data pipeline by themselves."""

from typing import Any

import keras

from keras_initkit.study.arrays import packed, taken
from keras_initkit.study.seeding import data_order


class Batches(keras.utils.PyDataset):
    """Batches of arrays, in an order given by the seed and the epoch.

    The epoch is told by the callback `follow_epochs`: Keras calls a dataset's own `on_epoch_end` once before training
    too, and its `on_epoch_begin` also when it only looks at the shapes.
    """

    def __init__(self, x: Any, y: Any, batch_size: int, seed: int, sample_weight: Any = None):
        super().__init__()
        self._data, self._batch_size, self._seed = packed(x, y, sample_weight), batch_size, seed
        self._samples = len(keras.tree.flatten(x)[0])
        self.start_epoch(0)

    def __len__(self) -> int:
        return -(-self._samples // self._batch_size)

    def __getitem__(self, index: int) -> Any:
        return taken(self._data, self._order[index * self._batch_size : (index + 1) * self._batch_size])

    def start_epoch(self, epoch: int) -> None:
        """Shuffle for an epoch."""
        self._order = data_order(self._seed, epoch, self._samples)

    def follow_epochs(self) -> Any:
        """Return the callback that shuffles at the beginning of every epoch."""
        return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: self.start_epoch(epoch))
