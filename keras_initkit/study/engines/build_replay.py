"""The initial values of another seed, from the initializers of a model that was built with one seed."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import describe
from keras_initkit.study.engines.build_record import BuildRecord, draw_seeds
from keras_initkit.study.engines.drawn_seeds import attribute_from_seed, holds_seed
from keras_initkit.study.seeding import untouched_randomness
from keras_initkit.units.arrays import to_numpy


class NotReplayable(Exception):
    """The values of other seeds cannot be told without building their models; the message says why."""


@dataclass(frozen=True)
class _Call:
    """One call of an initializer: its arguments, and the place of the variable in the model, if it has one there."""

    initializer: Any
    shape: tuple[int, ...]
    dtype: str
    place: int | None


class BuildReplay:
    """Computes what the variables of a model would be for another seed.

    The initializers of the recorded build are copied with the seeds that Keras would draw for the other seed in place
    of those it drew, and called in the same order. Initializers without a drawn seed or a generator give the same for
    every seed.

    Args:
        record: the build of the first seed.
        values: values of the variables of its model.

    Raises:
        NotReplayable: if the record shows that other seeds may give something else.
    """

    def __init__(self, record: BuildRecord, values: Sequence[NDArray[Any]]) -> None:
        if record.other_randomness:
            raise NotReplayable(record.other_randomness)
        if len(set(record.seeds)) < len(record.seeds):
            raise NotReplayable("Keras drew the same seed twice by chance.")
        self._seeds = record.seeds
        self._values = list(values)
        self._generators = {id(generator): (generator, start) for generator, start in record.generators}
        places = {id(variable): place for place, variable in enumerate(record.model.variables)}
        states = {id(generator.state): generator for generator, _ in record.generators}
        self._states = {places[key]: generator for key, generator in states.items() if key in places}
        calls = [
            _Call(initializer, tuple(variable.shape), variable.dtype, places.get(id(variable)))
            for variable, initializer in record.variables
            if id(variable) not in states and callable(initializer)
        ]
        made = {call.place for call in calls} | set(self._states)
        for place, variable in enumerate(record.model.variables):
            if place not in made:
                raise NotReplayable(f"No initializer gave the variable {variable.path} its value.")
        self._calls, self._constant = [], []
        for call in calls:
            if holds_seed(call.initializer, self._seeds):
                self._check_copies(call.initializer)
                self._calls.append(call)
            elif call.place is not None:
                self._constant.append(call)

    def values(self, seed: int) -> list[NDArray[Any]]:
        """Return the values of the model's variables for a seed, in their order."""
        return self._run(seed, self._calls)[0]

    def check_first(self, record: BuildRecord, seed: int) -> None:
        """Raise NotReplayable unless the replay of the recorded seed gives the recorded model, bit for bit."""
        values, seeded = self._run(seed, [*self._calls, *self._constant])
        for variable, value, known in zip(record.model.variables, values, self._values, strict=True):
            if not same_bits(value, known):
                raise NotReplayable(
                    f"The variable {variable.path} does not have the value that its initializer gives for its seed."
                )
        for generator, _ in record.generators:
            # One that nothing was drawn from in the replay is still where it started.
            if not np.array_equal(to_numpy(generator.state), seeded.generator(generator).state):
                raise NotReplayable(f"Something else than an initializer draws from the generator {generator.name}.")

    def _check_copies(self, initializer: Any) -> None:
        if isinstance(initializer, keras.initializers.Initializer):
            name = attribute_from_seed(initializer, self._seeds)
            if name:
                raise NotReplayable(f"`{name}` of {describe(initializer)} depends on its seed or is not in its config.")

    def _run(self, seed: int, calls: Sequence[_Call]) -> tuple[list[NDArray[Any]], "_Seeded"]:
        seeded = self._seeded(draw_seeds(seed, len(self._seeds))[0])
        values = list(self._values)
        with untouched_randomness():
            for call in calls:
                value = seeded.copy(call.initializer)(call.shape, dtype=call.dtype)
                if call.place is not None:
                    known = self._values[call.place]
                    array = np.asarray(keras.ops.convert_to_numpy(value))
                    values[call.place] = array.astype(known.dtype, copy=False)
        for place, generator in self._states.items():
            values[place] = np.array(seeded.generator(generator).state, dtype=self._values[place].dtype)
        return values, seeded

    def _seeded(self, seeds: Sequence[int]) -> "_Seeded":
        return _Seeded(dict(zip(self._seeds, seeds, strict=True)), self._generators)


class _Seeded:
    """Copies of initializers for one replay: every drawn seed replaced, every generator started anew.

    An initializer or generator that serves many variables is one object in the copies too. Plain functions stay as they
    are, so they may not close over a seed.
    """

    def __init__(self, seeds: dict[int, int], generators: dict[int, tuple[Any, int | None]]) -> None:
        self._new_seeds, self._known = seeds, generators
        self._copies: dict[int, Any] = {}

    def copy(self, value: Any) -> Any:
        """Return a copy of an initializer, or of something that one holds."""
        if type(value) is int:
            return self._new_seeds.get(value, value)
        if id(value) in self._copies:
            return self._copies[id(value)]
        if isinstance(value, keras.random.SeedGenerator):
            return self.generator(value)
        if isinstance(value, keras.initializers.Initializer):
            copied = self._copies[id(value)] = copy.copy(value)
            copied.__dict__.update({name: self.copy(part) for name, part in vars(value).items()})
            return copied
        if type(value) in (list, tuple):
            return type(value)(self.copy(part) for part in value)
        if type(value) is dict:
            return {key: self.copy(part) for key, part in value.items()}
        if holds_seed(value, self._new_seeds):
            raise NotReplayable(f"A seed was drawn for {describe(value)}, which cannot be given another one.")
        return value

    def generator(self, generator: Any) -> "_FreshGenerator":
        """Return what stands for a generator of the recorded build in this replay."""
        if id(generator) not in self._copies:
            _, start = self._known.get(id(generator), (None, None))
            if start is None or type(generator) is not keras.random.SeedGenerator:
                raise NotReplayable("An initializer draws from a generator that was not made in `build_model`.")
            dtype = keras.backend.standardize_dtype(generator.state.dtype)
            self._copies[id(generator)] = _FreshGenerator(self._new_seeds.get(start, start), dtype)
        found: _FreshGenerator = self._copies[id(generator)]
        return found


class _FreshGenerator(keras.random.SeedGenerator):
    """A `SeedGenerator` that counts in Python: making and advancing a variable costs more than drawing a kernel."""

    def __init__(self, seed: int, dtype: str) -> None:  # the parent's makes a variable
        self.state = [seed, 0]
        self._dtype = dtype

    def next(self, ordered: bool = True) -> Any:
        if not ordered:
            raise NotReplayable("An initializer draws unordered seeds from a generator.")
        seed = keras.ops.convert_to_tensor(np.array(self.state, self._dtype))
        self.state = [self.state[0], self.state[1] + 1]
        return seed


def same_bits(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Return whether two arrays have the same type, shape and bytes."""
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
