"""What optimizers hold for weights: it moves units that were set back, or tells them apart, or is gone."""

import keras
import numpy as np
import pytest

from keras_initkit.inspection.verdicts import judge_model
from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.reading import UnitReader
from keras_initkit.units.weights import Weights

L = keras.layers
optimizers = keras.optimizers

# Whether what the optimizer holds after some steps moves weights that get no gradient.
MOVES = {
    "SGD": (lambda: optimizers.SGD(0.1), False),
    "SGD with momentum": (lambda: optimizers.SGD(0.1, momentum=0.9), True),
    "Adam": (lambda: optimizers.Adam(0.01), True),
    "Adam with amsgrad": (lambda: optimizers.Adam(0.01, amsgrad=True), True),
    "AdamW": (lambda: optimizers.AdamW(0.01), True),
    "Nadam": (lambda: optimizers.Nadam(0.01), True),
    "Adamax": (lambda: optimizers.Adamax(0.01), True),
    "Lamb": (lambda: optimizers.Lamb(0.01), True),
    "Lion": (lambda: optimizers.Lion(0.01), True),
    "RMSprop": (lambda: optimizers.RMSprop(0.01), False),
    "RMSprop with momentum": (lambda: optimizers.RMSprop(0.01, momentum=0.9), True),
    "RMSprop, centred": (lambda: optimizers.RMSprop(0.01, centered=True), False),
    "Adagrad": (lambda: optimizers.Adagrad(0.1), False),
    "Adadelta": (lambda: optimizers.Adadelta(1.0), False),
    "Adafactor": (lambda: optimizers.Adafactor(0.01), False),
    "Ftrl": (lambda: optimizers.Ftrl(0.1), True),
    "loss scaling": (lambda: optimizers.LossScaleOptimizer(optimizers.Adam(0.01), initial_scale=8.0), True),
}
if hasattr(optimizers, "Muon"):
    MOVES["Muon"] = (lambda: optimizers.Muon(0.01), True)

X = np.random.default_rng(0).standard_normal((16, 3)).astype("float32")


def trained(make):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), L.Dense(4, "tanh", name="hidden"), L.Dense(2, name="out")])
    model.compile(make(), "mse", run_eagerly=True)
    for _ in range(3):
        model.train_on_batch(X, X[:, :2] ** 2)
    return model


def set_to(model, value):
    for layer in model.layers:
        layer.kernel.assign(keras.ops.full(layer.kernel.shape, value))
    model.layers[0].bias.assign(keras.ops.zeros(4))


def judge(model, optimizer=None):
    return judge_model(UnitReader(model), {}, False, optimizer)[0]


def part_in_training(model, steps=8):
    for _ in range(steps):
        model.train_on_batch(X, X[:, :2] ** 2)
    kernel = to_numpy(model.layers[0].kernel)
    return len(np.unique(kernel.round(6), axis=1).T), bool(kernel.any())


@pytest.mark.parametrize("name", MOVES)
def test_equal_units_part_if_the_optimizer_holds_different_numbers_for_them(name):
    make, _ = MOVES[name]
    model = trained(make)
    if name != "SGD":
        assert Weights(model.optimizer).slots(model.layers[0], "kernel") != ([], [])
    set_to(model, 0.3)
    state = judge(model)
    distinct, _ = part_in_training(model)
    assert (state.locked == 4) == (distinct == 1)
    if name != "SGD":
        assert state.locked < 4
    fresh = trained(lambda: optimizers.SGD(0.0))
    fresh.compile(make(), "mse", run_eagerly=True)
    set_to(fresh, 0.3)
    assert judge(fresh).locked == 4
    assert part_in_training(fresh)[0] == 1


@pytest.mark.parametrize("name", MOVES)
def test_two_layers_of_zeros_learn_again_exactly_if_the_optimizer_moves_them(name):
    make, moves = MOVES[name]
    model = trained(make)
    set_to(model, 0.0)
    state = judge(model)
    assert (state.dead == 0) == moves
    assert part_in_training(model)[1] == moves
    set_to(model, 0.0)
    assert judge(model, make()).dead == 4  # with a new optimizer, which holds nothing


def test_every_slot_is_fetched_once(monkeypatch):
    from keras_initkit.units import weights

    fetched = []

    def counting(variable):
        fetched.append(id(variable))
        return to_numpy(variable)

    model = trained(lambda: optimizers.Adam(0.01))
    monkeypatch.setattr(weights, "to_numpy", counting)
    UnitReader(model).read(model.optimizer)
    assert len(fetched) == len(set(fetched)) == 3 * 4  # two kernels, two biases, with two slots each


def test_rows_and_columns_of_adafactor_are_those_of_the_kernel():
    model = trained(lambda: optimizers.Adafactor(0.01))
    _, state = Weights(model.optimizer).slots(model.layers[0], "kernel")
    assert {slot.shape for slot in state} == {(3, 4)}
    assert sum(np.ptp(slot, axis=0).max() == 0 for slot in state) >= 1
    assert sum(np.ptp(slot, axis=1).max() == 0 for slot in state) >= 1


def test_an_optimizer_for_every_layer_is_understood():
    model = trained(lambda: optimizers.Adam(0.01))

    class Outer:
        built = True
        _inner_optimizers = (model.optimizer,)

    momentum, state = Weights(Outer()).slots(model.layers[0], "kernel")
    assert len(momentum) == len(state) == 1


def test_an_optimizer_that_is_not_built_holds_nothing():
    model = trained(lambda: optimizers.SGD(0.1))
    assert Weights(optimizers.Adam()).slots(model.layers[0], "kernel") == ([], [])
    assert Weights(None).slots(model.layers[0], "kernel") == ([], [])
