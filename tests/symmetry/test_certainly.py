"""The quick proofs are sound: what they claim is what the full analysis finds; and they are not idle."""

import numpy as np
import pytest

from keras_initkit.symmetry.certainly_alive import certainly_alive
from keras_initkit.symmetry.certainly_apart import CertainlyApart, all_differ
from keras_initkit.symmetry.classes import equivalence_classes, rounding_tolerance
from keras_initkit.symmetry.collapsed import CertainlyCollapsed
from keras_initkit.symmetry.liveness import live_features
from keras_initkit.symmetry.network import Copy, Mix, Network, Space, Tie, Values, identity
from keras_initkit.symmetry.partition import lasting_classes

STACK = 4


def relu(constants):
    return np.maximum(constants, 0.0), (constants > 0).astype(float)


def tanh(constants):
    return np.tanh(constants), 1 - np.tanh(constants) ** 2


def weights_of(rng, *shape):
    """Draw weights of which some are equal, opposite, zero, or nearly equal."""
    weights = rng.normal(size=shape).astype(np.float32)
    kind = rng.integers(0, 8)
    if kind == 0:
        weights[:] = rng.integers(0, 2)
    elif kind == 1:
        weights[:, rng.integers(shape[1])] = weights[:, rng.integers(shape[1])] * rng.choice([-1, 1])
    elif kind == 2:
        weights *= rng.random(shape) < 0.4
    elif kind == 3:
        weights[:, 0] = weights[:, -1] * np.float32(1 + rng.choice([1e-7, 1e-3]))
    elif kind == 4:
        weights[rng.integers(shape[0])] = weights[rng.integers(shape[0])]
    return weights


def random_structure(rng):
    """Return spaces and functions that make links, of a chain of layers with branches."""
    spaces, makers = [Space(3, apart=True, given=True)], []

    def add(space, *links):
        spaces.append(space)
        makers.extend(links)
        return len(spaces) - 1

    def mix(source, target, **about):
        shape = (spaces[source].size, spaces[target].size, int(rng.integers(1, 3)))
        makers.append(lambda draw: Mix(source, target, weights_of(draw, *shape), **about))

    def shift(space, spread):
        size = spaces[space].size
        rows = rng.integers(0, 2) * spread
        makers.append(lambda draw: Values(space, (rows * draw.normal(size=(1, size))).astype(np.float32), "shift"))

    last, units = 0, []
    for _ in range(int(rng.integers(1, 4))):
        size = int(rng.integers(2, 5))
        hidden = add(Space(size, signed=True))
        units.append(hidden)
        mix(last, hidden, trainable=bool(rng.integers(0, 5)))
        shift(hidden, 1.0)
        odd = bool(rng.integers(0, 2))
        behind = add(Space(size))
        link = Copy(hidden, behind, identity(size), odd=odd, response=tanh if odd else relu)
        makers.append(lambda _, link=link: link)
        kind = rng.integers(0, 5)
        if kind == 0:  # a scale
            factors, scaled = add(Space(size)), add(Space(size, product=True))
            shift(factors, 1.0)
            for source, is_odd in ((behind, True), (factors, False)):
                copy = Copy(source, scaled, identity(size), odd=is_odd)
                makers.append(lambda _, copy=copy: copy)
            behind = scaled
        elif kind == 1:  # a flatten of two positions
            flat = add(Space(2 * size))
            copy = Copy(behind, flat, np.tile(np.arange(size), 2), np.repeat([0, 1], size))
            makers.append(lambda _, copy=copy: copy)
            behind = flat
        elif kind == 2 and spaces[last].size == size:  # a residual
            total = add(Space(size))
            for source in (last, behind):
                copy = Copy(source, total, identity(size))
                makers.append(lambda _, copy=copy: copy)
            behind = total
        elif kind == 3:  # recurrent weights
            mix(behind, hidden, recurrent=True)
        elif kind == 4:  # half of it, and nothing beside
            part = add(Space(size))
            copy = Copy(behind, part, np.where(np.arange(size) < 2, np.arange(size), -1))
            makers.append(lambda _, copy=copy: copy)
            behind = part
        last = behind
    output = add(Space(2, apart=True, observed=True))
    mix(last, output)
    if rng.integers(0, 4) == 0 and len(units) > 1 and spaces[units[0]].size == spaces[units[1]].size:
        tie = Tie(units[0], units[1])
        makers.append(lambda _: tie)
    return spaces, makers, units


def drawn_networks(seed):
    """Return networks of one structure, their numbers stacked, and the spaces of their units."""
    rng = np.random.default_rng(seed)
    spaces, makers, units = random_structure(rng)
    networks = [Network(spaces, [make(rng) for make in makers]) for _ in range(STACK)]
    return networks, numbers_of(networks), units


def numbers_of(networks):
    columns = zip(*(network.links for network in networks), strict=True)
    return [
        None
        if isinstance(links[0], (Copy, Tie))
        else np.stack([link.weights if isinstance(link, Mix) else link.rows for link in links])
        for links in columns
    ]


def test_what_is_proved_apart_is_apart():
    proved = found = 0
    for seed in range(150):
        networks, numbers, units = drawn_networks(seed)
        partitions = [lasting_classes(network) for network in networks]
        for space in units:
            claims = CertainlyApart(networks[0], [space]).prove(numbers)
            for partition, claim in zip(partitions, claims, strict=True):
                apart = len(np.unique(partition.labels[space])) == len(partition.labels[space])
                assert apart or not claim, seed
                proved, found = proved + claim, found + apart
    assert proved > 0.5 * found > 40


