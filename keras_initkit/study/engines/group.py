"""What an engine gets and gives: a group of replicas in, an outcome for each of them out."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
from keras.src.backend.common import global_state
from numpy.typing import NDArray

from keras_initkit._checks import describe
from keras_initkit.study.data import StudyData
from keras_initkit.study.record import Replica
from keras_initkit.study.seeding import replica_randomness


class WrongModel(TypeError):
    """`build_model` returned something else than a compiled Keras model; no replica can be trained."""


@dataclass(frozen=True)
class Member:
    """One replica to train.

    Attributes:
        name: name of the initializer in the study.
        make_initializer: gives what `build_model` gets, called once per replica inside its randomness.
        seed: seed of the replica.
    """

    name: str
    make_initializer: Callable[[], Any]
    seed: int


@dataclass
class Outcome:
    """A trained replica and what the study draws of it.

    Attributes:
        replica: the record.
        exception: the error that ended it, or None.
        pictures: layer -> cosine matrices before and after training.
        weights: the model's variables after training, in the order of `model.variables`; empty after an error.
        alone: whether it was trained by itself, so that its numbers do not depend on others.
    """

    replica: Replica
    exception: Exception | None = None
    pictures: dict[str, tuple[NDArray[Any], NDArray[Any]]] = field(default_factory=dict)
    weights: list[NDArray[Any]] = field(default_factory=list)
    alone: bool = False


@dataclass(frozen=True)
class Note:
    """How some replicas were trained.

    Attributes:
        replicas: their number.
        how: how, and why so.
    """

    replicas: int
    how: str


def joined_notes(notes: Sequence[Note]) -> str:
    """Return in one line how the replicas of a study were trained."""
    parts = []
    for how in dict.fromkeys(note.how for note in notes):
        counts = [note.replicas for note in notes if note.how == how]
        groups = f" ({len(counts)} times)" if len(counts) > 1 else ""
        parts.append(f"{sum(counts)} replica{'s' if sum(counts) > 1 else ''} {how}{groups}")
    return "; ".join(parts)


@dataclass(frozen=True)
class Training:
    """What all replicas of a study share.

    Attributes:
        build_model: the user's function from an initializer to a compiled model.
        data: the data of the study.
        epochs: budget of every replica.
        batch_size: samples per step.
        callbacks: the user's callbacks, given to every `fit`.
        describe_model: called with each model before its training; what it returns is kept in the record.
    """

    build_model: Callable[[Any], Any]
    data: StudyData
    epochs: int
    batch_size: int
    callbacks: tuple[Any, ...] = ()
    describe_model: Callable[[Any], dict[str, Any]] = lambda _: {}

    def build(self, member: Member) -> Any:
        """Return the built and compiled model of one replica, before training."""
        with replica_randomness(member.seed):
            return self.build_here(member.make_initializer)

    def build_here(self, make_initializer: Callable[[], Any]) -> Any:
        """Return a built and compiled model, drawing from the present random state.

        Raises:
            WrongModel: if `build_model` does not return a compiled Keras model.
        """
        with _names_counted_anew():
            model = self.build_model(make_initializer())
        if not isinstance(model, keras.Model) or not getattr(model, "compiled", False):
            what = "an uncompiled model" if isinstance(model, keras.Model) else describe(model)
            raise WrongModel(
                f"Expected `build_model(kernel_initializer)` to return a compiled keras.Model. Received: {what}. "
                "Call `model.compile(...)` in it and return the model."
            )
        if not model.built:
            model(self.data.one_batch(), training=False)
        return model


@contextmanager
def _names_counted_anew() -> Iterator[None]:
    """Let Keras name what has no name of its own ("dense", "dense_1") as in a new process.

    Else the layers of every replica would go by other names, in the rows and in MLflow.
    """
    counts = global_state.get_global_attribute("object_name_uids")
    global_state.set_global_attribute("object_name_uids", None)  # made anew when needed
    try:
        yield
    finally:
        global_state.set_global_attribute("object_name_uids", counts)


class Engine(Protocol):
    """Trains replicas; same results, different speed."""

    training: Training

    def train(self, members: list[Member], on_epochs: Callable[[int], None]) -> Iterator[Outcome]:
        """Yield the outcome of every member, in their order; errors are outcomes too.

        Args:
            members: the replicas to train.
            on_epochs: called with the number of epochs that were done since the last call, over all replicas.
        """
        ...
