"""SymmetryMonitor: what it records, where its numbers appear, and that training does not notice it."""

import csv
import math

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_initkit import InitializationError, SymmetryMonitor
from keras_initkit.callbacks import symmetry_monitor
from keras_initkit.inspection.worst import STATISTICS
from keras_initkit.symmetry import cosine_matrix, unit_similarity
from keras_initkit.units import weights as unit_weights
from keras_initkit.units.arrays import to_numpy

L = keras.layers
X = np.random.default_rng(0).standard_normal((32, 5)).astype("float32")
Y = (X[:, :1] * X[:, 1:2]).astype("float32")
CONSTANT = keras.initializers.Constant(0.3)


def network(initializer="he_normal", *, output="glorot_uniform", optimizer="sgd", between=(), **compiling):
    keras.utils.set_random_seed(0)
    layers = [L.Dense(4, "tanh", kernel_initializer=initializer, name="one"), *between]
    layers += [L.Dense(3, "relu", kernel_initializer=initializer, name="two")]
    layers += [L.Dense(1, kernel_initializer=output, name="out")]
    model = keras.Sequential([keras.Input((5,)), *layers], name="net")
    model.compile(optimizer, "mse", **compiling)
    return model


@pytest.fixture(scope="module")
def shared_fit():
    """A model that needs no tracing, for tests in which the training itself is of no interest."""
    model = network(run_eagerly=True)
    start = model.get_weights()

    def fit(*callbacks, weights=start, x=X, y=Y, batch_size=32, epochs=1, **kwargs):
        model.set_weights(weights)
        sizes = {"batch_size": batch_size} if y is not None else {}
        return model.fit(x, y, epochs=epochs, verbose=0, shuffle=False, callbacks=callbacks, **sizes, **kwargs).history

    fit.start = start
    fit.locked = [np.full_like(w, 0.3) if w.ndim == 2 else w for w in start]
    fit.model = model
    return fit


@pytest.fixture
def eager(shared_fit):
    shared_fit.model.set_weights(shared_fit.start)
    return shared_fit


def by_epoch(monitor, key="verdict"):
    return {(row["epoch"], row["layer"]): row[key] for row in monitor.rows}


# ----------------------------------------------------------------------------------------------------- what it records


def test_rows_hold_every_statistic_of_every_layer_from_epoch_0_on(eager):
    monitor = SymmetryMonitor()
    eager(monitor, epochs=2)
    assert [(row["epoch"], row["layer"]) for row in monitor.rows] == [
        (epoch, layer) for epoch in range(3) for layer in ("one", "two")
    ]
    assert all(
        set(row) == {"epoch", "layer", "units", "inputs", *STATISTICS, "null_z", "verdict"} for row in monitor.rows
    )
    first, last = monitor.rows[0], monitor.rows[-1]
    before = unit_similarity(eager.start[0], activation="tanh")
    after = unit_similarity(to_numpy(eager.model.get_layer("two").kernel), activation="relu")
    for row, expected in ((first, before), (last, after)):
        for name in ("mean", "rms", "mean_abs", "max_abs", "participation", "distinct", "units", "inputs", "null_z"):
            assert row[name] == getattr(expected, name)
    assert monitor.verdicts == {"one": "healthy", "two": "healthy"}


