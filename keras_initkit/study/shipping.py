"""Groups of replicas trained in other processes or on other machines, through any `concurrent.futures.Executor`."""

import hashlib
import pickle
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
from keras.src.backend.common import global_state

from keras_initkit.study.engines.group import Member, Note, Outcome, Training
from keras_initkit.study.executors import check_executor
from keras_initkit.study.process_executor import WorkersDoNotStart
from keras_initkit.study.record import Replica
from keras_initkit.study.unpicklable import pickled
from keras_initkit.study.worker import Answer, answer, forget, keras_settings
from keras_initkit.tracking.errors import first_line

_LARGE = 1_000_000  # bytes; what replicas share goes through a file beyond that, not once more with every group

Trained = tuple[int, list[Outcome], list[Note]]


class WorkerLost(RuntimeError):
    """A group of replicas was not trained, since its worker died or could not be reached."""


def trained_elsewhere(
    executor: Executor,
    training: Training,
    engine: str,
    groups: Sequence[list[Member]],
    on_epochs: Callable[[int], None] = lambda _: None,
) -> Generator[Trained]:
    """Train groups of replicas in the workers of an executor.

    Everything is pickled and checked here; training begins when the first value is asked for. When the iterator is
    closed, by an error or Ctrl-C, groups that are left are cancelled, and those that are running not waited for.

    Args:
        executor: where to train.
        training: what all replicas share. Workers have copies of it, of the callbacks too.
        engine: `"stacked"`, `"sequential"` or `"auto"`.
        groups: the replicas.
        on_epochs: called with the number of epochs of a group when it is finished.

    Returns:
        Generator of (index of the group, outcome of each member, notes of the engine), as groups get finished. Replicas
        of a group whose worker died are outcomes that failed with a `WorkerLost`.

    Raises:
        TypeError: if something cannot be pickled, or `executor` is no executor.
        ValueError: for a `ProcessPoolExecutor` that forks.
        WorkerUnfit: while iterating, if a worker has another backend or other versions, or lacks a module.
        CannotStack: while iterating, if `engine` is `"stacked"` and a replica cannot be stacked.
    """
    check_executor(executor)
    shipment = _Shipment(training, engine, groups)
    return _trained(executor, shipment, on_epochs)


class _Shipment:
    """All that workers need, pickled: what the replicas share once, and the members of each group."""

    def __init__(self, training: Training, engine: str, groups: Sequence[list[Member]]) -> None:
        self._settings = keras_settings()
        self._epochs = training.epochs
        self.groups = groups
        data = training.data
        parts = {
            "`build_model`": training.build_model,
            "`callbacks`": training.callbacks,
            "`x`": data.x,
            "`validation_data`": data.validation,
            "a custom object of Keras": _custom_objects(),
        }
        self._shared: bytes | str = pickled((engine, training, _custom_objects()), parts)
        self._digest = hashlib.sha256(self._shared).hexdigest()
        makers = {f"the initializer {m.name!r}": m.make_initializer for group in groups for m in group}
        self._members = [pickled(group, makers) for group in groups]

    @contextmanager
    def in_file_if_large(self) -> Iterator[None]:
        """Keep what the replicas share in a file while the block runs, rather than once more with every group."""
        if len(self._shared) <= _LARGE or isinstance(self._shared, str):
            yield
            return
        with TemporaryDirectory(prefix="keras-initkit-", ignore_cleanup_errors=True) as folder:
            path = Path(folder, "study.pickle")
            path.write_bytes(self._shared)
            self._shared = str(path)
            yield

    def submit(self, executor: Executor, index: int, *, far: bool = False) -> "Future[bytes | None]":
        """Submit a group; a worker that is far does not see files of this machine."""
        shared = Path(self._shared).read_bytes() if far and isinstance(self._shared, str) else self._shared
        return executor.submit(answer, self._settings, self._digest, shared, self._members[index])

    def epochs(self, index: int) -> int:
        return self._epochs * len(self.groups[index])

    def lost(self, index: int, reason: str) -> Trained:
        """Return the outcomes of a group that was not trained."""
        members = self.groups[index]
        error = WorkerLost(
            f"Expected a worker that trains a group of {len(members)} replicas to its end. Received: {reason}. Workers "
            "die most often of too little memory, so take fewer at a time, and see what they have printed."
        )
        text = f"{type(error).__name__}: {error}"
        return index, [Outcome(Replica(m.name, m.seed, "failed", text), error) for m in members], []


def _trained(executor: Executor, shipment: _Shipment, on_epochs: Callable[[int], None]) -> Generator[Trained]:
    waiting: dict[Future[bytes | None], int] = {}
    try:
        with shipment.in_file_if_large():
            for index in range(len(shipment.groups)):
                try:
                    waiting[shipment.submit(executor, index)] = index
                except BrokenExecutor as error:
                    on_epochs(shipment.epochs(index))
                    yield shipment.lost(index, first_line(error))
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    index = waiting.pop(future)
                    trained = _received(future, index, shipment)
                    if trained is None:
                        waiting[shipment.submit(executor, index, far=True)] = index
                        continue
                    on_epochs(shipment.epochs(index))
                    yield trained
    finally:
        for future in waiting:
            future.cancel()
        forget()  # what threads of this process have unpickled


def _received(future: "Future[bytes | None]", index: int, shipment: _Shipment) -> Trained | None:
    """Return what came of a group; None if its worker is too far to see the file with the data."""
    if future.cancelled():
        return shipment.lost(index, "it was cancelled")
    failure = future.exception()
    if isinstance(failure, WorkersDoNotStart):
        raise failure
    if failure is not None:
        # Ray wraps what a task raises.
        return shipment.lost(index, first_line(getattr(failure, "cause", None) or failure))
    content = future.result()
    if content is None:
        return None
    given: Answer = pickle.loads(content)
    if given.error is not None:
        raise given.error
    return index, given.outcomes, given.notes


def _custom_objects() -> dict[str, Any]:
    """Return what Keras finds by name and a worker would not register by importing a module: objects of the script."""
    known = {
        **keras.saving.get_custom_objects(),
        **global_state.get_global_attribute("custom_objects_scope_dict", {}),
    }
    return {name: value for name, value in known.items() if _is_of_script(value)}


def _is_of_script(value: Any) -> bool:
    return getattr(value, "__module__", "") == "__main__" or "<locals>" in getattr(value, "__qualname__", "")
