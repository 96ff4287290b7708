import itertools

import keras
import numpy as np
import pytest
from keras import layers as L

from keras_initkit.inspection.separation_forecast import Forecast, _forecast, separation_forecast
from keras_initkit.inspection.unit_vectors import incoming
from keras_initkit.symmetry.separation import class_gap
from keras_initkit.units.reading import UnitReader

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.standard_normal((32, 8, 8, 1)).astype("float32"), np.arange(32) % 5
ROWS = IMAGES.reshape(32, 64)


def array(variable):
    return np.array(keras.ops.convert_to_numpy(variable.value))


def pair(units, first, second):
    labels = np.arange(units)
    labels[second] = first
    return labels


def tie(model, first, second, sign=1):
    """Make two units of the first layer equal, incoming and outgoing."""
    hidden, output = model.layers[0], model.layers[-1]
    kernel, rows = array(hidden.kernel), array(output.kernel)
    units = kernel.shape[-1]
    kernel[..., second] = sign * kernel[..., first]
    rows[second::units] = sign * rows[first::units]
    hidden.kernel.assign(kernel)
    output.kernel.assign(rows)


def filters(optimizer="sgd", units=10):
    """Two filters of a convolution; the last one is among those left over by instructions on eight numbers."""
    keras.utils.set_random_seed(1)
    between = [L.BatchNormalization(), L.Activation("relu"), L.MaxPooling2D(2), L.Flatten()]
    model = keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(units, 3), *between, L.Dense(5, "softmax")])
    tie(model, 3, units - 1)
    if optimizer is not None:
        model.compile(keras.optimizers.get({"class_name": optimizer, "config": {"learning_rate": 0.1}}), LOSS)
    return model


def mirrored(optimizer="sgd"):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((64,)), L.Dense(8, "tanh"), L.Dense(5, "softmax")])
    tie(model, 2, 6, sign=-1)
    if optimizer is not None:
        model.compile(optimizer, LOSS)
    return model


LOSS = "sparse_categorical_crossentropy"


def forecast(model, labels, x, y=None, **arguments):
    reader = UnitReader(model)
    [found] = separation_forecast(model, reader, {reader.paths[0]: labels}, x, y, **arguments).values()
    return found


def gaps_of_training(model, labels, x, steps, signs=None):
    gaps = []
    for _ in range(steps):
        model.train_on_batch(x, LABELS)
        [units] = UnitReader(model).read().layers
        gaps.append(class_gap(incoming(units), labels, signs=signs))
    return gaps


def test_filters_are_forecast_as_training_has_them():
    model, labels = filters(), pair(10, 3, 9)
    found = forecast(model, labels, IMAGES, LABELS, steps=8)
    # Training itself says whether this machine rounds the two filters alike.
    gaps = gaps_of_training(model, labels, IMAGES, 8)
    assert found.gap == gaps[-1] < 1e-4
    assert found.exact == (not any(gaps))
    assert found.growth_per_step > 0
    smallest = min(gap for gap in (*gaps, float(np.finfo("float32").eps)) if gap)
    assert 0 < found.steps_to_separate <= 8 + np.log(1 / smallest) / found.growth_per_step


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_mirror_pair_is_forecast_as_training_has_it(optimizer):
    model, labels = mirrored(optimizer), pair(8, 2, 6)
    found = forecast(model, labels, ROWS, LABELS)
    gaps = gaps_of_training(model, labels, ROWS, 10, np.where(np.arange(8) == 6, -1.0, 1.0))
    assert found.gap == gaps[-1] < 1e-6
    assert found.exact == (not any(gaps))
    if keras.backend.backend() == "tensorflow":
        assert found.exact