def test_the_digits_case_constants_are_locked_from_epoch_0_to_the_end_and_random_weights_are_not():
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32")

    def build(initializer):
        hidden = [L.Dense(24, "relu", kernel_initializer=initializer, name=f"hidden_{n}") for n in (1, 2)]
        return keras.Sequential([keras.Input((64,)), *hidden, L.Dense(10, kernel_initializer=initializer)])

    keras.utils.set_random_seed(0)
    model = build("zeros")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    state = [to_numpy(variable) for variable in model.optimizer.variables]
    accuracy, verdicts, distinct = {}, {}, {}
    for name in ("zeros", "ones", "constant", "he_normal", "orthogonal"):
        model.set_weights(build(keras.initializers.Constant(0.5) if name == "constant" else name).get_weights())
        for variable, value in zip(model.optimizer.variables, state, strict=True):
            variable.assign(value)
        monitor = SymmetryMonitor(on_locked="ignore")
        history = model.fit(images, labels, epochs=6, verbose=0, callbacks=[monitor]).history
        verdicts[name] = {row["verdict"] for row in monitor.rows}
        kernel = to_numpy(model.get_layer("hidden_2").kernel)
        distinct[name] = len(np.unique(kernel.round(5), axis=1).T)
        accuracy[name] = history["accuracy"][-1]
        assert history["symmetry/distinct"] == [24.0 if name in ("he_normal", "orthogonal") else 1.0] * 6
    assert verdicts == {
        "zeros": {"dead"},
        "ones": {"locked"},
        "constant": {"locked"},
        "he_normal": {"healthy"},
        "orthogonal": {"healthy"},
    }
    assert distinct == {"zeros": 1, "ones": 1, "constant": 1, "he_normal": 24, "orthogonal": 24}
    assert min(accuracy["he_normal"], accuracy["orthogonal"]) > 0.95
    assert max(accuracy["zeros"], accuracy["ones"], accuracy["constant"]) < 0.6


def test_a_transient_layer_is_seen_to_separate(eager):
    weights = [w.copy() for w in eager.start]
    weights[2] = eager.locked[2]
    weights[4] = np.array([[0.1], [0.2], [0.3]], "float32")
    monitor = SymmetryMonitor(on_locked="ignore")
    eager(monitor, weights=weights)
    assert by_epoch(monitor) == {
        (0, "one"): "healthy", (0, "two"): "transient", (1, "one"): "healthy", (1, "two"): "healthy",
    }  # fmt: skip
    assert [count for (_, layer), count in by_epoch(monitor, "distinct").items() if layer == "two"] == [1, 3]


def test_every_measures_epoch_0_every_so_many_epochs_and_the_end(eager):
    for every, epochs, measured in ((2, 5, [0, 2, 4, 5]), (2, 4, [0, 2, 4]), (10, 3, [0, 3])):
        monitor = SymmetryMonitor(every=every, layers=["one"])
        history = eager(monitor, epochs=epochs)
        assert [row["epoch"] for row in monitor.rows] == measured
        assert len(history["loss"]) == epochs
        rms = {row["epoch"]: row["rms"] for row in monitor.rows}
        latest = [max(done for done in measured if done <= epoch) for epoch in range(1, epochs + 1)]
        assert history["symmetry/one/rms"] == [rms[done] for done in latest]


def test_the_last_epoch_is_measured_when_training_stops_early(eager):
    monitor = SymmetryMonitor(every=10)
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, _: setattr(eager.model, "stop_training", epoch == 2)
    )
    eager(monitor, stop, epochs=9)
    assert [row["epoch"] for row in monitor.rows if row["layer"] == "one"] == [0, 3]


def test_layers_and_statistics_choose_what_is_watched_and_logged(eager):
    monitor = SymmetryMonitor(layers=["two"], statistics=["rms", "locked"])
    history = eager(monitor)
    assert {row["layer"] for row in monitor.rows} == {"two"}
    assert set(STATISTICS) < set(monitor.rows[0])
    assert set(history) == {"loss", "symmetry/rms", "symmetry/locked", "symmetry/two/rms", "symmetry/two/locked"}


def test_every_array_is_read_once_per_measurement(eager, monkeypatch):
    read = []
    monkeypatch.setattr(unit_weights, "to_numpy", lambda variable: read.append(variable.path) or to_numpy(variable))
    eager(SymmetryMonitor(every=2), epochs=5)
    once = sorted(["one/kernel", "one/bias", "two/kernel", "two/bias", "out/kernel", "out/bias"])
    assert sorted(path.removeprefix("net/") for path in read) == sorted(once * 4)  # epochs 0, 2, 4 and 5


def test_a_second_fit_starts_a_new_record(eager):
    monitor = SymmetryMonitor(on_locked="ignore")
    eager(monitor, epochs=3, weights=eager.locked)
    eager(monitor, epochs=1)
    assert sorted({row["epoch"] for row in monitor.rows}) == [0, 1]
    assert set(monitor.verdicts.values()) == {"healthy"}
    assert monitor.pictures().epochs == [0, 1]


