"""Lasting classes, against training in NumPy and against an exhaustive search for symmetries of tiny networks."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_initkit.symmetry.network import Mix, Network, Space, Tie, Values
from keras_initkit.symmetry.partition import lasting_classes
from tests.symmetry.training import Builder, joint_trajectories, observed_classes, same_partition, train

OPTIMIZERS = ["sgd", "momentum", "adam", "decay"]
SEEDS = st.integers(0, 2**32 - 1)


def few_levels(rng, shape):
    """Draw weights so few of which differ that equal sums and opposites are common."""
    kind = rng.integers(5)
    if kind < 2:
        return np.full(shape, (0.0, 0.5)[kind])
    return rng.choice([-0.75, -0.3, 0.3, 0.75, 0.0][: rng.integers(3, 6)], shape)


def draw_network(rng, activations=("tanh", "softplus"), products=True):
    """Draw a small network of dense layers, residual sums, gates and siamese towers."""
    built = Builder()
    x = built.space(2, apart=True, given=True)
    h, before = x, []
    for layer in range(rng.integers(1, 4)):
        size = int(rng.integers(2, 5))
        weights = few_levels(rng, (built.spaces[h].size, size))
        bias = rng.choice([0, 0, 0.3, -0.3], size) if rng.random() < 0.6 else None
        h = built.dense(h, weights, bias, rng.choice(activations), variable=f"layer {layer}")
        same = [space for space in before if built.spaces[space].size == size]
        if same and rng.random() < 0.5:
            joined = built.space(size, product=products and bool(rng.random() < 0.4))
            built.copy(h, joined)
            built.copy(same[-1], joined)
            h = joined
        before.append(h)
    weights = few_levels(rng, (built.spaces[h].size, 2))
    built.dense(h, weights, [0.0, 0.0], apart=True, observed=True)
    return built


def assert_equal_for_ever(history, found):
    """What has one label shows the same values and gradients at every step, up to its sign."""
    for space, (labels, signs) in enumerate(zip(found.labels, found.signs, strict=True)):
        shown = joint_trajectories(history, space) * signs[:, None]
        size = max(np.abs(shown).max(), 1e-3)
        for label in range(labels.max() + 1):
            same = shown[labels == label]
            np.testing.assert_allclose(same, np.broadcast_to(same[0], same.shape), rtol=0, atol=1e-9 * size)


@settings(max_examples=300, deadline=None)
@given(SEEDS, st.sampled_from(OPTIMIZERS))
def test_features_of_a_class_stay_equal_in_training(seed, optimizer):
    rng = np.random.default_rng(seed)
    built = draw_network(rng, ("tanh", "softplus", "relu", "linear"))
    history = train(built, rng, steps=6, optimizer=optimizer, rate=0.03 if optimizer == "adam" else 0.1)
    assert_equal_for_ever(history, lasting_classes(built.network))


def random_weights(rng, shape):
    return rng.uniform(0.3, 1.0, shape) * rng.choice([-1, 1], shape)


def planted(rng, inputs, groups, activation, *, bias=True):
    """Return a network whose layer l has the classes `groups[l]`: equal sums over classes, but random weights."""
    built = Builder()
    h, labels = built.space(inputs, apart=True, given=True), np.arange(inputs)
    for mine in map(np.asarray, groups):
        weights = spread(rng, labels, mine)
        shift = random_weights(rng, mine.max() + 1)[mine] if bias else None
        h, labels = built.dense(h, weights, shift, activation), mine
    built.dense(h, spread(rng, labels, np.arange(2)), [0.1, 0.2], apart=True, observed=True)
    return built


def spread(rng, rows, columns):
    """Return weights whose blocks, one for each pair of classes, have equal row sums and equal column sums."""
    weights = np.zeros((len(rows), len(columns)))
    for r, c in itertools.product(range(rows.max() + 1), range(columns.max() + 1)):
        block = np.ix_(rows == r, columns == c)
        shape = weights[block].shape
        noise = rng.standard_normal(shape) * 0.3
        noise -= noise.mean(axis=0) + noise.mean(axis=1, keepdims=True) - noise.mean()
        weights[block] = random_weights(rng, ()) + noise
    return weights


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "decay"])
@pytest.mark.parametrize(
    "groups",
    [
        [[0, 1, 2, 3], [0, 1, 2]],
        [[0, 0, 1, 2], [0, 1, 2]],
        [[0, 0, 1, 1], [0, 1, 1]],
        [[0, 1, 0, 1, 0], [0, 0, 1, 1], [0, 0, 0]],
        [[0, 0, 0, 0], [0, 0, 0, 0]],
    ],
)
def test_planted_classes_are_found_and_are_those_that_training_shows(groups, optimizer, activation):
    rng = np.random.default_rng(3)
    built = planted(rng, 3, groups, activation)
    found = lasting_classes(built.network)
    history = train(built, rng, steps=8, optimizer=optimizer, rate=0.03)
    assert_equal_for_ever(history, found)
    hidden = [n for n, space in enumerate(built.spaces) if not space.apart]
    for number, space in enumerate(hidden):  # before and behind each activation
        assert same_partition(found.labels[space], np.array(groups[number // 2]))
        assert same_partition(found.labels[space], observed_classes(history, space, mirrored=activation == "tanh"))


def mirrored_and_permuted(rng, activation="tanh"):
    """Two layers whose halves are each other's opposites, the second with rows and columns in another order."""
    built = Builder()
    x = built.space(3, apart=True, given=True)
    w, v, u = random_weights(rng, (3, 2)), random_weights(rng, (2, 2)), random_weights(rng, (2, 2))
    other = random_weights(rng, (2, 2))
    first = built.dense(x, np.hstack([w, -w]), np.hstack([[0.2, 0.3], [-0.2, -0.3]]), activation)
    swap = np.block([[v, -other], [-other, v]])  # unit j + 2 reads the opposite of what unit j reads
    second = built.dense(first, swap, [0.4, -0.1, -0.4, 0.1], activation)
    built.dense(second, np.vstack([u, -u]), [0.1, 0.2], apart=True, observed=True)
    return built, first, second


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_mirrored_units_are_found_over_two_layers(optimizer):
    rng = np.random.default_rng(0)
    built, first, second = mirrored_and_permuted(rng)
    found = lasting_classes(built.network)
    for space in (first - 1, first, second - 1, second):
        np.testing.assert_array_equal(found.labels[space], [0, 1, 0, 1])
        assert (found.signs[space][:2] == -found.signs[space][2:]).all()
    assert_equal_for_ever(train(built, rng, optimizer=optimizer, rate=0.03), found)


