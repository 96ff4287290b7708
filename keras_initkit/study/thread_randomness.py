"""Python's `random` for one thread, undisturbed by others: workers of Dask draw from it all the time in another one."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def randomness_of_this_thread() -> Iterator[None]:
    """Let no other thread draw from the global generator of Python's `random` while the block runs.

    What they draw comes from another generator meanwhile. All functions of `random` end in these two of the global
    generator, whoever has imported them. Seeding it, which other threads have no reason to do, is not prevented.
    """
    generator: Any = random._inst
    own, other = threading.get_ident(), random.Random()
    draw, draw_bits = generator.random, generator.getrandbits

    def drawn() -> float:
        return draw() if threading.get_ident() == own else other.random()

    def drawn_bits(k: int) -> int:
        return draw_bits(k) if threading.get_ident() == own else other.getrandbits(k)

    before = {name: vars(generator).get(name) for name in ("random", "getrandbits")}  # of a block around this one
    # The module has its own names for them, which do not look at the generator.
    generator.random = random.random = drawn
    generator.getrandbits = random.getrandbits = drawn_bits
    try:
        yield
    finally:
        for name, method in before.items():
            delattr(generator, name)
            if method is not None:
                setattr(generator, name, method)
        random.random, random.getrandbits = generator.random, generator.getrandbits