def test_rows_are_kept_when_fit_raises(eager):
    def fail(epoch, _):
        if epoch == 1:
            raise RuntimeError("in the middle")

    monitor = SymmetryMonitor()
    with pytest.raises(RuntimeError, match="in the middle"):
        eager(monitor, keras.callbacks.LambdaCallback(on_epoch_end=fail), epochs=5)
    assert [row["epoch"] for row in monitor.rows if row["layer"] == "one"] == [0, 1, 2]


def test_the_hooks_work_without_logs(eager):
    monitor = SymmetryMonitor(every=2)
    monitor.set_model(eager.model)
    monitor.on_train_begin()
    monitor.on_epoch_end(0)
    monitor.on_epoch_end(1, None)
    monitor.on_epoch_end(2)
    monitor.on_train_end(None)
    assert [row["epoch"] for row in monitor.rows if row["layer"] == "one"] == [0, 2, 3]


# --------------------------------------------------------------------------------------------- where the numbers appear


def test_numbers_are_in_history_in_the_csv_file_and_steer_early_stopping(eager, tmp_path):
    monitor = SymmetryMonitor()
    stop = keras.callbacks.EarlyStopping("symmetry/two/locked", patience=1, mode="min")
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = eager(monitor, log, stop, epochs=9)
    assert len(history["loss"]) == 2  # the second value is no better than the first
    expected = {f"symmetry/{name}" for name in STATISTICS}
    expected |= {f"symmetry/{layer}/{name}" for layer in ("one", "two") for name in STATISTICS}
    assert set(history) == expected | {"loss"}
    lines = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    for row in monitor.rows[2:]:
        for name in STATISTICS:
            key = f"symmetry/{row['layer']}/{name}"
            value = history[key][row["epoch"] - 1]
            assert value == row[name]
            assert type(value) is float
            assert float(lines[row["epoch"] - 1][key]) == row[name]
    assert history["symmetry/distinct"] == [4.0, 4.0]  # 4 of 4 is no better than 3 of 3; the first layer is named


def test_the_logs_give_the_worst_layer(eager):
    weights = [w.copy() for w in eager.start]
    weights[2], weights[4] = eager.locked[2], eager.locked[4]
    logs = {"loss": 1.0}
    monitor = SymmetryMonitor(on_locked="ignore")
    monitor.set_model(eager.model)
    eager.model.set_weights(weights)
    monitor.on_train_begin(logs)
    assert (logs["symmetry/distinct"], logs["symmetry/locked"], logs["symmetry/rms"]) == (1, 3, 1)
    assert logs["symmetry/one/distinct"] == 4
    assert logs["loss"] == 1.0


def test_log_false_leaves_the_logs_alone(eager):
    monitor = SymmetryMonitor(log=False)
    assert set(eager(monitor)) == {"loss"}
    assert len(monitor.rows) == 4


def test_weights_that_are_not_finite_are_exploding_and_never_reach_the_logs(eager):
    weights = [w.copy() for w in eager.start]
    weights[0][1, 2] = np.nan
    monitor = SymmetryMonitor(on_locked="raise")
    history = eager(monitor, weights=weights, epochs=2)
    assert by_epoch(monitor)[0, "one"] == "exploding"
    assert by_epoch(monitor)[0, "two"] == "healthy"
    assert set(monitor.verdicts.values()) == {"exploding"}
    assert all(math.isnan(row[name]) for row in monitor.rows if row["epoch"] for name in (*STATISTICS, "null_z"))
    assert not [key for key in history if key.startswith("symmetry")]
    logs = {}
    monitor.set_model(eager.model)
    eager.model.set_weights(weights)
    monitor.on_train_begin(logs)
    assert logs
    assert all(math.isfinite(value) for value in logs.values())
    assert "symmetry/one/rms" not in logs
    assert "symmetry/two/rms" in logs
    with pytest.raises(ValueError, match="Expected `layer` to be one of 'two'"):
        monitor.heatmap("one", 0)