def test_mirrored_units_are_not_equal_behind_an_activation_that_is_not_odd():
    built, first, second = mirrored_and_permuted(np.random.default_rng(0), "softplus")
    found = lasting_classes(built.network)
    for space in (first - 1, first, second - 1, second):
        np.testing.assert_array_equal(found.labels[space], [0, 1, 2, 3])


def test_units_of_zeros_may_be_mirrored_by_what_reads_them():
    built = Builder()
    x = built.space(2, apart=True, given=True)
    hidden = built.dense(x, np.zeros((2, 3)), np.zeros(3), "tanh")
    built.dense(hidden, [[0.5], [-0.5], [0.4]], [0.0], apart=True, observed=True)
    found = lasting_classes(built.network)
    assert found.labels[hidden].tolist() == [0, 0, 1]
    assert found.signs[hidden][0] == -found.signs[hidden][1]
    assert_equal_for_ever(train(built, np.random.default_rng(0)), found)


def test_a_bias_of_equal_sign_keeps_mirrored_weights_apart():
    rng = np.random.default_rng(0)
    built = Builder()
    x = built.space(2, apart=True, given=True)
    w, v = random_weights(rng, (2, 1)), random_weights(rng, (1, 2))
    hidden = built.dense(x, np.hstack([w, -w]), [0.3, 0.3], "tanh")
    built.dense(hidden, np.vstack([v, -v]), apart=True, observed=True)
    assert lasting_classes(built.network).labels[hidden].tolist() == [0, 1]


def signed_permutations(size, *, signed):
    for order in itertools.permutations(range(size)):
        for signs in itertools.product([1.0, -1.0], repeat=size) if signed else [np.ones(size)]:
            matrix = np.zeros((size, size))
            matrix[order, np.arange(size)] = signs
            yield matrix


