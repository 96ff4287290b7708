"""Making two units of a model the same, wherever its network has numbers for them."""

import keras
import numpy as np

from keras_initkit.symmetry.network import Copy, Mix, Tie, Values
from keras_initkit.symmetry.partition import lasting_classes
from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.reading import UnitReader


def randomise(model, seed=1):
    """Give all variables generic numbers."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "seed" in variable.path:
            continue
        values = rng.uniform(0.2, 0.6, variable.shape) * rng.choice([-1, 1], variable.shape)
        variable.assign(np.abs(values) + 0.5 if "variance" in variable.path or "gamma" in variable.path else values)


def places_of_pair(reader, model, path, one, other):
    """Return pairs `(number of the variable, place, place)` of numbers that belong to the units in the same way.

    For a moment every number of the model is another one, so that it can be recognised in the network.
    """
    kept = [to_numpy(variable) for variable in model.variables]
    where, start = {}, 1
    for number, variable in enumerate(model.variables):
        size = int(np.prod(variable.shape))
        if "seed" not in variable.path:
            variable.assign(np.arange(start, start + size, dtype="float32").reshape(variable.shape))
            where.update({start + k: (number, k) for k in range(size)})
            start += size
    reading = reader.read()
    for variable, values in zip(model.variables, kept, strict=True):
        variable.assign(values)
    [units] = [units for units in reading.layers if units.layer.endswith(path)]
    links = reading.network.links
    waiting = [(space, one, other) for spaces in units.spaces for space in spaces]
    met, pairs = set(waiting), set()

    def note(first, second):
        for a, b in zip(np.ravel(first), np.ravel(second), strict=True):
            if a != b:
                assert where[int(a)][0] == where[int(b)][0]
                pairs.add((*where[int(a)], where[int(b)][1]))

    while waiting:
        space, f, g = waiting.pop()
        assert not reading.network.spaces[space].apart, "these units are told apart"
        found = []
        for link in links:
            if isinstance(link, Values) and link.space == space:
                note(link.rows[:, f], link.rows[:, g])
            elif isinstance(link, Mix):
                if link.target == space:
                    note(link.weights[:, f], link.weights[:, g])
                if link.source == space:
                    note(link.weights[f], link.weights[g])
            elif isinstance(link, Tie):
                found += [(b, f, g) for a, b in (link.ends, link.ends[::-1]) if a == space]
            elif isinstance(link, Copy):
                inner, outer = (link.target, link.source) if link.folded else (link.source, link.target)
                if inner == space:
                    mine, theirs = np.flatnonzero(link.index == f), np.flatnonzero(link.index == g)
                    found += [(outer, int(a), int(b)) for a, b in zip(mine, theirs, strict=True)]
                if outer == space and link.index[f] != link.index[g]:
                    found.append((inner, int(link.index[f]), int(link.index[g])))
        for new in found:
            if new not in met and (new[0], new[2], new[1]) not in met:
                met.add(new)
                waiting.append(new)
    return pairs


def assign(model, changes):
    """Set single numbers: `(number of the variable, place)` -> value."""
    for number, variable in enumerate(model.variables):
        mine = {place: value for (n, place), value in changes.items() if n == number}
        if mine:
            values = to_numpy(variable).copy()
            values.reshape(-1)[list(mine)] = list(mine.values())
            variable.assign(values)


def plant(reader, model, path, one=0, other=1):
    """Make two units the same and return the places where they have numbers."""
    pairs = places_of_pair(reader, model, path, one, other)
    values = [to_numpy(variable).reshape(-1) for variable in model.variables]
    root = {}

    def find(place):
        while place in root:
            place = root[place]
        return place

    for number, a, b in sorted(pairs):
        a, b = find((number, a)), find((number, b))
        if a != b:
            root[b] = a
    places = {(n, k) for n, *ends in pairs for k in ends}
    assign(model, {place: values[place[0]][find(place)[1]] for place in places})
    return pairs


def classes(reader, path):
    """Return the lasting classes of a layer's units."""
    reading = reader.read()
    [units] = [units for units in reading.layers if units.layer.endswith(path)]
    return lasting_classes(reading.network).labels[units.spaces[0][0]]


def random_batch(model, seed=2, size=6):
    """Return inputs and targets of the shapes of a model."""
    rng = np.random.default_rng(seed)

    def draw(shape):
        return rng.standard_normal((size, *shape[1:])).astype("float32")

    x = [draw(tensor.shape) for tensor in model.inputs]
    given = x if len(x) > 1 else x[0]
    outputs = model(given)
    y = keras.tree.map_structure(lambda out: draw(tuple(out.shape)), outputs)
    return given, y


def train(model, steps=10, rate=0.02):
    """Train on one random batch, step by step."""
    x, y = random_batch(model)
    model.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=True)
    for _ in range(steps):
        model.train_on_batch(x, y)


def distance(model, pairs):
    """Return the largest difference of the numbers of two units, relative to the largest of all."""
    values = [to_numpy(variable).reshape(-1) for variable in model.variables]
    trained = {id(variable) for variable in model.trainable_variables}
    gaps = [abs(values[n][a] - values[n][b]) for n, a, b in pairs if id(model.variables[n]) in trained]
    return max(gaps) / max(np.abs(value).max() for value in values if value.size)


def reader_of(model):
    """Return a reader of all hidden layers."""
    return UnitReader(model)
