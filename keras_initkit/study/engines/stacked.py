"""The stacked engine: replicas whose models differ in nothing but values are trained together, as one program."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from numpy.typing import NDArray

from keras_initkit.study.engines.computation import same_computation, same_function
from keras_initkit.study.engines.exactness import reason_against_stacking
from keras_initkit.study.engines.group import Member, Note, Outcome, Training
from keras_initkit.study.engines.initial_values import DifferentComputation, InitialValues
from keras_initkit.study.engines.pure_step import NotAsFit
from keras_initkit.study.engines.sequential import SequentialEngine
from keras_initkit.study.engines.stack import Computation, Stack
from keras_initkit.study.engines.stack_size import is_out_of_memory, most_replicas
from keras_initkit.tracking.errors import first_line

Values = Callable[[], list[NDArray[Any]]]


class CannotStack(ValueError):
    """The stacked engine was asked for, and cannot give what `fit` gives."""


@dataclass
class _Kind:
    """Members whose models share one computation, and where the values of their variables come from."""

    model: Any
    members: list[Member] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)
    described: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class StackedEngine:
    """Trains replicas together.

    `build_model` is called for the first two seeds of an initializer, and for every further one only if the values of
    its variables cannot be had otherwise. Replicas whose models share one computation, of all initializers, form a
    stack, as many as fit the memory. What cannot be stacked is trained by the sequential engine.

    Args:
        training: what all replicas share.
        strict: whether to raise where a replica cannot be stacked.

    Attributes:
        notes: what was done, and why.
    """

    training: Training
    strict: bool = False
    notes: list[Note] = field(default_factory=list)

    def train(self, members: list[Member], on_epochs: Callable[[int], None]) -> Iterator[Outcome]:
        """Yield the outcome of every member, stack by stack; errors are outcomes too.

        Raises:
            CannotStack: if `strict`, and some replica cannot be stacked.
        """
        kinds, left = self._kinds(members)
        for kind in kinds:
            yield from self._train_kind(kind, left, on_epochs)
        if left:
            yield from SequentialEngine(self.training).train(left, on_epochs)

    def _kinds(self, members: list[Member]) -> tuple[list[_Kind], list[Member]]:
        kinds: list[_Kind] = []
        left: list[Member] = []
        for name in dict.fromkeys(member.name for member in members):
            own = [member for member in members if member.name == name]
            build = partial(self.training.build_here, own[0].make_initializer)
            try:
                source = InitialValues(build, own[0].seed, partial(same_function, data=self.training.data))
            except Exception:
                left += own  # the sequential engine meets the error of each seed, and records it
                continue
            reason = reason_against_stacking(source.model, self.training)
            if reason:
                self._leave(own, left, reason)
                continue
            stacked, values = self._values(source, own, left)
            kind = self._kind_of(source.model, kinds)
            kind.members += stacked
            kind.values += values
            # Only now: the values of the model were compared with those of others before.
            kind.described += [self._described(source, m, v()) for m, v in zip(stacked, values, strict=True)]
        return kinds, left

    def _values(
        self, source: InitialValues, members: list[Member], left: list[Member]
    ) -> tuple[list[Member], list[Values]]:
        """Return the members that can be stacked, and what gives their values; those that are cheap are not kept."""
        stacked: list[Member] = []
        values: list[Values] = []
        for member in members:
            try:
                given = None if source.replayed else source.of(member.seed)
            except DifferentComputation as error:
                reason = f"`build_model` gives another model for some seeds: what differs is {error.difference}"
                self._leave([member], left, reason)
            except Exception:
                left.append(member)
            else:
                stacked.append(member)
                values.append(partial(source.of, member.seed) if given is None else partial(list, given))
        return stacked, values

    def _described(self, source: InitialValues, member: Member, values: list[NDArray[Any]]) -> dict[str, Any]:
        """Return what the record keeps of the initial state; the model of the source changes its values."""
        for variable, value in zip(source.model.variables, values, strict=True):
            variable.assign(value)
        return source.with_seeds_of(member.seed, self.training.describe_model(source.model))

    def _kind_of(self, model: Any, kinds: list[_Kind]) -> _Kind:
        for kind in kinds:
            if same_computation(kind.model, model) and same_function(kind.model, model, self.training.data):
                return kind
        kinds.append(_Kind(model))
        return kinds[-1]

    def _train_kind(self, kind: _Kind, left: list[Member], on_epochs: Callable[[int], None]) -> Iterator[Outcome]:
        size, start = most_replicas(kind.model, self.training), 0
        computation: Computation | None = None
        while start < len(kind.members):
            part = slice(start, start + size)
            try:
                computation = computation or Computation(self.training, kind.model)
                stack = Stack(computation, kind.members[part], kind.values[part], kind.described[part])
                outcomes = stack.train(on_epochs)
            except Exception as error:
                if is_out_of_memory(error) and size > 1:
                    size = -(-size // 2)
                    continue
                reason = str(error) if isinstance(error, NotAsFit) else first_line(error)
                self._leave(kind.members[start:], left, reason)
                return
            self._note(len(outcomes), computation.program.one_by_one)
            yield from outcomes
            start += size

    def _leave(self, members: Sequence[Member], left: list[Member], reason: str) -> None:
        if self.strict:
            raise CannotStack(
                f"Expected a model that can be trained in stacks with the results of `fit`. Received: {reason}. Use "
                'engine="auto" or "sequential".'
            )
        left += members
        self.notes.append(Note(len(members), f"one after the other through `fit`, since {reason}"))

    def _note(self, replicas: int, one_by_one: set[str]) -> None:
        slow = f" ({', '.join(sorted(one_by_one))}: one replica after the other)" if one_by_one else ""
        self.notes.append(Note(replicas, f"together as one program{slow}"))
