"""Training one group of replicas, here or in a worker; a worker imports Keras only once its backend is set.

Importing this module is cheap, and loads neither Keras nor NumPy: it is what a fresh process imports first.
"""

import contextlib
import hashlib
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_initkit.study.engines.group import Member, Note, Outcome, Training

# Building a model seeds generators of the whole process, so groups in threads of one process take turns.
_one_at_a_time = threading.Lock()
_latest: dict[str, Any] = {}  # digest -> what the replicas of the latest study share


class WorkerUnfit(RuntimeError):
    """A worker cannot train the replicas of a study: it has another backend, other versions, or lacks a module."""


@dataclass
class Answer:
    """What comes back of a group.

    Attributes:
        outcomes: one per member, without the weights after training.
        notes: how they were trained.
        error: what ended the group as a whole, such as `CannotStack`, or None.
    """

    outcomes: "list[Outcome]" = field(default_factory=list)
    notes: "list[Note]" = field(default_factory=list)
    error: Exception | None = None


def train_group(
    engine: str,
    training: "Training",
    members: "list[Member]",
    on_epochs: Callable[[int], None],
    on_note: "Callable[[Note], None]",
) -> "Iterator[Outcome]":
    """Yield the outcomes of a group.

    Args:
        engine: `"stacked"`, `"sequential"` or `"auto"`.
        training: what the replicas share.
        members: the replicas.
        on_epochs: called with the number of epochs that were done since the last call, over all replicas.
        on_note: called with how many replicas were trained in which way.

    Raises:
        CannotStack: if `engine` is `"stacked"`, and some replica cannot be stacked.
    """
    from keras_initkit.study.engines.group import Note
    from keras_initkit.study.engines.sequential import SequentialEngine
    from keras_initkit.study.engines.stacked import StackedEngine

    if engine == "sequential":
        on_note(Note(len(members), "one after the other through `fit`"))
        yield from SequentialEngine(training).train(members, on_epochs)
        return
    stacked = StackedEngine(training, strict=engine == "stacked")
    for outcome in stacked.train(members, on_epochs):
        while stacked.notes:  # before the outcomes, which are kept with them
            on_note(stacked.notes.pop(0))
        yield outcome
    for note in stacked.notes:
        on_note(note)


def answer(settings: dict[str, Any], digest: str, shared: bytes | str, members: bytes) -> bytes | None:
    """Train a group that was shipped: the entry of a worker.

    Args:
        settings: Keras settings of the driver, from `keras_settings`.
        digest: SHA-256 of what the replicas of the study share.
        shared: that, pickled, or the path of a file with it.
        members: the members of the group, pickled.

    Returns:
        The pickled `Answer`; None if there is no such file on the machine of the worker.
    """
    with _one_at_a_time:
        given = Answer()
        try:
            _use_backend(settings["backend"])
            content = _content(digest, shared)
            if content is None:
                return None
            engine, training, custom_objects = content
            with _keras_set_to(settings, custom_objects):
                group = _unpickled(members)
                for outcome in train_group(engine, training, group, lambda _: None, given.notes.append):
                    error: Any = outcome.exception and _Shipped(outcome.exception)
                    given.outcomes.append(replace(outcome, exception=error, weights=[]))
        except Exception as error:
            shipped: Any = _Shipped(error)
            given = Answer(error=shipped)
        import cloudpickle

        return cloudpickle.dumps(given)


def forget() -> None:
    """Let go of the data of the latest study in this process."""
    _latest.clear()


def keras_settings() -> dict[str, Any]:
    """Return the global settings of Keras that decide what a replica gives, as plain data."""
    import keras

    from keras_initkit.tracking.environment import environment

    known = environment()
    versions = {name: known[name] for name in known if name.startswith("version/") and name != "version/mlflow"}
    versions["version/python"] = ".".join(versions["version/python"].split(".")[:2])
    return {
        "backend": keras.backend.backend(),
        "versions": versions,
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
        "image_data_format": keras.config.image_data_format(),
        "dtype_policy": keras.dtype_policies.serialize(keras.config.dtype_policy()),
        "jax_enable_x64": _jax().config.jax_enable_x64 if keras.backend.backend() == "jax" else None,
    }


@contextlib.contextmanager
def _keras_set_to(settings: dict[str, Any], custom_objects: dict[str, Any]) -> Iterator[None]:
    import keras

    own = keras_settings()
    if own["versions"] != settings["versions"]:
        pairs = {(name, version, own["versions"].get(name)) for name, version in settings["versions"].items()}
        other = [
            f"{name.partition('/')[2]} {its} instead of {ours}" for name, ours, its in sorted(pairs) if its != ours
        ]
        raise WorkerUnfit(
            f"Expected a worker with the versions of the driver. Received: {', '.join(other)}. Install the same "
            "versions, since replicas are compared with each other."
        )
    _set_keras(settings)
    try:
        with keras.saving.custom_object_scope(custom_objects):
            yield
    finally:
        _set_keras(own)


def _set_keras(settings: dict[str, Any]) -> None:
    import keras

    keras.config.set_floatx(settings["floatx"])
    keras.config.set_epsilon(settings["epsilon"])
    keras.config.set_image_data_format(settings["image_data_format"])
    keras.config.set_dtype_policy(keras.dtype_policies.get(settings["dtype_policy"]))
    if settings["jax_enable_x64"] is not None:
        _jax().config.update("jax_enable_x64", settings["jax_enable_x64"])


def _jax() -> Any:
    import jax

    return jax


def _use_backend(name: str) -> None:
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = name
    import keras

    if keras.backend.backend() != name:
        raise WorkerUnfit(
            f'Expected a worker with the Keras backend "{name}", which the driver has. Received: a process that has '
            f'loaded Keras with "{keras.backend.backend()}" already. Start workers with KERAS_BACKEND={name}.'
        )


def _content(digest: str, shared: bytes | str) -> Any:
    """Return what the replicas of a study share, unpickled once per process; None if its file cannot be read."""
    content = _latest.get(digest)
    if content is None:
        if isinstance(shared, str):
            try:
                shared = Path(shared).read_bytes()
            except OSError:
                return None
            if hashlib.sha256(shared).hexdigest() != digest:
                return None
        forget()
        content = _latest[digest] = _unpickled(shared)
    return content


def _unpickled(content: bytes) -> Any:
    import cloudpickle

    try:
        return cloudpickle.loads(content)
    except Exception as error:
        text = "".join(traceback.format_exception_only(error)).strip()
        raise WorkerUnfit(
            f"Expected a worker that can load `build_model`, the initializers and the data. Received: {text}. Modules "
            "that they come from have to be installed there, or the code written in the script that is run."
        ) from error


class _Shipped:
    """An exception on its way: it arrives as itself, with the traceback of the worker as its cause."""

    def __init__(self, error: Exception) -> None:
        self._text = "".join(traceback.format_exception(error))
        self._error = _portable(error, self._text)

    def __reduce__(self) -> Any:
        return _arrived, (self._error, self._text)


class WorkerTraceback(Exception):
    """Shows where in the worker an error was raised."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _arrived(error: Exception, text: str) -> Exception:
    error.__cause__ = WorkerTraceback(text)
    return error


def _portable(error: Exception, text: str) -> Exception:
    import cloudpickle

    with contextlib.suppress(Exception):  # a user's error class may raise anything when it is copied
        if type(cloudpickle.loads(cloudpickle.dumps(error))) is type(error):
            return error
    return RuntimeError(text.strip())