@pytest.mark.parametrize("curvature", [0.5, -0.25])
def test_the_rate_of_a_saddle_and_of_a_valley(curvature):
    """Loss c (a - b)² / 2 of two linear units with a common consumer, whose weights are not trained."""

    class Difference(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return curvature * keras.ops.square(y_pred[:, 0] - y_pred[:, 1]) / 2

    inputs = keras.Input((1,))
    hidden = L.Dense(2, use_bias=False, kernel_initializer="ones")(inputs)
    # The consumer shows both units to the loss, with equal weights into a sum that takes no part.
    output = L.Dense(3, use_bias=False, trainable=False)
    model = keras.Model(inputs, output(hidden))
    output.kernel.assign([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    # From the eleventh step on nothing would move: both runs start from the beginning.
    rates = keras.optimizers.schedules.PiecewiseConstantDecay([9], [0.1, 0.0])
    model.compile(keras.optimizers.SGD(rates), Difference())
    found = forecast(model, np.array([0, 0]), np.ones((4, 1)), np.zeros((4, 3)))
    # One step takes a - b to (1 - 2 · 0.1 · c)(a - b) and leaves a + b.
    rate = np.log(1 - 0.2 * curvature)
    assert found.growth_per_step == pytest.approx(rate, rel=1e-3)
    assert found.exact
    steps = np.log(1 / np.finfo("float32").eps) / rate
    assert found.steps_to_separate == (pytest.approx(steps, rel=1e-3) if curvature < 0 else None)


def test_the_forecast_from_given_gaps():
    # The jump of the first step is no growth; the last gap that can still grow is where it goes on from.
    nothing = [0.0] * 4
    assert _forecast(nothing, [1e-3, 1e-2, 1e-2, 1e-2]) == Forecast(True, 0.0, 0.0, None)
    doubling = [1e-3, 1e-3, 2e-3, 4e-3]
    rounded = _forecast([0.0, 1e-7, 1.5e-7, 2e-7], doubling)
    assert (rounded.exact, rounded.gap) == (False, 2e-7)
    assert rounded.growth_per_step == pytest.approx(np.log(2))
    assert rounded.steps_to_separate == pytest.approx(3 + np.log2(1 / 2e-7))
    assert _forecast(nothing, doubling).steps_to_separate == pytest.approx(23)  # from 2 to the power of -23
    broken = _forecast([0.0, float("nan"), float("nan"), float("nan")], nothing)
    assert (broken.exact, broken.growth_per_step, broken.steps_to_separate) == (False, None, None)


def test_units_that_come_apart_at_once_are_not_exact():
    model = mirrored()
    rows = array(model.layers[-1].kernel)
    rows[6] *= 0.5
    model.layers[-1].kernel.assign(rows)
    found = forecast(model, pair(8, 2, 6), ROWS, LABELS)
    assert not found.exact
    assert found.gap > 1e-3


def test_without_a_loss_another_stands_in():
    for model, x, labels in ((mirrored(None), ROWS, pair(8, 2, 6)), (mirrored("adam"), ROWS, pair(8, 2, 6))):
        compiled = getattr(model, "compiled", False)
        assert forecast(model, labels, x).gap < 1e-6
        assert model.compiled is compiled
    rows = array(model.layers[-1].kernel)
    rows[6] *= 0.5
    model.layers[-1].kernel.assign(rows)
    assert forecast(model, labels, x).gap > 1e-3


def test_layers_are_forecast_together_as_alone():
    keras.utils.set_random_seed(2)
    layers = [L.Dense(6, "tanh"), L.Dense(6, "tanh"), L.Dense(2)]
    model = keras.Sequential([keras.Input((64,)), *layers])
    for hidden, consumer in itertools.pairwise(layers):
        kernel, rows = array(hidden.kernel), array(consumer.kernel)
        kernel[:, 1], rows[1] = kernel[:, 0], rows[0]
        hidden.kernel.assign(kernel)
        consumer.kernel.assign(rows)
    kernel = array(layers[1].kernel)
    kernel[1] = kernel[0]
    layers[1].kernel.assign(kernel)
    model.compile(keras.optimizers.SGD(0.05), "mse")
    reader, y = UnitReader(model), RNG.standard_normal((32, 2))
    classes = dict.fromkeys(reader.paths, pair(6, 0, 1))
    together = separation_forecast(model, reader, classes, ROWS, y)
    assert list(together) == reader.paths
    for path in reader.paths:
        alone = separation_forecast(model, reader, {path: classes[path]}, ROWS, y)[path]
        assert max(alone.gap, together[path].gap) < 1e-6
        assert alone.growth_per_step == pytest.approx(together[path].growth_per_step, abs=0.03)


@pytest.mark.parametrize("kind", [filters, mirrored])
def test_training_afterwards_is_bit_equal(kind):
    x, labels = (IMAGES, pair(10, 3, 9)) if kind is filters else (ROWS, pair(8, 2, 6))
    plain, asked = kind("adam"), kind("adam")
    forecast(asked, labels, x, LABELS)
    for model in (plain, asked):
        keras.utils.set_random_seed(4)  # the order of the samples
        model.fit(x, LABELS, batch_size=8, epochs=2, verbose=0)
    for one, other in zip(plain.variables, asked.variables, strict=True):
        np.testing.assert_array_equal(array(one), array(other))


def test_arguments():
    model = mirrored()
    reader = UnitReader(model)
    assert separation_forecast(model, reader, {reader.paths[0]: np.arange(8)}, ROWS, LABELS) == {}
    assert separation_forecast(model, reader, {}, ROWS, LABELS) == {}
    with pytest.raises(ValueError, match="`steps` to be an integer of at least 3. Received: steps=1"):
        forecast(model, pair(8, 2, 6), ROWS, LABELS, steps=1)
    with pytest.raises(ValueError, match="Expected `classes` to be one of .*Received: classes='dens'"):
        separation_forecast(model, reader, {"dens": np.arange(8)}, ROWS, LABELS)