def orbits(kernels, biases, *, signed):
    """Return for each hidden layer which units some symmetry of the whole network exchanges, by trying all of them."""
    sizes = [len(bias) for bias in biases]
    labels = [np.arange(size) for size in sizes]
    for changes in itertools.product(*(signed_permutations(size, signed=signed) for size in sizes)):
        chain = [np.eye(len(kernels[0])), *changes, np.eye(kernels[-1].shape[1])]
        same = all(
            np.allclose(before.T @ kernel @ after, kernel)
            for before, kernel, after in zip(chain, kernels, chain[1:], strict=False)
        ) and all(np.allclose(bias @ change, bias) for bias, change in zip(biases, changes, strict=True))
        if same:
            for number, change in enumerate(changes):
                for i, j in np.argwhere(change):
                    labels[number][labels[number] == labels[number][j]] = labels[number][i]
    return labels


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.booleans())
def test_whatever_a_symmetry_of_the_whole_network_exchanges_is_in_one_class(seed, signed):
    rng = np.random.default_rng(seed)
    kernels = [few_levels(rng, shape) for shape in [(1, 3), (3, 3 if not signed else 2), (3 if not signed else 2, 1)]]
    biases = [rng.choice([0.0, 0.2], kernels[0].shape[1]), rng.choice([0.0, 0.2], kernels[1].shape[1])]
    built, spaces = Builder(), []
    h = built.space(1, apart=True, given=True)
    for kernel, bias in zip(kernels, biases, strict=False):
        h = built.dense(h, kernel, bias, "tanh" if signed else "softplus")
        spaces.append(h)
    built.dense(h, kernels[-1], [0.0], apart=True, observed=True)
    found = lasting_classes(built.network)
    for space, exchanged in zip(spaces, orbits(kernels, biases, signed=signed), strict=True):
        for label in set(exchanged):
            assert len(set(found.labels[space][exchanged == label])) == 1


def classes_of(built, space):
    return lasting_classes(built.network).labels[space]


def two_layers(first, second, activation="softplus", **flags):
    built = Builder()
    x = built.space(len(first), apart=True, given=True)
    hidden = built.space(len(second), signed=True)
    built.mix(x, hidden, first, **flags)
    behind = built.activate(hidden, activation)
    built.mix(behind, built.space(2, apart=True, observed=True), second)
    return built, behind


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_classes_follow_permutations_and_do_not_depend_on_units_of_weight_or_rotations_of_the_data(seed):
    rng = np.random.default_rng(seed)
    first, second = few_levels(rng, (3, 5)), few_levels(rng, (5, 2))
    labels = classes_of(*two_layers(first, second))
    order = rng.permutation(5)
    assert same_partition(classes_of(*two_layers(first[:, order], second[order])), labels[order])
    assert same_partition(classes_of(*two_layers(first * 1e-6, second * 1e6)), labels)
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    assert same_partition(classes_of(*two_layers(rotation @ first, second)), labels)


def test_cells_that_feed_each_other_in_a_ring_are_equal():
    rng = np.random.default_rng(0)
    ring = 0.4 * np.roll(np.eye(4), 1, axis=1) - 0.2 * np.eye(4)

    def cells(recurrent):
        built = Builder()
        x = built.space(2, apart=True, given=True)
        before = built.space(4, signed=True)
        built.mix(x, before, np.tile(random_weights(np.random.default_rng(1), (2, 1)), 4))
        behind = built.space(4)
        built.mix(behind, before, recurrent, recurrent=True)
        built.copy(before, behind, activation="softplus")
        built.mix(behind, built.space(1, apart=True, observed=True), np.ones((4, 1)))
        return built, behind

    built, behind = cells(ring)
    assert classes_of(built, behind).tolist() == [0] * 4
    assert_equal_for_ever(train(built, rng, times=4, rate=0.03), lasting_classes(built.network))
    broken, behind = cells(ring + 0.1 * np.eye(4)[0])
    assert classes_of(broken, behind).max() > 0
    pairs = np.kron(np.eye(2), [[0.1, 0.3], [0.3, 0.1]]) + np.kron([[0, 1], [0, 0]], np.full((2, 2), 0.2))
    built, behind = cells(pairs)
    assert classes_of(built, behind).tolist() == [0, 0, 1, 1]
    history = train(built, rng, times=4, rate=0.03)
    assert same_partition(classes_of(built, behind), observed_classes(history, behind, mirrored=False))


