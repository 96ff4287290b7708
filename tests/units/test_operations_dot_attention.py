"""Attention without projections, and other layers without units: what they do to the units before them."""

import keras
import numpy as np
import pytest

from keras_initkit.units.arrays import to_numpy
from tests.units.layer_cases import Case, build, judged, locked, movement, train

L = keras.layers


def model_around(make, *, seed=0, weights=None):
    """Return a model with a layer of units for queries and one for keys and values."""
    keras.utils.set_random_seed(seed)
    x = keras.Input((6, 3))
    query, value = L.Dense(4, "tanh", name="query")(x), L.Dense(4, "tanh", name="value")(x)
    y = make()([query, value])
    model = keras.Model(x, L.Dense(3, name="after")(keras.ops.mean(y, axis=1)))
    for variable in model.trainable_variables if weights is not None else []:
        variable.assign(np.full(variable.shape, weights))
    return model


KINDS = {
    "dot": lambda: L.Attention(name="attention"),
    "dot with a scale": lambda: L.Attention(use_scale=True, name="attention"),
    "concat": lambda: L.Attention(use_scale=True, score_mode="concat", name="attention"),
    "additive": lambda: L.AdditiveAttention(name="attention"),
    "additive without scale": lambda: L.AdditiveAttention(use_scale=False, name="attention"),
}


@pytest.mark.parametrize("name", KINDS)
def test_units_are_locked_and_dead_where_training_says_so(name):
    case = Case(KINDS[name], {}, shape=(6, 3))
    for seed, weights in ((0, None), (0, 0.3), (0, 0.0)):
        model = model_around(KINDS[name], seed=seed, weights=weights)
        before = judged(model)
        assert all(state.locked == (0 if weights is None else 4) for state in before.values()), before
        train(model, case, 10)
        for path, after in judged(model).items():
            moved = movement(before[path].units, after.units)
            assert (moved > 0).all() == (before[path].dead == 0), path
            if weights is not None:
                assert np.ptp(after.units.kernel, axis=1).max() < 1e-5
    assert before["value"].dead == 4


def test_a_scale_for_every_feature_tells_queries_apart():
    model = model_around(KINDS["additive"], weights=0.3)
    model.get_layer("attention").scale.assign([0.1, 0.2, 0.3, 0.1])
    # Values are keys too.
    assert locked(model) == {"query": (0, 3), "value": (0, 3)}


@pytest.mark.parametrize("name", ["AdaptiveAveragePooling1D", "AdaptiveMaxPooling1D"])
def test_pooling_to_a_size_keeps_the_features(name):
    if not hasattr(L, name):
        pytest.skip("not in this version of Keras")
    model = build(Case(lambda: getattr(L, name)(2), {}))
    before, after = model.get_layer("before"), model.get_layer("after")
    for variable, axis in ((before.kernel, 1), (after.kernel, 0)):
        array = to_numpy(variable)
        variable.assign(np.take(array, [0, 1, 0, 3, 4], axis=axis))
    assert locked(model) == {"before": (0, 2)}


@pytest.mark.parametrize(
    ("make", "kept"),
    [
        (lambda: L.Rescaling(0.5), True),
        (lambda: L.Rescaling(0.5, offset=1.0), True),
        (lambda: L.Rescaling([0.5, 1, 1, 1, 2.0]), False),
        (lambda: L.Normalization(mean=[1.0, 2, 3, 4, 5], variance=[1.0, 1, 1, 1, 1]), False),
    ],
)
def test_fixed_scales_tell_units_apart_if_every_feature_has_its_own(make, kept):
    model = build(Case(make, {}))
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, 0.3))
    assert locked(model) == ({"before": (0, 1, 2, 3, 4)} if kept else {})
    for variable in model.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    before = judged(model)["before"]
    train(model, Case(make, {}), 3)
    moved = movement(before.units, judged(model)["before"].units)
    assert before.dead_units.tolist() == np.flatnonzero(moved == 0).tolist()  # a shift wakes the next layer
