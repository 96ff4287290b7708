"""What training can reach, against training in NumPy, in which nothing is assumed about zeros and constants."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keras_initkit.symmetry.liveness import live_features
from keras_initkit.symmetry.network import Network, Space
from tests.symmetry.training import Builder, train

SEEDS = st.integers(0, 2**32 - 1)
SMOOTH = ("tanh", "sigmoid", "softplus")


def weights_with_zeros(rng, shape):
    """Draw generic weights, none of them, some of them, some columns of them or all of them zero."""
    weights = rng.uniform(0.3, 1.0, shape) * rng.choice([-1, 1], shape)
    kind = rng.integers(4)
    if kind == 0:
        weights[:] = 0
    elif kind == 1:
        weights *= rng.random(shape) < 0.5
    elif kind == 2:
        weights[:, rng.integers(shape[1])] = 0
    return weights


def draw_network(rng, activations):
    built = Builder()
    h, before = built.space(2, apart=True, given=True), []
    for _ in range(rng.integers(1, 5)):
        size = int(rng.integers(1, 4))
        bias = [None, np.zeros(size), np.full(size, -0.2), rng.choice([0, 0.2, -0.2], size)][rng.integers(4)]
        h = built.dense(h, weights_with_zeros(rng, (built.spaces[h].size, size)), bias, rng.choice(activations))
        same = [space for space in before if built.spaces[space].size == size]
        if same and rng.random() < 0.5:
            joined = built.space(size, product=bool(rng.random() < 0.5))
            built.copy(h, joined)
            built.copy(same[-1], joined)
            h = joined
        before.append(h)
    weights = weights_with_zeros(rng, (built.spaces[h].size, 2))
    built.dense(h, weights, rng.choice([0, 0.1], 2), apart=True, observed=True)
    return built


def largest_gradients(history, space):
    return np.max([np.abs(gradients[space]).max(axis=(0, 1)) for gradients in history.gradients], axis=0)


def is_constant(history, space):
    values = np.stack([values[space] for values in history.values])
    return np.abs(values - values[0, 0, 0]).max(axis=(0, 1, 2)) == 0


@settings(max_examples=300, deadline=None)
@given(SEEDS, st.sampled_from(["sgd", "momentum", "adam", "decay"]))
def test_what_is_called_dead_never_gets_a_gradient_and_what_is_called_constant_never_changes(seed, optimizer):
    rng = np.random.default_rng(seed)
    built = draw_network(rng, (*SMOOTH, "relu"))
    found = live_features(built.network)
    # Decay moves biases that nothing else moves, which is no learning.
    assume(optimizer != "decay" or all(np.isnan(v).all() or not np.nan_to_num(v).any() for v in found.values))
    history = train(built, rng, steps=12, optimizer=optimizer, rate=0.1, batch=20)
    for space in range(len(built.spaces)):
        assert not largest_gradients(history, space)[~found.gradients[space]].any()
        constant = np.isfinite(found.values[space])
        assert is_constant(history, space)[constant].all()
        first = history.values[0][space][0, 0]
        np.testing.assert_allclose(found.values[space][constant], first[constant], rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_what_is_called_live_gets_a_gradient_on_generic_data_where_no_activation_is_flat(seed):
    rng = np.random.default_rng(seed)
    built = draw_network(rng, ("tanh",))
    found = live_features(built.network)
    history = train(built, rng, steps=60, rate=0.1, batch=20)
    for space in range(1, len(built.spaces)):
        np.testing.assert_array_equal(largest_gradients(history, space) > 0, found.gradients[space])


def chain(*layers, inputs=2):
    """Return a network of `(kernel, bias, activation)`, the last of which is observed, and its hidden spaces."""
    built, hidden = Builder(), []
    h = built.space(inputs, apart=True, given=True)
    for kernel, bias, activation in layers[:-1]:
        h = built.dense(h, kernel, bias, activation)
        hidden.append(h)
    built.dense(h, *layers[-1], apart=True, observed=True)
    return built, hidden


def zeros(*shape):
    return np.zeros(shape)


@pytest.mark.parametrize(
    ("activation", "bias", "alive"),
    [
        ("relu", 0.0, False),
        ("relu", -0.1, False),
        ("relu", 0.1, True),
        ("tanh", 0.0, True),
        ("sigmoid", 0.0, True),
        ("softplus", -1.0, True),
    ],
)
def test_units_without_incoming_weights_live_where_the_activation_has_a_slope(activation, bias, alive):
    built, [hidden] = chain((zeros(2, 3), np.full(3, bias), activation), (np.ones((3, 1)), [0.0]))
    assert live_features(built.network).gradients[hidden - 1].tolist() == [alive] * 3


def test_two_layers_of_zeros_block_each_other_but_not_if_there_is_a_bias_between_them():
    for bias, alive in ((0.0, False), (0.3, True)):
        built, [first, second] = chain(
            (np.ones((2, 2)), [0.1, 0.2], "tanh"), (zeros(2, 2), np.full(2, bias), "tanh"), (zeros(2, 1), [0.0])
        )
        found = live_features(built.network)
        assert found.gradients[second].tolist() == found.gradients[first].tolist() == [alive, alive]


def test_a_sum_around_zeros_keeps_them_alive_and_a_product_with_zeros_does_not():
    for product, alive in ((False, True), (True, False)):
        built = Builder()
        h = built.dense(built.space(2, apart=True, given=True), np.ones((2, 2)), activation="tanh")
        branch = built.dense(built.dense(h, zeros(2, 2), activation="tanh"), zeros(2, 2))
        joined = built.space(2, product=product)
        built.copy(h, joined)
        built.copy(branch, joined)
        built.dense(joined, zeros(2, 1), apart=True, observed=True)
        assert live_features(built.network).gradients[h].tolist() == [alive] * 2


def test_a_frozen_layer_of_zeros_cuts_off_what_is_before_and_behind_it():
    built = Builder()
    first = built.dense(built.space(2, apart=True, given=True), np.ones((2, 2)), activation="tanh")
    second = built.space(2)
    built.mix(first, second, zeros(2, 2), trainable=False)
    built.dense(built.activate(second, "tanh"), np.ones((2, 1)), [0.0], apart=True, observed=True)
    found = live_features(built.network)
    assert not found.gradients[first].any()
    assert found.gradients[second].all()
    assert found.values[second].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("where", ["kernel", "bias", "behind a constant"])
def test_what_the_optimizer_holds_moves_weights_that_get_no_gradient(where):
    built = Builder()
    hidden = built.space(2, signed=True)
    x = built.space(2, apart=True, given=where != "behind a constant")
    held = np.array([[0.1, 0.0], [0.0, 0.0]])
    if where == "behind a constant":
        built.shift(x, [1.0, 0.0], trainable=False)
    built.mix(x, hidden, zeros(2, 2), momentum=() if where == "bias" else (held[:, :, None],))
    built.shift(hidden, zeros(2), momentum=(held[:1],) if where == "bias" else ())
    behind = built.activate(hidden, "relu")
    built.dense(behind, zeros(2, 1), [0.0], apart=True, observed=True)
    found = live_features(built.network)
    assert np.isnan(found.values[behind]).tolist() == [True, False]
    assert found.gradients[hidden].tolist() == [True, False]


def test_connections_that_do_not_exist_are_not_learned():
    present = np.array([[True, False], [False, True]])
    built = Builder()
    x = built.space(2, apart=True, given=True)
    first = built.dense(x, np.ones((2, 2)), activation="tanh")
    second = built.space(2)
    built.mix(first, second, zeros(2, 2), present=present)
    last = built.space(1, apart=True, observed=True)
    built.mix(second, last, np.array([[1.0], [0.0]]), trainable=False)
    assert live_features(built.network).gradients[first].tolist() == [True, False]


def test_weights_in_a_window_or_in_time_do_not_keep_constants():
    for window in (np.ones((1, 1, 3)), np.ones((1, 1, 1))):
        built = Builder()
        x = built.space(1)
        built.shift(x, [0.5], trainable=False)
        hidden = built.space(1)
        built.mix(x, hidden, window, trainable=False)
        assert np.isnan(live_features(built.network).values[hidden]).all() == (window.size > 1)
    built = Builder()
    hidden, behind = built.space(1), built.space(1)
    built.shift(hidden, [0.5], trainable=False)
    built.mix(behind, hidden, np.ones((1, 1)), trainable=False, recurrent=True)
    built.copy(hidden, behind, activation="tanh")
    assert np.isnan(live_features(built.network).values[behind]).all()


def test_copies_bring_what_they_copy_and_folded_ones_only_what_all_parts_agree_on():
    built = Builder()
    x = built.space(4)
    built.shift(x, [0.5, 0.5, 0.5, -0.5], trainable=False)
    wide, folded = built.space(3), built.space(2, observed=True)
    built.copy(x, wide, index=[3, -1, 0])
    built.copy(x, folded, index=[0, 1, 0, 1], folded=True)
    found = live_features(built.network)
    assert found.values[wide].tolist() == [-0.5, 0.0, 0.5]
    np.testing.assert_array_equal(found.values[folded], [0.5, np.nan])
    assert found.gradients[x].tolist() == [True] * 4
    assert not found.gradients[wide].any()


def test_an_activation_whose_slope_is_not_known_counts_as_passing():
    built = Builder()
    h = built.dense(built.space(2, apart=True, given=True), zeros(2, 2))
    behind = built.space(2)
    built.copy(h, behind)
    unknown = built.links.pop()
    built.links.append(type(unknown)(h, behind, unknown.index, response=lambda c: (c * np.nan, c * np.nan)))
    built.dense(behind, np.ones((2, 1)), apart=True, observed=True)
    assert live_features(built.network).gradients[h].all()


def test_an_empty_network_has_nothing_to_say():
    found = live_features(Network([Space(2, given=True), Space(1)]))
    np.testing.assert_array_equal(found.values[0], [np.nan, np.nan])
    assert found.values[1].tolist() == [0.0]
    assert not any(gradient.any() for gradient in found.gradients)
