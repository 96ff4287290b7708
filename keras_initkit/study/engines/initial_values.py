"""The initial values of every replica of an initializer, without building every model."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from keras_initkit.study.engines.build_record import BuildRecord, draw_seeds, recorded_build
from keras_initkit.study.engines.build_replay import BuildReplay, NotReplayable, same_bits
from keras_initkit.study.engines.model_difference import constant_difference, constants_of, structural_difference
from keras_initkit.units.arrays import to_numpy


class DifferentComputation(Exception):
    """The model of a seed differs from that of the first seed in more than the values of its variables.

    Attributes:
        difference: what differs.
    """

    def __init__(self, message: str, difference: str) -> None:
        super().__init__(message)
        self.difference = difference


class InitialValues:
    """The variables that `build` gives for each seed, bit for bit.

    Building a model costs far more than drawing its kernels. Keras takes all seeds it draws from Python's `random`, so
    the initializers of the first model, called with the seeds that another replica would draw, give the variables of
    that replica. This is done only where it is shown to be the same:

    - nothing but Keras' own seeds is drawn while the first model is built, and no generator is advanced but by
      initializers;
    - the initializers, called again with the seeds of the first model, give its variables bit for bit;
    - the model of a second seed is built too: it has the replayed values bit for bit, and the same computation,
      constants and outputs.

    Else the model of every seed is built. What two models cannot show is a structure that depends on the sign or the
    order of drawn weights and is the same in both by chance.

    Args:
        build: returns a built and compiled model. It is called inside `replica_randomness(seed)`.
        first_seed: the seed of the model that is kept.
        same_outputs: returns whether two models with equal variables give the same for a few samples, as
            `same_function` does.

    Attributes:
        model: the model of the first seed. Its variables hold the first seed's values and are never changed here.
    """

    def __init__(self, build: Callable[[], Any], first_seed: int, same_outputs: Callable[[Any, Any], bool]) -> None:
        self._build, self._first_seed, self._same_outputs = build, first_seed, same_outputs
        first = recorded_build(build, first_seed)
        self.model = first.model
        self._seeds, self._constants = first.seeds, constants_of(first.model)
        self._drawn = {first_seed: first.seeds}
        self._values = _values_of(first.model)
        self._proven = False
        self._replay, self._reason = self._first_replay(first)

    @property
    def replayed(self) -> bool:
        """Whether models of further seeds are spared. It is not before the model of a second seed was compared."""
        return self._proven

    @property
    def reason(self) -> str:
        """Why every model is built, in a sentence; empty if it is not."""
        return self._reason

    def of(self, seed: int) -> list[NDArray[Any]]:
        """Return the values of the model's variables for a seed, random states included.

        Returns:
            Arrays in the order of `model.variables`; do not write into them.

        Raises:
            DifferentComputation: if the model of this seed had to be built and differs in more than values.
        """
        if seed == self._first_seed:
            return list(self._values)
        if self._proven and self._replay is not None:
            return self._replay.values(seed)
        other = recorded_build(self._build, seed)
        self._drawn[seed] = other.seeds
        values = _values_of(other.model)
        self._check_computation(other, seed)
        if self._replay is not None:
            self._compare(self._replay, other, seed, values)
        return values

    def with_seeds_of(self, seed: int, description: Any) -> Any:
        """Return a description of the first model with the seeds that Keras drew for another one in place of its own.

        Args:
            seed: seed of a replica whose values were asked for.
            description: nested dicts and lists; seeds stand in it as integers or in texts.
        """
        drawn = self._drawn.get(seed) or draw_seeds(seed, len(self._seeds))[0]
        return _with_numbers(description, dict(zip(self._seeds, drawn, strict=False)))

    def _first_replay(self, first: BuildRecord) -> tuple[BuildReplay | None, str]:
        # A plain function may draw from a generator of the model when it is called again.
        states = [*first.model.variables, *(generator.state for generator, _ in first.generators)]
        before = [to_numpy(state) for state in states]
        try:
            replay = BuildReplay(first, self._values)
            replay.check_first(first, self._first_seed)
        except NotReplayable as error:
            return None, str(error)
        except Exception as error:  # initializers are the user's code too
            return None, f"An initializer cannot be copied and called again: {type(error).__name__}: {error}"
        finally:
            _restore(states, before)
        return replay, "The model of a second seed has not been built yet."

    def _check_computation(self, other: BuildRecord, seed: int) -> None:
        """Raise DifferentComputation if a model differs from the first in more than values."""
        seeds = dict(zip(self._seeds, other.seeds, strict=False))
        difference = structural_difference(self.model, other.model)
        if not difference:
            difference = constant_difference(self._constants, constants_of(other.model), seeds)
        if not difference and not self._outputs_agree(other.model):
            difference = "its outputs with equal variables, so it holds a constant of its own"
        if difference:
            self._give_up(f"The model of seed {seed} differs in more than values: {difference}.")
            raise DifferentComputation(
                "Expected `build_model` to give models that differ only in the values of their variables. "
                f"Received: for seed {seed} another model than for seed {self._first_seed}; what differs is "
                f"{difference}.",
                difference,
            )

    def _outputs_agree(self, other: Any) -> bool:
        for variable, value in zip(other.variables, self._values, strict=True):
            variable.assign(value)
        try:
            return self._same_outputs(self.model, other)
        finally:
            _restore(self.model.variables, self._values)

    def _compare(self, replay: BuildReplay, other: BuildRecord, seed: int, values: list[NDArray[Any]]) -> None:
        if other.other_randomness or len(other.seeds) != len(self._seeds):
            self._give_up(other.other_randomness or f"Keras draws another number of seeds for seed {seed}.")
            return
        try:
            replayed = replay.values(seed)
        except Exception as error:
            self._give_up(f"An initializer cannot be copied and called again: {type(error).__name__}: {error}")
            return
        for variable, value, known in zip(self.model.variables, replayed, values, strict=True):
            if not same_bits(value, known):
                self._give_up(f"The initializer of {variable.path} gives other values than the model of seed {seed}.")
                return
        self._proven, self._reason = True, ""

    def _give_up(self, reason: str) -> None:
        if self._replay is not None:
            self._replay, self._reason = None, reason


def _with_numbers(description: Any, numbers: Mapping[int, int]) -> Any:
    if isinstance(description, dict):
        return {key: _with_numbers(value, numbers) for key, value in description.items()}
    if isinstance(description, (list, tuple)):
        return type(description)(_with_numbers(value, numbers) for value in description)
    if isinstance(description, str):
        return re.sub(r"\b\d+\b", lambda found: str(numbers.get(int(found[0]), found[0])), description)
    return numbers.get(description, description) if type(description) is int else description


def _values_of(model: Any) -> list[NDArray[Any]]:
    values = [to_numpy(variable) for variable in model.variables]
    for value in values:
        value.flags.writeable = False  # constants are handed out for every seed
    return values


def _restore(variables: list[Any], values: list[NDArray[Any]]) -> None:
    for variable, value in zip(variables, values, strict=True):
        if not same_bits(to_numpy(variable), value):
            variable.assign(value)
