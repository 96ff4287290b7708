"""Half precision, averaged weights, and replicas that diverge: the stacked engine gives what `fit` gives."""

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from keras_initkit.study.data import StudyData
from tests.study.engines.fit_oracle import assert_like_fit, stack

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(17, 4)).astype("float32"), RANDOM.integers(0, 3, 17)
DATA = StudyData.of(X, Y, None)


def perceptron(initializer, optimizer, policy=None):
    layer = layers.Dense(4, "relu", kernel_initializer=initializer, kernel_regularizer="l2", dtype=policy)
    model = keras.Sequential([keras.Input((4,)), layer, layers.Dense(3, "softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize(
    ("policy", "unit"), [("mixed_float16", 2**-10), ("mixed_bfloat16", 2**-7)], ids=["float16", "bfloat16"]
)
def test_half_precision(policy, unit):
    def build(initializer):
        # Growing every second step, the scale overflows half precision on the way: such steps are left out.
        inner = optimizers.SGD(0.1, momentum=0.9, clipnorm=1.0)
        return perceptron(
            initializer, optimizers.LossScaleOptimizer(inner, initial_scale=2.0**17, dynamic_growth_steps=2), policy
        )

    # Sums of products may be rounded to half precision after another order of adding, in each of the layers.
    outcomes = assert_like_fit(build, DATA, rtol=4 * unit)
    assert len(outcomes[0].replica.curves["loss"]) == 3


@pytest.mark.usefixtures("float64")
def test_averaged_weights_take_the_place_of_the_weights():
    def build(initializer):
        return perceptron(initializer, optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9))

    outcomes = assert_like_fit(build, DATA, rtol=1e-8)
    plain, _ = stack(lambda k: perceptron(k, optimizers.SGD(0.1)), DATA)
    assert np.abs(outcomes[0].weights[0] - plain[0].weights[0]).max() > 1e-3


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_replicas_that_diverge_leave_their_neighbours_alone():
    def build(initializer):
        model = perceptron(initializer, optimizers.SGD(0.1))
        kernel = model.layers[0].kernel
        if Scale.now is not None and np.array(kernel).flat[0] == Scale.now:
            kernel.assign(kernel * 1e25)
        return model

    class Scale:
        now = None

    healthy, _ = stack(build, DATA, epochs=3)
    Scale.now = healthy_start(build, seed=1)
    mixed, _ = stack(build, DATA, epochs=3)
    curve = mixed[1].replica.curves["loss"]
    first = 1 + int(np.flatnonzero(~np.isfinite(curve[1:]))[0])
    assert np.isnan(curve[first + 1 :]).all()
    for place in (0, 2):
        for name, values in healthy[place].replica.curves.items():
            np.testing.assert_allclose(mixed[place].replica.curves[name], values, rtol=1e-6)
        for one, other in zip(healthy[place].weights, mixed[place].weights, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def healthy_start(build, seed):
    from keras_initkit.study.engines.group import Training
    from tests.study.engines.fit_oracle import members

    model = Training(build, DATA, 1, 8).build(members(seeds=(seed,))[0])
    return np.array(model.layers[0].kernel).flat[0]
