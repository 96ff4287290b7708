"""Training loops without `fit`, mixing them with `fit`, and what measuring may cost."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_initkit import InitializationError, SymmetryMonitor
from keras_initkit.callbacks import symmetry_monitor, symmetry_record
from keras_initkit.symmetry import unit_similarity
from keras_initkit.units.arrays import to_numpy

L = keras.layers
X = np.random.default_rng(0).standard_normal((32, 5)).astype("float32")
Y = (X[:, :1] * X[:, 1:2]).astype("float32")


def network(initializer="he_normal", output="glorot_uniform"):
    keras.utils.set_random_seed(0)
    layers = [L.Dense(4, "tanh", kernel_initializer=initializer, name="one")]
    return keras.Sequential([keras.Input((5,)), *layers, L.Dense(1, kernel_initializer=output)], name="net")


@pytest.fixture(scope="module")
def compiled():
    model = network()
    model.compile("sgd", "mse", run_eagerly=True)
    return model


def tensorflow_step(model, optimizer, x, y):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = keras.ops.mean((model(x, training=True) - y) ** 2)
    optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)


def jax_step(model, optimizer, x, y):
    import jax

    def loss(trained, rest):
        return keras.ops.mean((model.stateless_call(trained, rest, x)[0] - y) ** 2)

    trained = [variable.value for variable in model.trainable_variables]
    gradients = jax.grad(loss)(trained, [variable.value for variable in model.non_trainable_variables])
    optimizer.apply(gradients, model.trainable_variables)


def torch_step(model, optimizer, x, y):
    model.zero_grad()
    keras.ops.mean((model(x, training=True) - y) ** 2).backward()
    gradients = [variable.value.grad for variable in model.trainable_variables]
    import torch

    with torch.no_grad():
        optimizer.apply(gradients, model.trainable_variables)


STEP = {"tensorflow": tensorflow_step, "jax": jax_step, "torch": torch_step}[keras.backend.backend()]


def looped(measured):
    """Train in an own loop; return the monitor, what the calls gave, and the weights at the end."""
    model, optimizer = network(), keras.optimizers.SGD(0.05)
    optimizer.build(model.trainable_variables)
    monitor, answers = SymmetryMonitor(), []
    for step in range(7):
        if measured and step % 3 == 0:
            answers.append((monitor.measure(model, step), to_numpy(model.layers[0].kernel)))
        STEP(model, optimizer, X, Y)
    return monitor, answers, [to_numpy(weight) for weight in model.weights]


def test_measure_works_in_an_own_training_loop_and_gives_the_rows():
    monitor, answers, _ = looped(measured=True)
    assert [row["epoch"] for row in monitor.rows] == [0, 3, 6]
    for [row], kernel in answers:
        assert row in monitor.rows
        assert row["rms"] == unit_similarity(kernel, activation="tanh").rms
    assert len({row["rms"] for row in monitor.rows}) == 3
    assert monitor.verdicts == {"one": "healthy"}
    assert monitor.summary() == "one: healthy from step 0 to 6"
    assert monitor.plot().axes[0].get_xlabel() == "step"
    assert monitor.heatmap("one").axes[0].get_title() == "one, after step 6"


def test_an_own_loop_trains_the_same_with_and_without_measuring():
    for one, other in zip(looped(True)[2], looped(False)[2], strict=True):
        np.testing.assert_array_equal(one, other)


def test_measure_reports_like_fit_does():
    model = network("ones", "ones")
    with pytest.raises(InitializationError, match="measured at step 100:\n  one: All 4 units are copies"):
        SymmetryMonitor(on_locked="raise").measure(model, 100)
    monitor = SymmetryMonitor(on_locked="stop")
    with pytest.warns(UserWarning, match="1 hidden layer cannot learn as it is, measured at step 0"):
        monitor.measure(model, 0)
    monitor.measure(model, 1)  # said once: a warning would be an error here
    assert model.stop_training is True


def test_the_optimizer_of_the_loop_counts():
    model, optimizer = network("ones", "ones"), keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    assert SymmetryMonitor(on_locked="ignore").measure(model, 0, optimizer=optimizer)[0]["locked"] == 4
    rng = np.random.default_rng(0)
    for variable in optimizer.variables:
        if len(variable.shape) == 2:
            variable.assign(rng.random(variable.shape).astype("float32"))
    monitor = SymmetryMonitor(on_locked="raise")
    assert monitor.measure(model, 0, optimizer=optimizer)[0]["locked"] == 0
    with pytest.raises(InitializationError):
        monitor.measure(model, 1)


def test_steps_go_forward_and_another_model_starts_another_record():
    model, other = network(), network("ones")
    monitor = SymmetryMonitor()
    monitor.measure(model, 0.5)
    for step in (0.5, 0):
        with pytest.raises(ValueError, match=f"above that of the measurement before, 0.5. Received: step={step}"):
            monitor.measure(model, step)
    with pytest.raises(ValueError, match="Expected `step` to be a finite number"):
        monitor.measure(model, "1")
    monitor.measure(model, 1)
    assert [row["epoch"] for row in monitor.rows] == [0.5, 1]
    monitor.measure(other, 0)
    assert [(row["epoch"], row["verdict"]) for row in monitor.rows] == [(0, "transient")]
    monitor.reset()
    assert monitor.rows == monitor.events == []
    assert monitor.verdicts == {}
    assert len(monitor.measure(other, 0)) == 1


def test_bad_models_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match="Expected a built model. Received: model='later'"):
        SymmetryMonitor().measure(keras.Sequential([L.Dense(4), L.Dense(1)], name="later"), 0)
    with pytest.raises(ValueError, match="Expected `layers` to be one of 'one'"):
        SymmetryMonitor(layers=["two"]).measure(network(), 0)


def test_measuring_goes_on_after_fit_and_a_new_fit_starts_anew(compiled):
    monitor = SymmetryMonitor()
    monitor.measure(compiled, 7)
    compiled.fit(X, Y, epochs=2, verbose=0, callbacks=[monitor])
    assert [row["epoch"] for row in monitor.rows] == [0, 1, 2]
    with pytest.raises(ValueError, match="above that of the measurement before, 2"):
        monitor.measure(compiled, 2)
    monitor.measure(compiled, 3)
    assert [row["epoch"] for row in monitor.rows] == [0, 1, 2, 3]
    assert monitor.summary() == "one: healthy from epoch 0 to 3"


def test_between_the_epochs_of_fit_fractions_count_and_no_epoch_is_measured_twice(compiled):
    monitor = SymmetryMonitor()

    class Within(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1 and monitor.rows[-1]["epoch"] == 0:
                monitor.measure(compiled, 0.5)  # `self.model` would fetch the weights on JAX

        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                monitor.measure(compiled, 1)

    history = compiled.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[Within(), monitor]).history
    assert [row["epoch"] for row in monitor.rows] == [0, 0.5, 1, 2]
    assert len({row["rms"] for row in monitor.rows}) == 4  # on JAX too the weights of the moment
    assert history["symmetry/rms"] == [row["rms"] for row in monitor.rows[2:]]


def test_epochs_count_on_from_the_initial_epoch(compiled):
    monitor = SymmetryMonitor()
    compiled.fit(X, Y, initial_epoch=5, epochs=7, verbose=0, callbacks=[monitor])
    assert [row["epoch"] for row in monitor.rows] == [5, 6, 7]


# ----------------------------------------------------------------------------------------------------------------- cost


def clocked_fit(model, monkeypatch, *, cost, epochs, **options):
    """Train on a clock on which a measurement takes `cost` seconds and an epoch one; return the epochs measured."""
    now = [0.0]
    judge = symmetry_record.judge_model

    def spend(seconds):
        now[0] += seconds

    def slow(*arguments):
        spend(cost)
        return judge(*arguments)

    monkeypatch.setattr(symmetry_record, "judge_model", slow)
    monkeypatch.setattr(symmetry_monitor, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    clock = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: spend(1.0))
    monitor = SymmetryMonitor(**options)
    history = model.fit(X, Y, epochs=epochs, verbose=0, callbacks=[clock, monitor]).history
    return [row["epoch"] for row in monitor.rows], history, monitor


def test_a_bound_on_the_share_stretches_the_measurements(compiled, monkeypatch):
    measured, history, monitor = clocked_fit(compiled, monkeypatch, cost=1.0, epochs=14, max_share=0.25)
    assert measured == [0, 6, 9, 12, 14]  # at epoch 6, 2 of 8 seconds; at 9, 3 of 12; the end comes in any case
    rms = {row["epoch"]: row["rms"] for row in monitor.rows}
    assert history["symmetry/rms"] == [rms[max(e for e in measured if e <= epoch)] for epoch in range(1, 15)]


@pytest.mark.parametrize(
    ("cost", "options", "expected"),
    [
        (5.0, {}, [0, 1, 2, 3, 4]),
        (0.01, {"max_share": 0.1}, [0, 1, 2, 3, 4]),
        (0.01, {"max_share": 0.1, "every": 3}, [0, 3, 4]),
        (5.0, {"max_share": 0.1}, [0, 4]),
    ],
)
def test_without_a_bound_or_below_it_every_epoch_that_is_due_is_measured(
    compiled, monkeypatch, cost, options, expected
):
    assert clocked_fit(compiled, monkeypatch, cost=cost, epochs=4, **options)[0] == expected


@pytest.mark.parametrize("share", [0, -0.1, 1.1, "1"])
def test_a_share_is_above_0_and_at_most_1(share):
    with pytest.raises(ValueError, match="Expected `max_share` to be"):
        SymmetryMonitor(max_share=share)
