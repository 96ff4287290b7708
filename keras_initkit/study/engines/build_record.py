"""What happens while a model is built: the seeds that Keras draws, the random states and the variables it makes."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random import seed_generator

from keras_initkit.study.seeding import replica_randomness

_LARGEST_SEED = int(1e9)


@dataclass
class BuildRecord:
    """One call of `build_model` and all the randomness in it.

    Attributes:
        model: what was built.
        seeds: the seeds that Keras drew from Python's `random`, in order: for unseeded initializers and generators.
        variables: (variable, initializer) for all variables that were made, in order, optimizer and metrics included.
        generators: (generator, seed it started from) for all `keras.random.SeedGenerator` that were made.
        other_randomness: a sentence about randomness beside those seeds, "" if there was none.
    """

    model: Any = None
    seeds: list[int] = field(default_factory=list)
    variables: list[tuple[Any, Any]] = field(default_factory=list)
    generators: list[tuple[Any, int | None]] = field(default_factory=list)
    other_randomness: str = ""


def recorded_build(build: Callable[[], Any], seed: int) -> BuildRecord:
    """Build the model of a replica inside its randomness, and record how."""
    record = BuildRecord()
    with replica_randomness(seed):
        numpy_state = repr(np.random.get_state(legacy=False))  # noqa: NPY002
        with _watched(record):
            record.model = build()
        redrawn, state = draw_seeds(seed, len(record.seeds))
        # The state alone would prove little: other calls, `random.choice` say, advance it just as one seed does.
        if redrawn != record.seeds or state != random.getstate():
            record.other_randomness = "`build_model` draws from Python's `random` beside the seeds of Keras."
        elif repr(np.random.get_state(legacy=False)) != numpy_state:  # noqa: NPY002
            record.other_randomness = "`build_model` draws from `numpy.random`."
        elif global_state.get_global_attribute(seed_generator.GLOBAL_SEED_GENERATOR) is not None:
            record.other_randomness = "`build_model` draws from the global generator of `keras.random`."
    return record


def draw_seeds(seed: int, count: int) -> tuple[list[int], tuple[Any, ...]]:
    """Return the first seeds that Keras draws after `random.seed(seed)`, and the state of `random` after them."""
    generator = random.Random(seed)
    return [generator.randint(1, _LARGEST_SEED) for _ in range(count)], generator.getstate()


@contextmanager
def _watched(record: BuildRecord) -> Iterator[None]:
    """Note down every variable, generator and drawn seed made inside the block.

    Keras has no hook for this and keeps no trace: a variable forgets its initializer, and a seed that was drawn looks
    like one that was given. So the constructors of `keras.Variable` and `keras.random.SeedGenerator`, and the name by
    which Keras' own seed function knows Python's `random`, are replaced for the time of the block.
    """
    make_variable: Any = keras.Variable.__init__
    make_generator: Any = keras.random.SeedGenerator.__init__

    def variable_made(variable: Any, initializer: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(initializer, str):
            initializer = keras.initializers.get(initializer)
        record.variables.append((variable, initializer))
        make_variable(variable, initializer, *args, **kwargs)

    def generator_made(generator: Any, seed: Any = None, *args: Any, **kwargs: Any) -> None:
        drawn = len(record.seeds)
        make_generator(generator, seed, *args, **kwargs)
        start = seed if seed is not None else next(iter(record.seeds[drawn:]), None)
        record.generators.append((generator, start))

    with ExitStack() as replaced:
        replaced.enter_context(_replaced(keras.Variable, "__init__", variable_made))
        replaced.enter_context(_replaced(keras.random.SeedGenerator, "__init__", generator_made))
        replaced.enter_context(_replaced(seed_generator, "python_random", _NotedRandom(record.seeds)))
        yield


class _NotedRandom:
    """Python's `random` for one module of Keras; what `randint` gives is noted down."""

    def __init__(self, seeds: list[int]) -> None:
        self._seeds = seeds

    def randint(self, a: int, b: int) -> int:
        self._seeds.append(random.randint(a, b))
        return self._seeds[-1]

    def __getattr__(self, name: str) -> Any:
        return getattr(random, name)


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set an attribute inside the block; afterwards it is as before, also when it was inherited or missing."""
    own = vars(owner).get(name, _replaced)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own is _replaced:
            delattr(owner, name)
        else:
            setattr(owner, name, own)