# -------------------------------------------------------------------------------------------- training does not notice


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("between", [(), (0.3,)], ids=["plain", "dropout"])
def test_weights_after_training_are_bit_equal_with_and_without_the_monitor(optimizer, between):
    model = network(optimizer=optimizer, between=[L.Dropout(rate, seed=7) for rate in between])
    start = [to_numpy(variable) for variable in model.variables]
    model.optimizer.build(model.trainable_variables)
    state = [to_numpy(variable) for variable in model.optimizer.variables]
    ends = []
    model.fit(X, Y, batch_size=8, verbose=0)  # a model's first `fit` looks at the data once more, and shuffles for it
    for callbacks in ([], [SymmetryMonitor()], [SymmetryMonitor(layers=["one"])], []):
        for variable, value in zip([*model.variables, *model.optimizer.variables], [*start, *state], strict=True):
            variable.assign(value)
        keras.utils.set_random_seed(5)
        model.fit(X, Y, batch_size=8, epochs=3, verbose=0, callbacks=callbacks)
        ends.append([to_numpy(v) for v in [*model.variables, *model.optimizer.variables]] + [np.random.random(3)])  # noqa: NPY002
    for end in ends[1:]:
        for one, other in zip(ends[0], end, strict=True):
            np.testing.assert_array_equal(one, other, strict=True)
    assert any((one != other).any() for one, other in zip(ends[0], start, strict=False))


class Data(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return X[8 * index : 8 * index + 8], Y[8 * index : 8 * index + 8]


def batches():
    while True:
        yield X[:8], Y[:8]


def tensorflow_data():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda: Data(), {}),
        (batches, {"steps_per_epoch": 4}),
        (tensorflow_data, {"validation_data": (X, Y)}),
    ],
    ids=["PyDataset", "generator", "tf.data with validation"],
)
def test_it_works_with_every_kind_of_data(eager, make, options):
    monitor = SymmetryMonitor()
    history = eager(monitor, x=make(), y=None, epochs=2, **options)
    assert len(history["symmetry/rms"]) == 2
    assert ("val_loss" in history) == (options.get("validation_data") is not None)
    assert not [key for key in history if key.startswith("val_symmetry")]
    assert len(monitor.rows) == 6


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_it_works_under_mixed_precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = network(optimizer="adam", run_eagerly=True)
    finally:
        keras.config.set_dtype_policy(before)
    monitor = SymmetryMonitor()
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[monitor])
    assert set(by_epoch(monitor).values()) == {"healthy"}
    assert all(math.isfinite(row["rms"]) for row in monitor.rows)


@pytest.mark.parametrize("compiling", [{"steps_per_execution": 2}, {"jit_compile": True}])
def test_it_works_with_compiled_steps(compiling):
    monitor = SymmetryMonitor()
    network(**compiling).fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[monitor])
    assert len(monitor.rows) == 6


def test_it_works_with_a_model_that_was_built_by_a_call():
    model = keras.Sequential([L.Dense(4, "relu", kernel_initializer=CONSTANT), L.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse", run_eagerly=True)
    model(X[:1])
    monitor = SymmetryMonitor(on_locked="ignore")
    model.fit(X, Y, verbose=0, callbacks=[monitor])
    assert set(by_epoch(monitor).values()) == {"locked"}


def test_units_that_no_step_moves_are_found_by_watching():
    keras.utils.set_random_seed(0)
    block = [L.Dense(4, kernel_initializer=CONSTANT, name="one"), L.LayerNormalization(), L.ReLU()]
    block += [L.Dense(3, kernel_initializer=CONSTANT, name="two"), L.PReLU()]
    model = keras.Sequential([keras.Input((5,)), *block, L.Dense(1)])  # nothing but the last bias moves
    model.compile("sgd", "mse", run_eagerly=True)
    monitor = SymmetryMonitor()
    with pytest.warns(UserWarning, match="cannot learn") as caught:
        model.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[monitor])
    assert by_epoch(monitor) == {
        (0, "one"): "locked", (0, "two"): "transient", (1, "one"): "locked", (1, "two"): "dead",
        (2, "one"): "locked", (2, "two"): "dead",
    }  # fmt: skip
    assert by_epoch(monitor, "dead")[1, "one"] == 4
    assert by_epoch(monitor, "dead")[1, "two"] == 3
    assert ["two: All 3 units did not move in training" in str(w.message) for w in caught] == [False, True]


@pytest.mark.parametrize("bias", [True, False])
def test_units_are_not_dead_because_the_learning_rate_is_still_zero(bias):
    keras.utils.set_random_seed(0)
    layers = [L.Dense(4, "tanh", kernel_initializer=CONSTANT, use_bias=bias, name="one"), L.Dense(1, use_bias=bias)]
    model = keras.Sequential([keras.Input((5,)), *layers])
    model.compile("sgd", "mse", run_eagerly=True)
    monitor = SymmetryMonitor(on_locked="raise")
    warm_up = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 * epoch)
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[monitor, warm_up])
    assert list(by_epoch(monitor).values())[:2] == ["transient", "transient"]
    assert by_epoch(monitor, "distinct")[2, "one"] == 4


