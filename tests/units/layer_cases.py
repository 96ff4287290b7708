"""Small models around one layer of every kind, and what it means to swap two units of that layer in their weights."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from keras_initkit.inspection.verdicts import judge_model
from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.reading import UnitReader

L = keras.layers
Swap = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Case:
    """A layer between two others.

    Attributes:
        make: makes the layer.
        swaps: end of the path of a weight -> what it becomes if two units are swapped, given it and `swap(array, axis,
            blocks)`, which swaps the two along an axis with so many blocks of units side by side.
        path: where the units are found, behind the path of the layer.
        pair: the two units.
        shape: shape of the input.
        tokens: largest integer of the input, None for real numbers.
        twice: whether the layer is given its input twice.
    """

    make: Callable
    swaps: dict[str, Callable[[np.ndarray, Swap], np.ndarray]]
    path: str = ""
    pair: tuple[int, int] = (0, 2)
    shape: tuple[int, ...] = (6, 3)
    tokens: int | None = None
    twice: bool = False


def rows_behind(weights, swap):
    return swap(weights, 0)


def build(case, *, seed=0, how="plain"):
    """Return a model: functional, with the layer in a nested model, subclassed, or with the layer at two places."""
    keras.utils.set_random_seed(seed)
    layers = [case.make(), L.Dense(3, name="after")]
    if case.tokens is None:
        layers.insert(0, L.Dense(5, "tanh", name="before"))

    def way(x, first=0):
        for number, layer in enumerate(layers[first:], first):
            if number == len(layers) - 1:
                while len(x.shape) > 2:
                    x = keras.ops.mean(x, axis=1)
            x = layer(x, x) if case.twice and number == len(layers) - 2 else layer(x)
        return x

    given = keras.Input(case.shape, dtype="float32" if case.tokens is None else "int32")
    if how == "plain":
        return keras.Model(given, way(given))
    if how == "nested":
        inner = keras.Input(case.shape, dtype=given.dtype)
        return keras.Model(given, keras.Model(inner, way(inner), name="inside")(given))
    if how == "subclassed":
        model = Subclassed(layers, way)
        model(np.zeros((2, *case.shape), "float32" if case.tokens is None else "int32"))
        return model
    if how == "shared":
        other = keras.Input(case.shape, dtype=given.dtype)
        return keras.Model([given, other], way(given) + way(other))
    raise ValueError(how)


@keras.saving.register_keras_serializable()
class Subclassed(keras.Model):
    def __init__(self, parts, way):
        super().__init__()
        self.parts = parts
        self.way = way

    def call(self, inputs):
        return self.way(inputs)


def weights_to_swap(model, case):
    """Return `(variable, swap)` for all weights in which the two units have a part."""
    found = []
    for end, change in case.swaps.items():
        [variable] = [v for v in model.trainable_variables if v.path.endswith(end)]
        found.append((variable, lambda array, change=change: change(array, lambda *args: swap(case.pair, *args))))
    return found


def swap(pair, array, axis, blocks=1):
    """Swap two units along an axis with blocks of units, each in the same order."""
    order = np.arange(array.shape[axis]).reshape(blocks, -1)
    order[:, list(pair)] = order[:, list(reversed(pair))]
    return np.take(array, order.ravel(), axis=axis)


def plant(model, case):
    """Make the two units the same: swapping them leaves all weights as they are."""
    for variable, swapped in weights_to_swap(model, case):
        array = to_numpy(variable)
        variable.assign((array + swapped(array)) / 2)


def gap(model, case):
    """Return by how much the two units differ, relative to the weights."""
    arrays = [(to_numpy(variable), swapped) for variable, swapped in weights_to_swap(model, case)]
    return max(np.abs(array - swapped(array)).max() / np.abs(array).max() for array, swapped in arrays)


def train(model, case, steps, rate=0.1):
    """Train with gradient descent, on data of which every batch is another one."""
    model.compile(keras.optimizers.SGD(rate, global_clipnorm=1.0), "mse", run_eagerly=True)
    random = np.random.default_rng(1)
    for _ in range(steps):
        inputs = [batch(random, case) for _ in getattr(model, "inputs", [None])]
        model.train_on_batch(inputs if len(inputs) > 1 else inputs[0], random.standard_normal((8, 3)))


def batch(random, case):
    if case.tokens is None:
        return random.standard_normal((8, *case.shape)).astype("float32")
    return random.integers(0, case.tokens, (8, *case.shape)).astype("int32")


def judged(model):
    return {state.units.layer: state for state in judge_model(UnitReader(model), {}, False)}


def locked(model):
    """Return the locked units of all layers that have some; of locked heads the features are so too."""
    found = {path: tuple(state.locked_units.tolist()) for path, state in judged(model).items() if state.locked}
    return {path: units for path, units in found.items() if path.rpartition("/")[0] not in found}


def check_that_a_planted_pair_is_found(case):
    """Nothing is locked or dead at random weights; two units that are made the same stay so, and are the only ones."""
    model = build(case)
    assert not any(state.locked or state.dead for state in judged(model).values())
    plant(model, case)
    assert set(locked(model).values()) == {case.pair}
    assert any(path.endswith(case.path) for path in locked(model))
    train(model, case, 10)
    assert gap(model, case) < 1e-5


def check_that_any_other_entry_unlocks(case):
    """One entry of any weight that belongs to one of the two units only separates them."""
    for number in range(len(case.swaps)):
        model = build(case)
        plant(model, case)
        variable, swapped = weights_to_swap(model, case)[number]
        array = to_numpy(variable)
        where = np.arange(array.size).reshape(array.shape)
        array[tuple(np.argwhere(swapped(where) != where)[0])] += 0.05
        variable.assign(array)
        assert locked(model) == {}, variable.path
    train(model, case, 3)
    assert gap(model, case) > 1e-3


def check_that_it_is_found_anywhere(case):
    """The pair is found in nested, opened and shared models as well."""
    for how in ("nested", "subclassed", "shared"):
        model = build(case, how=how)
        assert locked(model) == {}, how
        plant(model, case)
        assert set(locked(model).values()) == {case.pair}, how


def check_what_training_does(case, seed):
    """With some weights zero or constant, exactly the dead units stand still, and locked units stay equal."""
    model = build(case, seed=seed)
    random = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        kind = random.integers(4)
        if kind == 0:
            variable.assign(np.zeros(variable.shape))
        elif kind == 1:
            variable.assign(np.full(variable.shape, 0.3))
    before = judged(model)
    train(model, case, 12, 0.3)
    for path, after in judged(model).items():
        moved = movement(before[path].units, after.units)
        dead = np.isin(np.arange(len(moved)), before[path].dead_units)
        assert (moved[dead] < 1e-9).all(), path  # what cancels in a sum, such as a softmax, leaves rounding
        assert (moved[~dead] > 0).all(), path
        for label in np.unique(before[path].classes):
            alike = np.flatnonzero(before[path].classes == label)
            kernel = (
                np.abs(after.units.kernel[:, alike]) if after.units.kind == "unit" else after.units.kernel[:, alike]
            )
            assert np.ptp(kernel, axis=1).max() <= 1e-4 * np.abs(after.units.kernel).max() + 1e-9, path


def movement(before, after):
    """Return how far each unit moved."""
    if before.kind == "head":  # their coordinates are only told up to a rotation
        both = [units.kernel.T @ units.kernel for units in (before, after)]
        return np.abs(both[0] - both[1]).max(axis=0) + np.abs(after.outgoing - before.outgoing).max(axis=0, initial=0)
    parts = [(before.kernel, after.kernel), (before.bias, after.bias)]
    return sum(np.abs(new - old).max(axis=0, initial=0) for old, new in parts)
