"""Optimizers on values, for many replicas at once, give what they give in place, one model after the other."""

import keras
import numpy as np
import pytest

from keras_initkit.study.engines.functional_optimizer import functional_optimizer

if keras.backend.backend() != "tensorflow":
    pytest.skip("other backends use Keras' own `stateless_apply`", allow_module_level=True)

import tensorflow as tf

from keras_initkit.study.engines.tensorflow_map import TensorFlowMap

REPLICAS, STEPS = 3, 4


def excluding(optimizer, **what):
    optimizer.exclude_from_weight_decay(**what)
    return optimizer


OPTIMIZERS = {
    "sgd": lambda _: keras.optimizers.SGD(0.1),
    "momentum": lambda _: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "clipvalue": lambda _: keras.optimizers.SGD(0.1, momentum=0.5, clipvalue=0.2),
    "clipnorm": lambda _: keras.optimizers.SGD(0.1, clipnorm=0.5),
    "global_clipnorm": lambda _: keras.optimizers.Adam(0.1, global_clipnorm=0.5),
    "schedule": lambda _: keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(0.1, 4, warmup_steps=2, warmup_target=0.2), amsgrad=True
    ),
    "adamw": lambda _: keras.optimizers.AdamW(0.1, weight_decay=0.1),
    "excluded_names": lambda _: excluding(keras.optimizers.AdamW(0.1, weight_decay=0.1), var_names=["bias"]),
    "excluded_variables": lambda v: excluding(keras.optimizers.AdamW(0.1, weight_decay=0.1), var_list=[v[0]]),
    "nadam": lambda _: keras.optimizers.Nadam(0.1),
    "adamax": lambda _: keras.optimizers.Adamax(0.1),
    "rmsprop": lambda _: keras.optimizers.RMSprop(0.1, momentum=0.5, centered=True),
    "adagrad": lambda _: keras.optimizers.Adagrad(0.1),
    "adadelta": lambda _: keras.optimizers.Adadelta(0.1),
    "ftrl": lambda _: keras.optimizers.Ftrl(
        0.1, l1_regularization_strength=0.01, l2_shrinkage_regularization_strength=0.1
    ),
    "lion": lambda _: keras.optimizers.Lion(0.1),
    "lamb": lambda _: keras.optimizers.Lamb(0.1),
    "adafactor": lambda _: keras.optimizers.Adafactor(0.1),
    "muon": lambda _: keras.optimizers.Muon(0.1, exclude_layers=["excluded"]),
    "ema": lambda _: keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5),
    "loss_scale": lambda _: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.1, clipnorm=1.0), initial_scale=8.0, dynamic_growth_steps=2
    ),
}


def variables(random):
    shapes = {"kernel": (4, 3), "bias": (3,), "excluded_kernel": (2, 2, 3), "embeddings": (5, 2)}
    return [keras.Variable(random.normal(size=shape).astype("float32"), name=name) for name, shape in shapes.items()]


def gradients(random, overflow=False):
    dense = [random.normal(size=shape).astype("float32") for shape in ((4, 3), (3,), (2, 2, 3))]
    if overflow:
        dense[0][0, 0] = np.inf
    return [*dense, random.normal(size=(3, 2)).astype("float32")]


def as_tensors(parts):
    """Return gradients as a step of training gives them: that of an embedding, last, as rows of which one is double."""
    rows = tf.IndexedSlices(tf.convert_to_tensor(parts[-1]), tf.constant([4, 1, 4]), tf.constant([5, 2]))
    return [*map(tf.convert_to_tensor, parts[:-1]), rows]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_as_in_place(name):
    # Float32 of a few operations; Muon orthogonalises in many of them.
    assert_as_in_place(OPTIMIZERS[name], overflowing=name == "loss_scale", tolerance=1e-3 if name == "muon" else 1e-5)


def assert_as_in_place(make, *, overflowing=False, tolerance=1e-5):
    steps = [
        [gradients(np.random.default_rng([r, step]), overflowing and step == r) for r in range(REPLICAS)]
        for step in range(STEPS)
    ]
    expected = [in_place(make, replica, [step[replica] for step in steps]) for replica in range(REPLICAS)]
    found = together(make, steps)
    for replica, values in enumerate(expected):
        for theirs, ours in zip(values, found, strict=True):
            known = np.isfinite(theirs)
            assert np.array_equal(known, np.isfinite(ours[replica]))
            np.testing.assert_allclose(ours[replica][known], theirs[known], rtol=tolerance, atol=tolerance)


def in_place(make, replica, steps):
    """Return the variables of model and optimizer after steps of Keras' own optimizer."""
    own = variables(np.random.default_rng(replica))
    optimizer = make(own)
    optimizer.build(own)
    for parts in steps:
        optimizer.apply(as_tensors(parts), own)
    optimizer.finalize_variable_values(own)
    return [np.array(variable) for variable in (*own, *optimizer.variables)]


def together(make, steps):
    """Return the same, stacked, from one optimizer on values."""
    own = variables(np.random.default_rng(0))
    optimizer = make(own)
    optimizer.build(own)
    functional = functional_optimizer(optimizer)
    starts = [variables(np.random.default_rng(replica)) for replica in range(REPLICAS)]
    trained = [np.stack(parts) for parts in zip(*[[np.array(v) for v in start] for start in starts], strict=True)]
    state = [np.stack([np.array(variable)] * REPLICAS) for variable in optimizer.variables]
    before = [np.array(variable) for variable in (*own, *optimizer.variables)]

    def step(trained, state, parts):
        return functional.stateless_apply(state, as_tensors(parts), trained)

    def end(trained, state):
        scope = keras.StatelessScope(list(zip([*own, *optimizer.variables], [*trained, *state], strict=True)))
        with scope:
            functional.finalize_variable_values(own)
            return [
                variable.value.value if isinstance(variable.value, keras.Variable) else variable.value
                for variable in own
            ]

    replicas = TensorFlowMap()
    taken = tf.function(lambda *all_of_them: replicas(step, *all_of_them), autograph=False)
    finished = tf.function(lambda *all_of_them: replicas(end, *all_of_them), autograph=False)
    trained, state = ([tf.convert_to_tensor(part) for part in parts] for parts in (trained, state))
    for parts in steps:
        stacked = [tf.convert_to_tensor(np.stack(own)) for own in zip(*parts, strict=True)]
        trained, state = map(list, taken(trained, state, stacked))
    trained = finished(trained, state)
    for variable, value in zip((*own, *optimizer.variables), before, strict=True):
        assert np.array_equal(np.array(variable), value)
    return [np.array(part) for part in (*trained, *state)]


def test_frozen_optimizer_of_a_subclass():
    class Doubled(keras.optimizers.SGD):
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient, variable, 2 * learning_rate)

    assert_as_in_place(lambda _: Doubled(0.1, momentum=0.9))