class Subclassed(keras.Model):
    def __init__(self, hidden=CONSTANT, outputs=1, output="glorot_uniform"):
        super().__init__()
        self.one = L.Dense(4, "tanh", kernel_initializer=hidden, name="one")
        self.two = L.Dense(3, "tanh", kernel_initializer=hidden, name="two")
        self.out = L.Dense(outputs, kernel_initializer=output, name="out")

    def call(self, inputs):
        return self.out(self.two(self.one(inputs)))


class Closed(Subclassed):
    """A model whose `call` cannot be followed without data."""

    def call(self, inputs):
        if isinstance(inputs, keras.KerasTensor):
            raise TypeError("data only")
        return super().call(inputs)


def test_in_a_subclassed_model_locks_are_found_before_training():
    keras.utils.set_random_seed(0)
    model = Subclassed(output="ones")
    model.compile("sgd", "mse", run_eagerly=True)
    model(X[:1])
    monitor = SymmetryMonitor()
    with pytest.warns(UserWarning, match="measured before training:\n  one: All 4 units are copies"):
        model.fit(X, Y, verbose=0, callbacks=[monitor])
    assert set(by_epoch(monitor).values()) == {"locked"}


def test_in_a_model_that_cannot_be_opened_locks_are_found_by_watching():
    keras.utils.set_random_seed(0)
    model = Closed()
    model.compile("sgd", "mse", run_eagerly=True)
    model(X[:1])
    monitor = SymmetryMonitor()
    with pytest.warns(UserWarning, match="measured after epoch 1:\n  one: All 4 units are copies"):
        model.fit(X, Y, verbose=0, callbacks=[monitor])
    verdicts = by_epoch(monitor)
    assert (verdicts[0, "one"], verdicts[1, "one"]) == ("transient", "locked")
    assert verdicts[0, "two"] == "transient"
    assert verdicts[1, "two"] in ("plateau", "healthy")  # separated, by one step
    assert [(event.layer, event.what) for event in monitor.events] == [("one", "locked"), ("two", "separated")]


def test_classes_that_do_not_occur_make_no_locked_layer_of_a_subclassed_model():
    keras.utils.set_random_seed(0)
    model = Closed("glorot_uniform", 5, "zeros")
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
    model(X[:1])
    classes = (X[:, 0] > 0).astype("int32")
    model.fit(X, classes, verbose=0, callbacks=[SymmetryMonitor(on_locked="raise")])
    named = SymmetryMonitor(layers=["out"], on_locked="ignore")
    model.fit(X, classes, epochs=2, verbose=0, callbacks=[named])
    assert named.verdicts == {"out": "locked"}  # the same three classes never occur


# ---------------------------------------------------------------------------------------------------- what it says


def test_a_locked_model_is_reported_once_with_layers_and_remedy(eager):
    monitor = SymmetryMonitor()
    with pytest.warns(UserWarning, match="cannot learn") as caught:
        eager(monitor, weights=eager.locked, epochs=3)
    [warning] = caught
    assert str(warning.message).startswith("2 hidden layers cannot learn, measured before training:\n")
    assert "one: All 4 units are copies (one group of 4)" in str(warning.message)
    assert "two: All 3 units are copies (one group of 3)" in str(warning.message)
    assert 'kernel_initializer="he_normal"' in str(warning.message)


