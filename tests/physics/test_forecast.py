"""Whether equal units will part is known before training: noise, biases, copies and the optimizer's memory."""

import keras
import numpy as np
import pytest

import keras_initkit as ik
from tests.physics.restarting import Restarting
from tests.physics.rings_net import (
    LAYERS,
    WIDTH,
    build,
    constant,
    incoming,
    joint,
    one_pair,
    random_weights,
    rings,
    train,
    widened,
    with_company,
)

L = keras.layers
EQUAL = dict.fromkeys(range(3), 0.5)
NETS = {
    "tanh": ("tanh", None),
    "relu": ("relu", None),
    "dropout": ("tanh", lambda: L.Dropout(0.3)),
    "noise": ("tanh", lambda: L.GaussianNoise(0.1)),
    # One mask for all units of a layer: each gets the same.
    "shared noise": ("tanh", lambda: L.Dropout(0.3, noise_shape=(None, 1))),
}


@pytest.fixture(scope="module")
def nets():
    return {name: Restarting(build(*arguments)) for name, arguments in NETS.items()}


def forecast(restarting, weights):
    """Verdicts and numbers of locked units of both hidden layers, before training."""
    rows = ik.inspect(restarting.start(weights)).rows
    return [row["verdict"] for row in rows], [row["locked"] for row in rows]


def company_after(restarting, weights, **options):
    trained = train(restarting, weights)
    return [with_company(joint(trained, layer), **options) for layer in range(2)]


@pytest.mark.parametrize(
    ("name", "verdicts", "locked"),
    [
        ("tanh", ["locked", "locked"], [WIDTH, WIDTH]),
        ("relu", ["locked", "locked"], [WIDTH, WIDTH]),
        ("dropout", ["transient", "transient"], [0, 0]),
        ("noise", ["transient", "transient"], [0, 0]),
        ("shared noise", ["locked", "locked"], [WIDTH, WIDTH]),
    ],
)
def test_noise_of_its_own_releases_every_unit_of_a_constant_net(nets, name, verdicts, locked):
    weights = constant(EQUAL)
    assert forecast(nets[name], weights) == (verdicts, locked)
    assert company_after(nets[name], weights) == locked


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_random_biases_release_a_constant_net_at_once(nets, activation):
    weights = constant(EQUAL, bias_std=0.1)
    assert forecast(nets[activation], weights)[1] == [0, 0]
    trained = train(nets[activation], weights)
    assert [with_company(incoming(trained, layer)) for layer in range(2)] == [0, 0]


@pytest.mark.parametrize("name", ["tanh", "relu", "dropout", "noise"])
def test_one_pair_among_sixteen_is_found_and_stays_unless_noise_parts_it(nets, name):
    weights = one_pair()
    locked = [0, 0] if name in ("dropout", "noise") else [0, 2]
    assert forecast(nets[name], weights)[1] == locked
    assert company_after(nets[name], weights) == locked
    # Nothing but a search of all pairs sees it: on the mean of all cosines it is lost.
    alone, pair = (ik.inspect(nets[name].start(w)).rows[1]["mean"] for w in (random_weights(), weights))
    assert abs(pair - alone) < 0.02


def test_a_mirrored_pair_is_locked_under_an_odd_activation_only(nets):
    weights = one_pair(sign=-1)
    for name, locked in (("tanh", [0, 2]), ("relu", [0, 0])):
        assert forecast(nets[name], weights)[1] == locked
        assert company_after(nets[name], weights, mirror=True) == locked


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_copies_stay_when_their_outgoing_weights_are_halved_and_part_when_they_are_shared_unequally(nets, activation):
    halves, thirds = widened(1 / 2), widened(1 / 3)
    assert forecast(nets[activation], halves) == (["uninformative", "locked"], [0, WIDTH])
    assert company_after(nets[activation], halves) == [0, WIDTH]
    assert forecast(nets[activation], thirds) == (["uninformative", "transient"], [0, 0])
    trained = train(nets[activation], thirds)
    assert with_company(incoming(thirds, 1), tolerance=0) == WIDTH
    assert with_company(incoming(trained, 1)) == 0


def test_an_optimizer_that_remembers_other_weights_releases_what_the_weights_lock(nets):
    # Adam's moments of a training before: zeros put into the model then do learn, which surprises whoever tries it.
    train(nets["tanh"], random_weights())
    model = nets["tanh"].model
    zeros = [np.zeros_like(weight) for weight in model.get_weights()]
    model.set_weights(zeros)
    assert ik.inspect(model).ok
    x, y = rings()
    model.fit(x[:40], y[:40], batch_size=40, verbose=0)
    assert [with_company(joint(model.get_weights(), layer)) for layer in range(2)] == [0, 0]
    # With moments of zero nothing but the last bias ever moves.
    rows = ik.inspect(nets["tanh"].start(zeros)).rows
    assert [row["verdict"] for row in rows] == ["dead", "dead"]
    trained = train(nets["tanh"], zeros)
    assert [bool(weight.any()) for weight in trained] == [False] * 5 + [True]


def test_the_first_step_already_parts_units_that_are_transient(nets):
    for layer in range(2):
        weights = constant({layer: 0.5})
        assert forecast(nets["tanh"], weights)[0][layer] == "transient"
        x, y = rings()
        nets["tanh"].model.fit(x, y, batch_size=400, verbose=0)
        kernel = nets["tanh"].model.get_layer(LAYERS[layer]).get_weights()[0]
        # Adam's first step is the rate, 0.01, with the sign of the gradient, and gradients of either sign occur.
        assert np.ptp(kernel, axis=1).max() == pytest.approx(0.02, rel=0.01)