def test_what_is_proved_collapsed_is_one_class_of_one_sign():
    proved = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        spaces, makers, units = random_structure(rng)
        links = [equalised(make(rng), keep=rng.random() < 0.1) for make in makers]
        network = Network(spaces, links)
        if CertainlyCollapsed(network, units).prove(network):
            proved += 1
            found = lasting_classes(network)
            assert all((found.labels[space] == 0).all() for space in units), seed
            assert all(len(np.unique(found.signs[space])) == 1 for space in units), seed
    assert proved > 20


def test_one_weight_that_differs_is_no_collapse():
    spaces = [Space(2, apart=True, given=True), Space(3, signed=True), Space(2, apart=True, observed=True)]
    alike = np.repeat(np.random.default_rng(0).normal(size=(2, 1, 1)), 3, axis=1)

    def is_collapsed(into, out, bias, momentum=()):
        links = [Mix(0, 1, into, momentum), Values(1, bias, "shift"), Mix(1, 2, out)]
        return CertainlyCollapsed(Network(spaces, links), [1]).prove(Network(spaces, links))

    out = alike.swapaxes(0, 1)
    assert is_collapsed(alike, out, np.ones((1, 3)))
    assert is_collapsed(alike, out, np.ones((1, 3)), momentum=(alike,))
    for into, outgoing, bias, momentum in (
        (alike + np.eye(2, 3)[:, :, None] * 1e-9, out, np.ones((1, 3)), ()),
        (alike, out + np.eye(3, 2)[:, :, None] * 1e-9, np.ones((1, 3)), ()),
        (alike, out, np.arange(3.0)[None], ()),
        (alike, out, np.ones((1, 3)), (np.eye(2, 3)[:, :, None],)),
        (alike * np.nan, out, np.ones((1, 3)), ()),
    ):
        assert not is_collapsed(into, outgoing, bias, momentum)
    dropout = [*spaces, Space(3, apart=True)]
    links = [Mix(0, 1, alike), Copy(1, 3, identity(3)), Mix(3, 2, out)]
    assert not CertainlyCollapsed(Network(dropout, links), [1]).prove(Network(dropout, links))


def equalised(link, *, keep):
    """Give all features at either end of weights the same numbers."""
    if keep or not isinstance(link, (Mix, Values)):
        return link
    if isinstance(link, Values):
        return Values(link.space, np.broadcast_to(link.rows[:, :1], link.rows.shape), link.role)
    weights = np.broadcast_to(link.weights[:1, :1], link.weights.shape)
    return Mix(link.source, link.target, weights, trainable=link.trainable, recurrent=link.recurrent)


def test_what_is_proved_alive_is_alive():
    proved = found = 0
    for seed in range(300):
        networks, numbers, units = drawn_networks(seed)
        gradients = [live_features(network).gradients for network in networks]
        for space in units:
            claims = certainly_alive(networks[0], numbers, [[space]])
            for gradient, claim in zip(gradients, claims, strict=True):
                assert gradient[space].all() or not claim, seed
                proved, found = proved + claim, found + gradient[space].all()
    assert proved > 0.5 * found > 40


def test_signs_of_spaces_that_are_never_mirrored_are_all_one():
    seen = 0
    for seed in range(80):
        networks, _, units = drawn_networks(seed)
        apart = CertainlyApart(networks[0], units)
        signs = lasting_classes(networks[0]).signs
        for number in range(len(signs)):
            if apart.is_unmirrored(number):
                seen += 1
                assert (signs[number] == 1).all(), seed
    assert seen > 80


@pytest.mark.parametrize("columns", [5, 300])
def test_columns_differ_unless_two_are_equal_or_opposite_or_one_is_zero(columns):
    rng = np.random.default_rng(0)
    stack = rng.normal(size=(6, 20, columns, 2)).astype(np.float32)
    stack[1, :, 3] = stack[1, :, 0]
    stack[2, :, 3] = -stack[2, :, 0]
    stack[3, :, 3] = 0
    stack[4, :, 3] = stack[4, :, 0] * np.float32(1 + 2e-7)
    stack[5, 7, 3, 1], stack[5, :, 4] = 1.0, stack[5, :, 3]
    stack[5, 7, 4, 1] = 1.001  # equal but for one weight, which no probe may see
    assert all_differ(stack).tolist() == [True, False, False, False, False, True]


def test_differing_columns_are_classes_of_their_own():
    tolerance = rounding_tolerance(np.dtype(np.float32))
    for seed in range(300):
        weights = weights_of(np.random.default_rng(seed), 3, 4, 2)
        rows = weights.transpose(0, 2, 1).reshape(-1, 4)
        alone = len(np.unique(equivalence_classes(rows, sign=True, tolerance=tolerance))) == 4
        assert all_differ(weights[None])[0] == (alone and rows.any(axis=0).all())


def test_columns_that_differ_prove_nothing_behind_units_that_are_equal():
    spaces = [Space(2, apart=True, given=True), Space(2), Space(2), Space(1, apart=True, observed=True)]
    exchanged = np.array([[1.0, 2.0], [2.0, 1.0]])[:, :, None]
    links = [Mix(0, 1, np.ones((2, 2, 1))), Mix(1, 2, exchanged), Mix(2, 3, np.ones((2, 1, 1)))]
    network = Network(spaces, links)
    assert lasting_classes(network).labels[2].tolist() == [0, 0]
    assert not CertainlyApart(network, [2]).prove(numbers_of([network]))[0]
    links[0] = Mix(0, 1, exchanged)
    assert CertainlyApart(network, [2]).prove(numbers_of([network]))[0]
