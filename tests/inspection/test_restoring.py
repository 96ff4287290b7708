import random

import keras
import numpy as np
import pytest
from keras import layers as L

from keras_initkit.inspection.restoring import preserved

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((32, 8)).astype("float32"), np.arange(32) % 3


class Counting(keras.Model):
    """Sets attributes, changes a list and an array in place, and draws from a generator of its own in `call`."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out, self.drop = L.Dense(16, "relu"), L.Dense(3, "softmax"), L.Dropout(0.3)
        self.calls, self.shapes, self.array, self.last = 0, [], np.zeros(2), None
        self.seeds = keras.random.SeedGenerator(7)

    def call(self, x, training=False):
        self.calls += 1
        self.shapes.append(tuple(x.shape))
        self.array += 1
        self.last = "seen"
        if training:
            self.new_attribute = 1
            x = x + 0.01 * keras.random.normal((8,), seed=self.seeds)
        return self.out(self.drop(self.hidden(x), training=training))


def sequential():
    hidden = [L.Dense(16, "relu", kernel_regularizer="l2"), L.BatchNormalization(), L.Dropout(0.3)]
    return keras.Sequential([keras.Input((8,)), *hidden, L.Dense(3, "softmax")])


def functional():
    inputs = keras.Input((8,))
    h = sequential()(inputs)
    return keras.Model(inputs, L.Dense(3, "softmax")(L.Concatenate()([h, L.GaussianNoise(0.1)(inputs)])))


def subclassed():
    model = Counting()
    model(X)
    return model


def mixed():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return sequential()
    finally:
        keras.config.set_dtype_policy(policy)


MODELS = {"sequential": sequential, "functional": functional, "subclassed": subclassed, "mixed": mixed}
# On JAX, Keras cannot go on with `fit` after one with moving averages: they share memory with the weights.
OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "schedule": lambda: keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5), momentum=0.9),
    "averaged": lambda: keras.optimizers.AdamW(0.01, use_ema=keras.backend.backend() != "jax", clipnorm=1.0),
}


def build(kind, optimizer="adam"):
    keras.utils.set_random_seed(3)
    model = MODELS[kind]()
    if optimizer is not None:
        loss = keras.losses.SparseCategoricalCrossentropy()
        model.compile(OPTIMIZERS[optimizer](), loss, metrics=["accuracy"])
    return model


def variables(model):
    found = [*model.variables, *model.metrics_variables]
    if model.compiled:
        found += model.optimizer.variables
    for layer in model._flatten_layers():
        found += layer.variables
    return found


def fingerprint(model):
    """All there is to see from outside, by another way than the walk under test."""
    bits = [(v.path, v.trainable, np.asarray(keras.ops.convert_to_numpy(v.value)).tobytes()) for v in variables(model)]
    holders = [*model._flatten_layers(), getattr(model, "optimizer", None), getattr(model, "_compile_metrics", None)]
    attributes = [
        {k: (id(v), len(v) if isinstance(v, (list, dict, set)) else None) for k, v in vars(holder).items()}
        for holder in holders
        if holder is not None
    ]
    flags = [(layer.name, layer.trainable, layer.built) for layer in model._flatten_layers()]
    return bits, attributes, flags, getattr(model, "stop_training", None), random.getstate(), global_draws()


def global_draws():
    """The next numbers of the global generators, drawn without moving them."""
    legacy = np.random.get_state()  # noqa: NPY002
    backend = None
    if keras.backend.backend() == "torch":
        import torch

        backend = torch.get_rng_state().numpy().tobytes()
    generator = keras.src.backend.common.global_state.get_global_attribute("global_seed_generator")
    state = None if generator is None else np.asarray(keras.ops.convert_to_numpy(generator.state.value)).tobytes()
    return legacy[1].tobytes(), legacy[2], backend, id(generator), state


def meddle(model):
    """Train and change whatever can be changed."""
    if model.compiled:
        for _ in range(2):
            model.train_on_batch(X, Y)
        if not isinstance(model.optimizer, keras.optimizers.SGD):  # the one with a schedule
            model.optimizer.learning_rate = 0.5
        model.compile("sgd", "sparse_categorical_crossentropy")
    model(X, training=True)
    model.layers[0].trainable = False
    model.stop_training = True
    model.layers[-1].extra = [1]
    for variable in model.variables:
        variable.assign(keras.ops.zeros(variable.shape))
    keras.random.normal((3,))
    random.random()
    np.random.random(3)  # noqa: NPY002


def meddle_until_interrupted(model):
    with preserved(model):
        meddle(model)
        raise KeyboardInterrupt


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("kind", MODELS)
def test_everything_is_put_back(kind, compiled):
    model = build(kind, "adam" if compiled else None)
    before = fingerprint(model)
    with preserved(model):
        meddle(model)
        assert fingerprint(model)[0] != before[0]
    assert fingerprint(model) == before


def test_everything_is_put_back_in_the_middle_of_training():
    model = build("functional", "averaged")
    model.fit(X, Y, epochs=2, verbose=0)
    before = fingerprint(model)
    with preserved(model):
        meddle(model)
    assert fingerprint(model) == before


def test_everything_is_put_back_if_the_body_raises():
    model = build("subclassed")
    before, calls, shapes = fingerprint(model), model.calls, list(model.shapes)
    with pytest.raises(KeyboardInterrupt):
        meddle_until_interrupted(model)
    assert fingerprint(model) == before
    assert (model.last, model.calls, list(model.shapes)) == ("seen", calls, shapes)
    np.testing.assert_array_equal(model.array, [calls, calls])
    assert not hasattr(model, "new_attribute")


@pytest.mark.parametrize("trained_before", [False, True])
@pytest.mark.parametrize(
    ("kind", "optimizer"),
    [("sequential", "adam"), ("functional", "schedule"), ("subclassed", "averaged"), ("mixed", "adam")],
)
def test_training_afterwards_is_bit_equal_to_training_without(kind, optimizer, trained_before):
    def trained(interrupt):
        model = build(kind, optimizer)
        if trained_before:
            model.fit(X, Y, epochs=1, verbose=0)
        if interrupt:
            with preserved(model):
                meddle(model)
        history = model.fit(X, Y, epochs=2, batch_size=8, verbose=0).history
        return [np.asarray(keras.ops.convert_to_numpy(v.value)) for v in variables(model)], history

    (plain, plain_history), (interrupted, history) = trained(False), trained(True)
    assert history == plain_history
    assert len(plain) == len(interrupted)
    for one, other in zip(plain, interrupted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_optimizer_that_was_not_built_is_not_built_afterwards():
    model = build("sequential")
    names = [v.path for v in model.optimizer.variables]
    with preserved(model):
        model.train_on_batch(X, Y)
        assert model.optimizer.built
        assert len(model.optimizer.variables) > len(names)
    assert not model.optimizer.built
    assert [v.path for v in model.optimizer.variables] == names
    assert [v.path for v in model.metrics_variables] == ["loss/total", "loss/count"]


def test_a_model_that_was_not_built_gets_the_weights_it_would_have_got():
    def built(interrupt):
        keras.utils.set_random_seed(5)
        generator = keras.random.SeedGenerator(1)
        initializer = keras.initializers.GlorotUniform(seed=generator)
        model = keras.Sequential([L.Dense(4, kernel_initializer=initializer), L.Dense(2)])
        if interrupt:
            with preserved(model):
                model(X)
            assert not model.built
            assert model.variables == []
        model(X)
        return model.get_weights()

    for plain, interrupted in zip(built(False), built(True), strict=True):
        np.testing.assert_array_equal(plain, interrupted)


def test_names_of_later_layers_are_what_they_would_have_been():
    keras.utils.clear_session(free_memory=False)
    L.Dense(1)
    with preserved(sequential()):
        L.Dense(1), L.Dropout(0.1)
    assert L.Dropout(0.1).name == "dropout_1"  # the one in the model came first


def test_random_states_of_the_backend():
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        generator = tf.random.get_global_generator()
        draw, seed = lambda: (float(tf.random.normal(())), float(generator.normal(()))), tf.random.set_seed
    elif keras.backend.backend() == "torch":
        import torch

        draw, seed = lambda: float(torch.randn(())), torch.manual_seed
    else:
        pytest.skip("JAX has no global random state")
    model = build("sequential", None)
    seed(3)
    first = draw()
    with preserved(model):
        inside = draw(), draw()
    assert draw() == inside[0] != first
    with preserved(model):
        seed(4)
    assert draw() == inside[1]