def test_raise_ends_training_before_the_first_step_with_the_record_kept(eager):
    monitor = SymmetryMonitor(on_locked="raise")
    with pytest.raises(InitializationError, match="2 hidden layers cannot learn, measured"):
        eager(monitor, weights=eager.locked)
    assert len(monitor.rows) == 2
    for before, after in zip(eager.locked, eager.model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_stop_warns_and_ends_training_after_the_first_batch(eager):
    monitor = SymmetryMonitor(on_locked="stop")
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, **_: steps.append(batch))
    with pytest.warns(UserWarning, match="cannot learn"):
        history = eager(monitor, count, weights=eager.locked, batch_size=8, epochs=5)
    assert steps == [0]
    assert len(history["loss"]) == 1


def test_ignore_says_nothing(eager):
    eager(SymmetryMonitor(on_locked="ignore"), weights=eager.locked)  # a warning would be an error here


def test_dead_layers_are_reported_like_locked_ones(eager):
    with pytest.raises(InitializationError, match="two: All 3 units cannot get a gradient: the incoming"):
        eager(SymmetryMonitor(on_locked="raise"), weights=[np.zeros_like(w) for w in eager.start])


def test_healthy_and_transient_models_are_not_reported(eager):
    weights = [w.copy() for w in eager.start]
    weights[0][:] = 0.3  # equal incoming, different outgoing weights
    monitor = SymmetryMonitor(on_locked="raise")
    eager(monitor, weights=weights)
    assert by_epoch(monitor)[0, "one"] == "transient"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every": 0}, "Expected `every` to be an integer of at least 1. Received: every=0"),
        ({"layers": []}, r"Expected `layers` to have at least one name. Received: layers=\[\]."),
        ({"every": 1.5}, "Expected `every` to be an integer"),
        ({"statistics": ["rmss"]}, "Expected `statistics` to be one of 'mean', 'rms'.*Did you mean 'rms'?"),
        (
            {"statistics": "rms"},
            r"Expected `statistics` to be a list of names. Received: statistics='rms'. Use \['rms'\].",
        ),
        ({"layers": "one"}, r"Expected `layers` to be a list of names. Received: layers='one'. Use \['one'\]."),
        ({"on_locked": "warning"}, "Expected `on_locked` to be one of 'warn', 'raise', 'stop', 'ignore'.*'warn'?"),
    ],
)
def test_bad_arguments_are_refused_with_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        SymmetryMonitor(**arguments)


def test_an_unknown_layer_is_refused_before_training(eager):
    with pytest.raises(ValueError, match="Expected `layers` to be one of 'one', 'two'. Received: layers='tow'.*'two'?"):
        eager(SymmetryMonitor(layers=["tow"]))
    with pytest.raises(ValueError, match="Expected `layers` to be one of 'one', 'two'. Received: layers='out'"):
        eager(SymmetryMonitor(layers=["out"]))


def test_a_model_that_is_not_built_is_refused_with_the_remedy():
    monitor = SymmetryMonitor()
    for model in (Subclassed(), keras.Sequential([L.Dense(4), L.Dense(1)], name="later")):
        monitor.set_model(model)
        with pytest.raises(ValueError, match=f"a built model. Received: model='{model.name}', .*call it on one batch"):
            monitor.on_train_begin()


def test_a_model_without_hidden_layers_is_refused_and_nothing_is_called_locked():
    model = keras.Sequential([keras.Input((5,)), L.Dense(2, kernel_initializer="zeros")], name="regression")
    model.compile("sgd", "mse", run_eagerly=True)
    for layers in (None, ["dense"]):
        with pytest.raises(
            ValueError, match="hidden layers whose units are known. Received: model='regression' with none"
        ):
            model.fit(X, X[:, :2], verbose=0, callbacks=[SymmetryMonitor(layers=layers)])


# ------------------------------------------------------------------------------------------------ tables and figures


def test_the_table_has_the_rows(eager):
    monitor = SymmetryMonitor()
    assert monitor.to_dataframe().empty
    eager(monitor)
    table = monitor.to_dataframe()
    assert table.to_dict("records") == monitor.rows
    assert list(table["layer"]) == ["one", "two"] * 2


