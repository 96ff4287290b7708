import hashlib
import json

import keras
import mlflow
import numpy as np
import pytest
import tensorflow as tf
from mlflow import MlflowClient

from keras_initkit.callbacks.mlflow_logger import MLflowLogger
from keras_initkit.callbacks.symmetry_monitor import SymmetryMonitor
from keras_initkit.tracking.errors import TrackingError
from keras_initkit.tracking.fingerprint import data_sha256

pytestmark = pytest.mark.usefixtures("sqlite_store")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")
XV = RNG.normal(size=(16, 6)).astype("float32")
YV = (XV[:, 0] > 0).astype("int32")


def build(cls=keras.Sequential, *, hidden="relu", **compile_options):
    layers = [
        keras.Input((6,)),
        keras.layers.Dense(8, hidden, kernel_initializer=keras.initializers.HeNormal(seed=1)),
        keras.layers.Dense(2, "softmax", kernel_initializer=keras.initializers.HeNormal(seed=2)),
    ]
    model = cls(layers)
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        **compile_options,
    )
    return model


def fit(model, logger, *, epochs=3, callbacks=(), **options):
    options = {"batch_size": 16, "shuffle": False, "verbose": 0, **options}
    return model.fit(X, Y, epochs=epochs, callbacks=[*callbacks, logger], **options)


def run_of(logger):
    return MlflowClient().get_run(logger.run_id)


def history(logger, key):
    return {point.step: point.value for point in MlflowClient().get_metric_history(logger.run_id, key)}


def test_a_fit_becomes_a_complete_run(monkeypatch):
    requests = []
    send = MlflowClient.log_batch

    def spy(self, run_id, **entities):
        requests.append(sorted({point.step for point in entities.get("metrics", [])}))
        return send(self, run_id, **entities)

    monkeypatch.setattr(MlflowClient, "log_batch", spy)
    logger = MLflowLogger(
        "digits",
        run_name="mine",
        tags={"team": "a"},
        target="val_loss <= 9",
        data=(X, Y),
        validation_data=(XV, YV),
    )
    model = build()
    before = {"train": model.evaluate(X, Y, verbose=0), "val": model.evaluate(XV, YV, verbose=0)}
    first_weights = [weight.numpy() for weight in model.weights]
    kept = fit(model, logger, validation_data=(XV, YV)).history

    run = run_of(logger)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "mine")
    assert run.data.tags["team"] == "a"
    assert run.data.tags["initkit.kind"] == "fit"
    expected = {
        "init/name": "he_normal",
        "init/class": "HeNormal",
        "init/seed": "1, 2",
        "model/class": "Sequential",
        "model/n_params": str(6 * 8 + 8 + 8 * 2 + 2),
        "model/loss": "sparse_categorical_crossentropy",
        "optimizer/name": "SGD",
        "optimizer/lr": "0.01",
        "optimizer/momentum": "0.9",
        "batch": "16",
        "epochs_budget": "3",
        "target": "val_loss <= 9",
        "data/sha256": data_sha256((X, Y)),
        "backend": "tensorflow",
        "version/keras": keras.__version__,
    }
    assert {key: run.data.params.get(key) for key in expected} == expected
    for section, prefix in [("train", ""), ("val", "val_")]:
        for column, name in enumerate(["loss", "accuracy"]):
            curve = history(logger, f"{section}/{name}")
            np.testing.assert_allclose(curve.pop(0), before[section][column], rtol=1e-6)
            assert curve == dict(enumerate(kept[f"{prefix}{name}"], start=1))
    assert requests[-5:] == [[0], [1], [2], [3], [0]]  # before training, one request per epoch, convergence
    assert run.data.metrics["convergence/final_loss"] == kept["loss"][-1]
    assert run.data.metrics["convergence/epochs_to_target"] == 0
    assert run.data.metrics["convergence/reached_target"] == 1
    with open(MlflowClient().download_artifacts(logger.run_id, "initializers.json")) as file:
        state = json.load(file)
    assert [row["initializers"]["kernel_initializer"]["seed"] for row in state] == [1, 2]
    found = [weight["sha256"] for row in state for weight in row["weights"]]
    header = [f"array float32 {weight.shape};".encode() for weight in first_weights]
    assert found == [
        hashlib.sha256(head + w.tobytes()).hexdigest() for head, w in zip(header, first_weights, strict=True)
    ]