def test_windows_are_compared_position_by_position():
    rng = np.random.default_rng(0)
    first = random_weights(rng, (2, 3, 2))
    first[:, 1] = first[:, 0]
    built, behind = two_layers(first, np.ones((3, 2)))
    assert classes_of(built, behind).tolist() == [0, 0, 1]
    assert_equal_for_ever(train(built, rng, times=4), lasting_classes(built.network))
    first[:, 1] = first[:, 0, ::-1]
    assert classes_of(*two_layers(first, np.ones((3, 2)))).tolist() == [0, 1, 2]


def copies_in_places(places):
    built = Builder()
    x = built.space(2, apart=True, given=True)
    hidden = built.dense(x, np.full((2, 2), 0.5), activation="softplus")
    rows = built.space(4)
    built.copy(hidden, rows, index=[0, 1, 0, 1], place=np.array(places))
    built.dense(rows, [[0.1, 0.2], [0.3, 0.4], [0.3, 0.4], [0.1, 0.2]], apart=True, observed=True)
    return built, hidden, rows


def test_copies_of_a_feature_in_several_places_are_read_place_by_place():
    built, hidden, rows = copies_in_places([0, 0, 1, 1])
    assert classes_of(built, hidden).tolist() == [0, 1]  # exchanging them would need the places exchanged too
    built, hidden, rows = copies_in_places([0, 0, 0, 0])
    assert classes_of(built, hidden).tolist() == [0, 0]
    assert classes_of(built, rows).tolist() == [0, 1, 1, 0]
    assert_equal_for_ever(train(built, np.random.default_rng(0)), lasting_classes(built.network))


def test_features_folded_into_one_are_told_apart_by_their_places():
    rng = np.random.default_rng(0)
    for place, expected in (([0, 0, 1, 1], [0, 0, 1, 1]), (None, [0, 0, 0, 0])):
        built = Builder()
        x = built.space(2, apart=True, given=True)
        hidden = built.dense(x, np.full((2, 4), 0.5), activation="softplus")
        parts = built.space(2)
        place = None if place is None else np.array(place)
        built.copy(hidden, parts, index=[0, 1, 0, 1], place=place, folded=True)
        built.dense(parts, np.full((2, 1), 0.3), apart=True, observed=True)
        found = lasting_classes(built.network)
        assert found.labels[hidden].tolist() == expected
        assert found.labels[parts].tolist() == [0, 0]
        assert_equal_for_ever(train(built, rng), found)


def test_one_layer_used_twice_has_equal_units_only_if_they_are_equal_in_both_places():
    rng = np.random.default_rng(0)

    def siamese(second_reader):
        built = Builder()
        left, right = built.space(2, apart=True, given=True), built.space(2, apart=True, given=True)
        one = built.dense(left, np.full((2, 3), 0.5), np.zeros(3), "softplus", variable="shared")
        other = built.dense(right, np.full((2, 3), 0.5), np.zeros(3), "softplus", variable="shared")
        built.link(Tie(one - 1, other - 1))
        built.dense(one, np.ones((3, 1)), apart=True, observed=True)
        built.dense(other, np.array(second_reader)[:, None], apart=True, observed=True)
        return built, one, other

    built, one, other = siamese([0.3, 0.3, 0.4])
    assert classes_of(built, one).tolist() == classes_of(built, other).tolist() == [0, 0, 1]
    history = train(built, rng)
    assert_equal_for_ever(history, lasting_classes(built.network))
    assert same_partition(classes_of(built, one), observed_classes(history, one, mirrored=False))


