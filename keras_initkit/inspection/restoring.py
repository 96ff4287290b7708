"""Run a model, train it even, and leave no trace: everything it holds is put back bit for bit."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.utils.tracking import Tracker

from keras_initkit.inspection.random_state import global_generators, preserved_randomness

# What may hold state that running a model changes. Optimizers, losses and metrics are found through the model.
_HOLDERS = (
    keras.Operation,
    keras.Metric,
    keras.Loss,
    keras.Optimizer,
    keras.Initializer,
    keras.regularizers.Regularizer,
    keras.random.SeedGenerator,
    Tracker,
)
_CONTAINERS = (list, OrderedDict, dict, set, deque)


@contextmanager
def preserved(model: Any) -> Iterator[None]:
    """Leave a model and all random states as they were before the block, also if the block raises.

    Kept are all variables (weights, moving statistics, states of dropout, metrics, optimizer and loss scale), and the
    attributes of the model, its layers, optimizer, losses and metrics, with what their lists and dictionaries hold:
    `trainable` flags, the compiled state, what `call` sets. What was not built before is not built afterwards. Other
    objects that the model refers to are kept as they are, not looked into.

    The random states are those of Python, NumPy's legacy generator, Keras' global generator, and the backend.

    Args:
        model: a Keras model, built or not, compiled or not.
    """
    with preserved_randomness():
        memory = _Memory()
        memory.keep(model)
        memory.keep(global_generators())
        try:
            yield
        finally:
            memory.restore()


class _Memory:
    """Copies of what objects hold, at the moment they are kept."""

    def __init__(self) -> None:
        self._contents: list[tuple[Any, Any]] = []  # a container, and what was in it
        self._restore_values: list[Callable[[], None]] = []
        self._seen: dict[int, Any] = {}  # by id; the reference keeps the id from being used again

    def keep(self, item: Any) -> None:
        """Keep an object and all that is reached from it; depth does not matter, so there is no recursion."""
        holders, waiting = _HOLDERS + _backend_holders(), [item]
        while waiting:
            item = waiting.pop()
            if id(item) in self._seen:
                continue
            self._seen[id(item)] = item
            if isinstance(item, holders):
                waiting.append(vars(item))
            elif issubclass(type(item), _CONTAINERS):
                waiting += self._keep_contents(item)
            elif isinstance(item, dict):  # TensorFlow's stand-in for a dictionary of an optimizer
                waiting.append(item.__wrapped__)  # type: ignore[attr-defined]
                self._restore_values.append(_noticed_contents(item))
            elif isinstance(item, tuple):
                waiting.extend(item)
            elif isinstance(item, keras.Variable):
                waiting += self._keep_variable(item)
            elif (restore := _restore_value(item)) is not None:
                self._restore_values.append(restore)

    def restore(self) -> None:
        for container, contents in self._contents:
            if not _holds(container, contents):
                _refill(container, contents)
        for restore in self._restore_values:
            restore()

    def _keep_contents(self, container: Any) -> list[Any]:
        contents = _plain_type(container)(container)
        self._contents.append((container, contents))
        return list(contents.values() if isinstance(contents, dict) else contents)

    def _keep_variable(self, variable: Any) -> list[Any]:
        attributes = vars(variable)
        contents = dict(attributes)
        self._contents.append((attributes, contents))
        value = contents.get("_value")
        if keras.backend.backend() == "jax" and value is not None:
            # Arrays do not change, but a training step may give their memory away.
            contents["_value"] = keras.ops.copy(value)
            return []
        return [value]


def _holds(container: Any, contents: Any) -> bool:
    """Return whether a container holds the very same objects as before."""
    if len(container) != len(contents):
        return False
    if isinstance(container, dict):
        missing = object()
        return all(container.get(key, missing) is value for key, value in contents.items())
    if isinstance(container, set):
        return bool(container == contents)
    return all(now is before for now, before in zip(container, contents, strict=True))


def _refill(container: Any, contents: Any) -> None:
    # The methods of the plain types: those of Keras would track what is put in.
    kind = _plain_type(container)
    kind.clear(container)
    (kind.extend if kind in (list, deque) else kind.update)(container, contents)


def _plain_type(container: Any) -> Any:
    return next(kind for kind in _CONTAINERS if isinstance(container, kind))


def _backend_holders() -> tuple[type, ...]:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf
        from tensorflow.python.trackable.data_structures import ListWrapper

        # Lists of an optimizer are wrapped; what is in them lies in an attribute of the wrapper.
        return (tf.Module, tf.random.Generator, ListWrapper)
    if keras.backend.backend() == "torch":
        import torch

        return (torch.nn.Module,)
    return ()


def _restore_value(item: Any) -> Callable[[], None] | None:
    """Copy what can be overwritten in place; return how to put it back, None for all else."""
    if isinstance(item, np.ndarray):
        return _array(item) if item.flags.writeable else None
    if keras.backend.backend() == "tensorflow":
        return _tensorflow_variable(item)
    if keras.backend.backend() == "torch":
        return _torch_tensor(item)
    return None


def _noticed_contents(wrapper: Any) -> Callable[[], None]:
    # The wrapper refuses to be saved if the dictionary changed without it.
    noticed = wrapper._self_last_wrapped_dict_snapshot
    noticed = None if noticed is None else dict(noticed)
    return lambda: setattr(wrapper, "_self_last_wrapped_dict_snapshot", noticed)


def _array(array: Any) -> Callable[[], None]:
    kept = array.copy()
    return lambda: np.copyto(array, kept)


def _tensorflow_variable(item: Any) -> Callable[[], None] | None:
    import tensorflow as tf

    if not isinstance(item, tf.Variable):
        return None
    kept = tf.identity(item)
    return lambda: item.assign(kept)


def _torch_tensor(item: Any) -> Callable[[], None] | None:
    import torch

    if not isinstance(item, torch.Tensor) or item.device.type == "meta":
        return None
    kept, needs_gradient = item.detach().clone(), item.requires_grad
    gradient = item.grad if item.is_leaf else None
    kept_gradient = None if gradient is None else gradient.clone()

    def restore() -> None:
        item.data.copy_(kept)
        if item.is_leaf:
            item.requires_grad_(needs_gradient)
            item.grad = gradient
            if gradient is not None:
                gradient.copy_(kept_gradient)

    return restore