def test_the_figure_shows_the_share_of_distinct_units_and_the_rms_cosine(eager):
    monitor = SymmetryMonitor()
    with pytest.raises(ValueError, match="Expected a monitor that has measured something. Received: no rows"):
        monitor.plot()
    eager(monitor, epochs=2)
    figure = monitor.plot()
    left, right = figure.axes
    for index, layer in enumerate(("one", "two")):
        mine = [row for row in monitor.rows if row["layer"] == layer]
        share, rms, chance = left.lines[index], right.lines[2 * index], right.lines[2 * index + 1]
        np.testing.assert_array_equal(share.get_xdata(), [0, 1, 2])
        np.testing.assert_array_equal(share.get_ydata(), [row["distinct"] / row["units"] for row in mine])
        np.testing.assert_array_equal(rms.get_ydata(), [row["rms"] for row in mine])
        np.testing.assert_allclose(chance.get_ydata(), mine[0]["inputs"] ** -0.5)
        assert share.get_color() == rms.get_color() == chance.get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one (healthy)", "two (healthy)"]
    assert left.get_xlabel() == right.get_xlabel() == "epoch"


def test_the_heat_map_shows_the_cosines_before_training_and_at_the_end(eager):
    monitor = SymmetryMonitor()
    with pytest.raises(ValueError, match="epochs kept: none, nothing was measured yet. Received: epoch=0"):
        monitor.heatmap("one", 0)
    eager(monitor, epochs=3)
    for epoch, kernel in ((0, eager.start[0]), (3, to_numpy(eager.model.get_layer("one").kernel))):
        figure = monitor.heatmap("one", epoch)
        axes = figure.axes[0]
        np.testing.assert_allclose(axes.images[0].get_array(), cosine_matrix(kernel))
        assert axes.images[0].get_clim() == (-1, 1)
        assert axes.get_title() == f"one, {'before training' if epoch == 0 else 'after epoch 3'}"
    with pytest.raises(ValueError, match="epochs kept: 0 and 3. Received: epoch=1"):
        monitor.heatmap("one", 1)
    with pytest.raises(ValueError, match="Expected `layer` to be one of 'one', 'two'"):
        monitor.heatmap("out", 0)


def test_the_heat_map_is_of_the_latest_epoch_by_class_unless_asked_otherwise(eager):
    weights = [w.copy() for w in eager.start]
    weights[0][:, 3] = weights[0][:, 0]
    monitor = SymmetryMonitor()
    eager.model.set_weights(weights)
    monitor.measure(eager.model, 0)
    monitor.measure(eager.model, 8)
    axes = monitor.heatmap("one").axes[0]
    assert axes.get_title() == "one, after step 8\n2 of 4 units are copies, in 1 class"
    np.testing.assert_allclose(axes.images[0].get_array(), cosine_matrix(weights[0][:, [0, 3, 1, 2]]))
    by_index = monitor.heatmap("one", 0, order="index").axes[0]
    np.testing.assert_allclose(by_index.images[0].get_array(), cosine_matrix(weights[0]))
    assert by_index.get_title() == "one, before training"
    with pytest.raises(ValueError, match="Expected `order` to be one of 'class', 'index'"):
        monitor.heatmap("one", order="units")


def test_the_timeline_is_the_other_figure(eager):
    monitor = SymmetryMonitor(on_locked="ignore")
    eager(monitor, weights=eager.locked)
    figure = monitor.plot("timeline")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["locked"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["one", "two"]
    with pytest.raises(ValueError, match="Expected `kind` to be one of 'statistics', 'timeline'"):
        monitor.plot("lines")


def test_pictures_of_wide_layers_are_of_the_first_256_units():
    monitor = SymmetryMonitor()
    model = keras.Sequential([keras.Input((5,)), L.Dense(300, "tanh", name="wide"), L.Dense(1)])
    monitor.set_model(model)
    monitor.on_train_begin()
    picture = monitor.pictures().cosines("wide", 0)
    np.testing.assert_array_equal(picture, cosine_matrix(to_numpy(model.layers[0].kernel)[:, :256]))
    assert monitor.heatmap("wide").axes[0].get_title() == "wide, before training\nfirst 256 of 300 units"
    kept = monitor.pictures()._kept[0]["wide"].kernel
    assert kept.base is None or kept.base.size == kept.size  # no hidden hold on the whole kernel


def test_the_monitor_is_the_public_one():
    assert symmetry_monitor.SymmetryMonitor is SymmetryMonitor