def test_what_the_optimizer_holds_tells_units_apart():
    first, second = np.full((2, 3, 1), 0.5), np.ones((3, 2))
    for slot in ("momentum", "state"):
        for held, expected in (([0.1, 0.1, 0.2], [0, 0, 1]), ([0.0, 0.0, 0.0], [0, 0, 0])):
            slots = {slot: (np.broadcast_to(np.array(held)[None, :, None], first.shape),)}
            assert classes_of(*two_layers(first, second, **slots)).tolist() == expected
    built, behind = two_layers(first, second)
    built.link(Values(behind, np.zeros((1, 3)), "shift", state=(np.array([[1.0, 2.0, 1.0]]),)))
    assert classes_of(built, behind).tolist() == [0, 1, 0]


def test_momentum_changes_sign_with_a_unit_and_means_of_squares_do_not():
    w, v = np.array([[0.5, -0.5], [0.3, -0.3]]), np.array([[0.4, 0.2], [-0.4, -0.2]])
    held = np.abs(w)[:, :, None]
    mirrored = {"momentum": 0.1 * w[:, :, None], "state": held}
    assert classes_of(*two_layers(w, v, "tanh", **{k: (part,) for k, part in mirrored.items()})).tolist() == [0, 0]
    assert classes_of(*two_layers(w, v, "tanh", momentum=(held,))).tolist() == [0, 1]
    assert classes_of(*two_layers(w, v, "tanh", state=(w[:, :, None],))).tolist() == [0, 1]


def test_sums_of_what_the_optimizer_holds_are_not_enough():
    # Both readers of the first layer see equal sums, of 1 + 3 and of 2 + 2; one step of Adam divides by the roots.
    built = Builder()
    x = built.space(1, apart=True, given=True)
    hidden = built.dense(x, [[0.5, 0.5]], activation="softplus")
    state = np.array([[1.0, 2.0], [3.0, 2.0]])[:, :, None]
    second = built.space(2, signed=True)
    built.mix(hidden, second, np.full((2, 2), 0.3), state=(state,))
    built.dense(built.activate(second, "softplus"), np.ones((2, 1)), apart=True, observed=True)
    assert classes_of(built, second).tolist() == [0, 1]


def test_missing_connections_are_not_zeros():
    present = np.array([[True, False], [True, True]])
    first = np.array([[0.0, 0.0], [0.5, 0.5]])
    assert classes_of(*two_layers(first, np.ones((2, 2)), present=present)).tolist() == [0, 1]
    assert classes_of(*two_layers(first, np.ones((2, 2)))).tolist() == [0, 0]


def test_noise_tells_features_apart_and_so_do_numbers_of_their_own():
    built, behind = two_layers(np.ones((2, 3)), np.ones((3, 2)))
    built.link(Values(behind, np.array([[1.0, 2.0, 1.0]]), "tag"))
    assert classes_of(built, behind).tolist() == [0, 1, 0]
    built = Builder()
    x = built.space(2, apart=True, given=True)
    noisy = built.activate(built.dense(x, np.ones((2, 3))), "linear", apart=True)
    built.dense(noisy, np.ones((3, 1)), apart=True, observed=True)
    assert classes_of(built, noisy - 1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_say_nothing_about_their_two_ends(bad):
    weights = np.ones((2, 3))
    weights[0, 0] = bad
    built, behind = two_layers(weights, np.ones((3, 2)))
    assert classes_of(built, behind).tolist() == [0, 1, 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_does_not_separate_and_more_than_rounding_does(dtype):
    rng = np.random.default_rng(0)
    eps = float(np.finfo(dtype).eps)
    first = random_weights(rng, (20, 4)).astype(dtype)
    first[:, 1] = first[:, 0] * dtype(1 + 2 * eps)
    first[:, 2] = first[:, 0] * dtype(1 + 100 * eps)
    spaces = [Space(20, apart=True), Space(4), Space(1, apart=True)]
    links = [Mix(0, 1, first[:, :, None]), Mix(1, 2, np.ones((4, 1, 1), dtype))]
    assert lasting_classes(Network(spaces, links)).labels[1].tolist() == [0, 0, 1, 2]


def test_an_empty_network_has_no_classes():
    assert lasting_classes(Network()).labels == []
    assert lasting_classes(Network([Space(3), Space(2, apart=True)])).labels[0].tolist() == [0, 0, 0]
