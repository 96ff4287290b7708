"""The fewest layers to change, against trying all sets of layers."""

import itertools

import keras
import numpy as np
import pytest

from keras_initkit.inspection.remedy import fewest_changes
from keras_initkit.inspection.verdicts import Analysis, analysed_reading
from keras_initkit.units.arrays import to_numpy
from keras_initkit.units.reading import UnitReader

L = keras.layers


def chain(*values, activation="tanh"):
    """A perceptron whose kernels are constants, or random where the value is None."""
    layers = [keras.Input((5,))]
    for number, value in enumerate(values):
        kernel = "glorot_uniform" if value is None else keras.initializers.Constant(value)
        last = number == len(values) - 1
        layers.append(
            L.Dense(3 if last else 6, None if last else activation, kernel_initializer=kernel, name=f"{number}")
        )
    return keras.Sequential(layers)


def changes(model):
    return fewest_changes(*analysed_reading(UnitReader(model)))


def smallest_by_trial(model):
    """Return all smallest sets of hidden layers that, drawn at random, leave nothing locked or dead."""
    reader = UnitReader(model)
    kept = model.get_weights()
    for size in range(1, len(reader.paths) + 1):
        found = []
        for chosen in itertools.combinations(reader.paths, size):
            for number, path in enumerate(chosen):
                kernel = model.get_layer(path).kernel
                kernel.assign(np.random.default_rng(number).standard_normal(kernel.shape))
            reading = reader.read()
            analysis = Analysis.of(reading.network)
            if not any(map(analysis.is_at_fault, reading.layers)):
                found.append(chosen)
            model.set_weights(kept)
        if found:
            return found
    return []


CASES = {
    "all constant": ((0.5, 0.5, 0.5), "tanh"),
    "four constant": ((0.5, 0.5, 0.5, 0.5, 0.5), "tanh"),
    "zeros": ((0.0, 0.0, 0.0), "tanh"),
    "zeros into relu": ((0.0, 0.0, 0.0, 0.0), "relu"),
    "one layer of zeros": ((None, 0.0, None, None), "relu"),
    "two constant": ((None, 0.3, 0.3, None), "tanh"),
    "constant before constant output": ((None, None, 0.3, 0.3), "relu"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_set_is_one_of_the_smallest_that_help(name):
    keras.utils.set_random_seed(0)
    values, activation = CASES[name]
    model = chain(*values, activation=activation)
    assert changes(model) in smallest_by_trial(model)


def test_random_weights_need_no_change():
    assert changes(chain(None, None, None)) is None


def test_layers_that_no_change_of_hidden_weights_releases_are_left_without_an_answer():
    # Whatever the weights into the hidden layer are, a frozen output of zeros gives it no gradient.
    model = chain(None, 0.0)
    model.layers[-1].trainable = False
    assert changes(model) is None


def test_the_model_itself_is_not_changed():
    model = chain(0.5, 0.5, 0.5)
    assert changes(model) is not None
    assert all((to_numpy(layer.kernel) == 0.5).all() for layer in model.layers)