@pytest.mark.parametrize("monitor_first", [True, False])
def test_the_values_of_the_symmetry_monitor_are_recorded_in_any_order(monitor_first):
    logger, monitor = MLflowLogger(), SymmetryMonitor()
    order = [monitor, logger] if monitor_first else [logger, monitor]
    build().fit(X, Y, epochs=2, verbose=0, callbacks=order)
    rows = {row["epoch"]: row["rms"] for row in monitor.rows}
    assert history(logger, "symmetry/rms") == pytest.approx(rows)
    assert set(rows) == {0, 1, 2}


def test_without_data_the_first_batch_is_epoch_0():
    logger, model = MLflowLogger(), build()
    loss, accuracy = model.evaluate(X[:16], Y[:16], verbose=0)
    fit(model, logger, epochs=1)
    np.testing.assert_allclose(history(logger, "train/loss")[0], loss, rtol=1e-6)
    np.testing.assert_allclose(history(logger, "train/accuracy")[0], accuracy, rtol=1e-6)
    assert run_of(logger).data.params["data/sha256"] == "not given"
    assert "target" in run_of(logger).data.params
    assert "convergence/reached_target" not in run_of(logger).data.metrics


def test_without_a_value_before_training_nothing_refers_to_it():
    logger = MLflowLogger(target=1e-9)
    fit(build(steps_per_execution=3), logger)
    assert set(history(logger, "train/loss")) == {1, 2, 3}
    metrics = run_of(logger).data.metrics
    assert "convergence/final_loss" in metrics
    assert "convergence/aulc" not in metrics
    assert (metrics["convergence/reached_target"], metrics["convergence/epochs_to_target_capped"]) == (0, 3)


def test_a_fit_that_goes_on_counts_from_where_it_began():
    logger = MLflowLogger(target=9.0)
    fit(build(), logger, epochs=5, initial_epoch=3)
    assert set(history(logger, "train/loss")) == {3, 4, 5}
    assert run_of(logger).data.metrics["convergence/epochs_to_target"] == 0


@keras.saving.register_keras_serializable("tests")
class Noise(keras.layers.Layer):
    """Draws in inference too, so that evaluating moves its generator."""

    def __init__(self, **options):
        super().__init__(**options)
        self.generator = keras.random.SeedGenerator(5)

    def call(self, x):
        return x + 0.1 * keras.random.normal(keras.ops.shape(x), seed=self.generator)


def test_training_is_the_same_bit_for_bit_with_and_without_the_logger():
    def trained(*callbacks):
        layers = [keras.layers.Dense(8, "relu", kernel_initializer=keras.initializers.HeNormal(seed=1)), Noise()]
        layers += [keras.layers.BatchNormalization(), keras.layers.Dropout(0.3, seed=7)]
        layers += [keras.layers.Dense(2, "softmax", kernel_initializer=keras.initializers.HeNormal(seed=2))]
        model = keras.Sequential([keras.Input((6,)), *layers])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        done = model.fit(
            *(X, Y), batch_size=16, shuffle=False, epochs=2, verbose=0, validation_data=(XV, YV), callbacks=[*callbacks]
        )
        return done.history, [variable.numpy() for variable in [*model.variables, *model.optimizer.variables]]

    plain_history, plain = trained()
    history_with, with_logger = trained(MLflowLogger(data=(X, Y), validation_data=(XV, YV)))
    assert history_with == plain_history
    for one, other in zip(plain, with_logger, strict=True):
        np.testing.assert_array_equal(one, other)


def failing(error, step, at):
    """A model whose training or validation step raises at its n-th call."""
    calls = []

    class Failing(keras.Sequential):
        def _count(self, name):
            calls.append(name)
            if calls.count(step) == at and name == step:
                raise error

        def train_step(self, data):
            self._count("train_step")
            return super().train_step(data)

        def test_step(self, data):
            self._count("test_step")
            return super().test_step(data)

    return build(Failing, run_eagerly=True)


@pytest.mark.parametrize(
    ("error", "step", "at", "status", "epochs_kept"),
    [
        (ValueError("broken"), "train_step", 5, "FAILED", {0, 1}),
        (KeyboardInterrupt(), "train_step", 1, "KILLED", set()),
        (ValueError("broken"), "test_step", 2, "FAILED", {0, 1}),
    ],
)
def test_a_step_that_raises_ends_the_run_at_once(error, step, at, status, epochs_kept):
    model, logger = failing(error, step, at), MLflowLogger()
    with pytest.raises(type(error)) as caught:
        fit(model, logger, validation_data=(XV, YV))
    assert caught.value is error
    assert run_of(logger).info.status == status
    assert set(history(logger, "train/loss")) == epochs_kept
    assert model.train_function.__qualname__ != "FitGuard._guard.<locals>.guarded"
    fit(model, keras.callbacks.Callback())  # the model trains on as if nothing had been there
    assert run_of(logger).info.status == status


class Stop(keras.callbacks.Callback):
    """Raises where no step is running."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise self.error


def test_a_run_left_open_is_closed_by_the_next_fit():
    model, logger = build(), MLflowLogger()
    with pytest.raises(ValueError, match="stop"):
        fit(model, logger, callbacks=[Stop(ValueError("stop"))])
    first = logger.run_id
    assert run_of(logger).info.status == "RUNNING"
    fit(model, logger, epochs=1)
    assert logger.run_id != first
    assert MlflowClient().get_run(first).info.status == "FAILED"
    assert run_of(logger).info.status == "FINISHED"


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("stop"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (None, "FINISHED")]
)
def test_as_a_context_manager_the_logger_closes_its_run_in_any_case(error, status):
    logger = MLflowLogger()
    if error is None:
        with logger:
            fit(build(), logger)
    else:
        with pytest.raises(type(error)), logger:
            fit(build(), logger, callbacks=[Stop(error)])
    assert run_of(logger).info.status == status
    assert {0, 1} <= set(history(logger, "train/loss"))


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras says so of all data of unknown length
def test_data_of_unknown_length_ends_without_an_error():
    def rows():
        yield from zip(X, Y, strict=True)

    signature = (tf.TensorSpec((6,), tf.float32), tf.TensorSpec((), tf.int32))
    data = tf.data.Dataset.from_generator(rows, output_signature=signature).batch(16)
    logger, model = MLflowLogger(), build()
    model.fit(data, epochs=2, verbose=0, shuffle=False, callbacks=[logger])
    assert run_of(logger).info.status == "FINISHED"
    assert set(history(logger, "train/loss")) == {0, 1, 2}
    assert run_of(logger).data.params["batch"] == "not fixed"


def test_an_active_run_is_joined_and_stays_open():
    with mlflow.start_run() as run:
        logger = MLflowLogger()
        fit(build(), logger)
        assert logger.run_id == run.info.run_id
        assert run_of(logger).info.status == "RUNNING"
        with pytest.raises(TrackingError, match="in the experiment 'digits'"):
            fit(build(), MLflowLogger("digits"))
        model = failing(ValueError("broken"), "train_step", 1)
        with pytest.raises(ValueError, match="broken"), pytest.warns(UserWarning, match="init/|model/"):
            fit(model, MLflowLogger())
        assert run_of(logger).info.status == "RUNNING"
    assert run_of(logger).info.status == "FINISHED"


def test_beside_the_callback_of_mlflow():
    with mlflow.start_run() as run:
        logger = MLflowLogger()
        fit(build(), logger, epochs=2, callbacks=[mlflow.keras.MlflowCallback(run)])
        mlflow.flush_async_logging()
    data = run_of(logger).data
    assert data.params["optimizer_name"]  # theirs
    assert data.params["optimizer/name"] == "SGD"  # ours
    assert {"loss", "train/loss", "convergence/final_loss"} <= set(data.metrics)


def test_beside_autologging():
    mlflow.keras.autolog(log_models=False, log_datasets=False)
    try:
        logger = MLflowLogger()
        fit(build(), logger, epochs=2)
    finally:
        mlflow.keras.autolog(disable=True)
    run = run_of(logger)
    assert run.info.status == "FINISHED"
    assert run.data.params["batch_size"] == "16"
    assert {"loss", "train/loss", "convergence/final_loss"} <= set(run.data.metrics)
    assert len(MlflowClient().search_runs(["0"])) == 1


def test_a_target_that_the_model_does_not_compute_is_an_error_after_the_first_epoch():
    logger = MLflowLogger(target="val_acuracy >= 0.9")
    with pytest.raises(ValueError, match=r"`target` to be one of 'accuracy', 'loss', .* Did you mean 'val_accuracy'"):
        fit(build(), logger)
    assert run_of(logger).info.status == "FAILED"
    assert set(history(logger, "train/loss")) == {0, 1}


def test_time_to_target_waits_for_the_first_validation():
    logger = MLflowLogger(target="val_accuracy >= 0")
    fit(build(), logger, epochs=4, validation_data=(XV, YV), validation_freq=2)
    assert run_of(logger).data.metrics["convergence/epochs_to_target"] == 2


def test_a_store_that_fails_does_not_stop_training(sqlite_store):
    class Break(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                path = sqlite_store.removeprefix("sqlite:///")
                with open(path, "r+b") as file:
                    file.write(b"\0" * 4096)

    with pytest.warns(UserWarning, match="Nothing more is recorded for this run; training goes on"):
        done = fit(build(), MLflowLogger(), callbacks=[Break()])
    assert len(done.history["loss"]) == 3
    with pytest.raises(TrackingError, match="Expected a database that can be written"):
        fit(build(), MLflowLogger())


def test_callbacks_stay_asynchronous():
    def asynchronous(*callbacks):
        return keras.callbacks.CallbackList([*callbacks], model=build())._async_train

    assert asynchronous(MLflowLogger()) == asynchronous()


def test_only_the_first_batch_counts_even_if_it_arrives_late():
    logger = MLflowLogger()
    logger.set_model(build())
    logger.set_params({"epochs": 1})
    logger.on_train_begin()
    logger.on_epoch_begin(0)
    for batch, loss in [(1, 2.0), (0, 1.0), (2, 3.0)]:
        logger.on_train_batch_end(batch, {"loss": loss})
    logger.on_epoch_end(0, {"loss": 0.5})
    logger.on_epoch_begin(1)
    logger.on_train_batch_end(0, {"loss": 4.0})
    logger.on_epoch_end(1, {"loss": 0.4})
    logger.on_train_end({"loss": 0.4})
    assert history(logger, "train/loss") == {0: 1.0, 1: 0.5, 2: 0.4}


def test_logs_may_be_missing():
    logger = MLflowLogger()
    logger.set_model(build())
    logger.set_params({"epochs": 1})
    logger.on_train_begin()
    logger.on_epoch_begin(0)
    logger.on_train_batch_end(0)
    logger.on_epoch_end(0)
    logger.on_train_end()
    assert run_of(logger).info.status == "FINISHED"
    assert run_of(logger).data.metrics == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "ignore"}, r"`on_error` to be one of 'warn', 'raise'. Received: on_error='ignore'"),
        ({"target": "accuracy"}, r"`target` to be a number .* Received: target='accuracy'"),
        ({"data": X}, r"`data` to be `\(x, y\)` or .* Received: data=array of shape \(48, 6\)"),
        ({"validation_data": (X,)}, r"`validation_data` to be `\(x, y\)`"),
    ],
)
def test_bad_arguments_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        MLflowLogger(**options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tags": "x"}, "Expected `tags` to be a dict. Received: tags='x'"),
        ({"experiment": 3}, "Expected `experiment` to be a name. Received: experiment=3"),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MLflowLogger(**arguments)
