"""compare(): pairing, exactness, what is recorded, and what is refused."""

import random

import keras
import numpy as np
import pytest

import keras_initkit as ik
from keras_initkit.study.record import worst_verdict
from tests.study.problem import build_model, digits

X, Y = digits()


def study(**changes):
    arguments = {
        "validation_data": (X[150:], Y[150:]),
        "initializers": ["zeros", "he_normal"],
        "seeds": 2,
        "epochs": 2,
        "verbose": 0,
    }
    return ik.compare(build_model, X[:150], Y[:150], **(arguments | changes))


@pytest.fixture(scope="module")
def results():
    return study(epochs=4, initializers=["zeros", "he_normal", keras.initializers.Constant(0.5)], seeds=3)


def test_curves_start_with_epoch_0(results):
    assert set(results.curves) == {"loss", "accuracy", "val_loss", "val_accuracy", "grad/norm"}
    for name in results.initializers:
        assert results.curves["loss"][name].shape == (3, 5)
        assert np.isfinite(results.curves["val_accuracy"][name]).all()
    np.testing.assert_allclose(results.curves["loss"]["zeros"][:, 0], np.log(3), rtol=1e-5)


def test_constants_are_locked_from_epoch_0_to_the_end_and_random_weights_are_not(results):
    for record in results.records:
        for row in record.symmetry:
            assert row["locked"] == (0 if record.initializer == "he_normal" else row["units"])
            assert row["distinct"] == (row["units"] if record.initializer == "he_normal" else 1)
    verdicts = dict(zip(results.replicas["initializer"], results.replicas["verdict"], strict=True))
    assert verdicts["zeros"] == "locked, dead"
    assert verdicts["he_normal"] == "healthy"
    # 0.5 explodes in the first steps; locked it is from the start, and what the explosion leaves does not move.
    assert verdicts["Constant(value=0.5)"] in ("locked", "locked, dead")
    assert {worst_verdict(r.symmetry_at(0)) for r in results.records[6:]} == {"locked"}


def test_the_table_ranks_what_learns_first(results):
    table = results.table()
    assert table["initializer"].iloc[0] == "he_normal"
    assert table["learns"].tolist()[0] in ("yes", "some seeds")
    assert set(table["learns"][1:]) <= {"no", "too slowly"}
    assert table["epochs_to_target"].is_monotonic_increasing
    assert (table["replicas"] == 3).all()
    assert results.summary().startswith("Target: loss <= ")
    assert "from the lowest median loss before training" in results.summary()


def test_replicas_start_from_the_weights_that_build_model_gives_for_the_seed():
    seen = {}

    class Peek(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen[len(seen)] = self.model.get_weights()

    study(initializers=["he_normal"], seeds=[5, 11], callbacks=[Peek()])
    for index, seed in enumerate((5, 11)):
        keras.utils.set_random_seed(seed)
        for ours, theirs in zip(seen[index], build_model("he_normal").get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_replica_does_not_depend_on_the_ones_before_it():
    """The traced function, the optimizer and the random states are those of a fresh model."""

    def build(kernel_initializer):
        return build_model(kernel_initializer, dropout=0.3, optimizer="adam")

    def curve(seeds):
        found = ik.compare(build, X, Y, initializers=["he_normal"], seeds=seeds, epochs=3, verbose=0)
        return found.curves["loss"]["he_normal"][-1]

    np.testing.assert_allclose(curve([1, 2, 3]), curve([3]), rtol=1e-5)


class Sampling(keras.layers.Layer):
    """Adds noise at inference too, from a generator of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.generator = keras.random.SeedGenerator()

    def call(self, inputs):
        return inputs + keras.random.normal(keras.ops.shape(inputs), seed=self.generator)


@pytest.mark.parametrize("engine", ["auto", "sequential"])
def test_random_states_that_a_call_advances_are_those_of_the_seed(engine):
    def build(kernel_initializer):
        hidden = keras.layers.Dense(8, "relu", kernel_initializer=kernel_initializer)
        model = keras.Sequential([keras.Input((64,)), hidden, Sampling(), keras.layers.Dense(3, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    arguments = {"initializers": ["he_normal"], "epochs": 1, "verbose": 0, "engine": engine}
    curves = [ik.compare(build, X, Y, seeds=s, **arguments).curves["loss"]["he_normal"][-1] for s in ([2], [5, 2])]
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-5)
    keras.utils.set_random_seed(2)
    before = build("he_normal").evaluate(X, Y, batch_size=256, verbose=0)
    assert curves[0][0] == pytest.approx(before, rel=1e-5)


def random_features(kernel_initializer):
    """Draws a constant while the model is built, which is no variable."""
    matrix = np.random.normal(size=(64, 16)).astype("float32")  # noqa: NPY002
    features = keras.layers.Lambda(lambda x: keras.ops.cos(keras.ops.matmul(x, matrix)), output_shape=(16,))
    hidden = keras.layers.Dense(8, "relu", kernel_initializer=kernel_initializer)
    model = keras.Sequential([keras.Input((64,)), features, hidden, keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def random_settings(kernel_initializer):
    """Draws a dropout rate and a learning rate."""
    model = build_model(kernel_initializer, dropout=random.uniform(0.1, 0.6))
    model.compile(keras.optimizers.SGD(random.uniform(0.01, 0.3)), "sparse_categorical_crossentropy")
    return model


class Weighted(keras.Sequential):
    """Has a training loss of its own, with a factor that Keras does not know."""

    def compute_loss(self, *args, **kwargs):
        return self.factor * super().compute_loss(*args, **kwargs)


def weighted(kernel_initializer):
    dense = keras.layers.Dense
    model = Weighted([keras.Input((64,)), dense(8, "relu", kernel_initializer=kernel_initializer), dense(3, "softmax")])
    model.factor = random.uniform(0.1, 2)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("build", [random_features, random_settings, weighted])
def test_a_model_is_built_anew_where_variables_do_not_hold_all_that_a_seed_fixes(build):
    def curve(seeds):
        found = ik.compare(build, X, Y, initializers=["he_normal"], seeds=seeds, epochs=2, verbose=0)
        return found.curves["loss"]["he_normal"][-1]

    np.testing.assert_allclose(curve([1, 2]), curve([2]), rtol=1e-5)


def test_training_is_traced_once_per_initializer(monkeypatch):
    traced = []
    original = keras.Model.make_train_function

    def noted(self, force=False):
        traced.append(self.train_function is None)
        return original(self, force)

    monkeypatch.setattr(keras.Model, "make_train_function", noted)
    study(seeds=3, epochs=1, engine="sequential")
    assert traced == [True, False, False] * 2


def test_the_same_study_gives_the_same_numbers_and_touches_no_global_state():
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = study(), study()
    np.testing.assert_allclose(first.curves["loss"]["he_normal"], second.curves["loss"]["he_normal"], rtol=1e-6)
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_one_instance_gives_every_layer_its_own_values():
    shared = keras.initializers.HeNormal(seed=3)
    results = study(initializers=[shared], seeds=2)
    first = results.records[0].initial_state["layers"]
    hidden = [layer["weights"][0]["sha256"] for layer in first]
    assert len(set(hidden)) == len(hidden)
    assert results.records[1].initial_state["layers"][0]["weights"][0]["sha256"] != hidden[0]


def test_models_with_several_inputs_subclassed_and_without_targets():
    class Pair(keras.Model):
        def __init__(self, kernel_initializer):
            super().__init__()
            self.left = keras.layers.Dense(4, "relu", kernel_initializer=kernel_initializer)
            self.right = keras.layers.Dense(1, kernel_initializer=kernel_initializer)

        def call(self, inputs):
            return self.right(self.left(inputs["a"]) + self.left(inputs["b"]))

    def build(kernel_initializer):
        model = Pair(kernel_initializer)
        model.compile("sgd", "mse")
        return model

    x = {"a": X[:40], "b": X[40:80]}
    results = ik.compare(build, x, Y[:40].astype("float32"), initializers=["he_normal"], seeds=2, epochs=1, verbose=0)
    assert np.isfinite(results.curves["loss"]["he_normal"]).all()


def test_a_model_without_hidden_layers_is_compared_without_symmetry():
    def build(kernel_initializer):
        model = keras.Sequential(
            [keras.Input((64,)), keras.layers.Dense(3, "softmax", kernel_initializer=kernel_initializer)]
        )
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    results = ik.compare(build, X, Y, initializers=["zeros"], seeds=1, epochs=3, verbose=0)
    assert results.records[0].verdict == "unknown"
    assert results.curves["loss"]["zeros"][0, -1] < results.curves["loss"]["zeros"][0, 0]  # zeros are fine here


def failing(kernel_initializer):
    model = build_model(kernel_initializer)
    if not isinstance(kernel_initializer, str):
        raise RuntimeError("no memory for this one")
    return model


def test_a_failed_replica_is_a_row_with_its_error_if_caught():
    named = {"good": "he_normal", "bad": ik.initializers.ZerO()}
    results = ik.compare(failing, X, Y, initializers=named, seeds=2, epochs=1, catch=(RuntimeError,), verbose=0)
    assert [r.status for r in results.records] == ["finished", "finished", "failed", "failed"]
    assert results.replicas["error"].iloc[2] == "RuntimeError: no memory for this one"
    table = results.table().set_index("initializer")
    assert table.loc["bad", "failed"] == 2
    assert table.loc["good", "failed"] == 0
    assert "2 replica(s) failed, the first bad with seed 0" in results.summary()
    results.plot("curves")
    results.plot("ranking")


def test_caught_failures_of_the_first_initializer_do_not_end_the_study():
    named = {"bad": ik.initializers.ZerO(), "good": "he_normal"}
    results = ik.compare(failing, X, Y, initializers=named, seeds=1, epochs=1, catch=RuntimeError, verbose=0)
    assert [r.status for r in results.records] == ["failed", "finished"]


def test_the_first_failure_is_raised_by_default():
    with pytest.raises(RuntimeError, match="no memory for this one"):
        ik.compare(failing, X, Y, initializers={"bad": ik.initializers.ZerO(), "good": "he_normal"}, seeds=1, verbose=0)


def uncompiled(kernel_initializer):
    return keras.Sequential([keras.Input((64,)), keras.layers.Dense(3, kernel_initializer=kernel_initializer)])


@pytest.mark.parametrize(
    ("build", "received"),
    [(uncompiled, "an uncompiled model"), (lambda _: 3, r"3 \(of type int\)"), (lambda _: None, "None")],
)
def test_build_model_must_return_a_compiled_model(build, received):
    with pytest.raises(TypeError, match=f"to return a compiled keras.Model. Received: {received}.*Call `model.compile"):
        ik.compare(build, X, Y, initializers=["zeros"], seeds=1, epochs=1, verbose=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"initializers": ["he_norml"]}, r"Received: 'he_norml'.*Did you mean 'he_normal'"),
        ({"initializers": []}, "at least one initializer. Received: none"),
        ({"initializers": "zeros"}, "to be a list of initializers or a dict"),
        ({"initializers": ["zeros", "zeros"]}, "Received: two called 'zeros'. Give a dict"),
        ({"seeds": 0}, "`seeds` to be an integer of at least 1. Received: seeds=0"),
        ({"seeds": []}, "at least one"),
        ({"seeds": [1, 1]}, "different seeds"),
        ({"epochs": 0}, "`epochs` to be an integer of at least 1"),
        ({"batch_size": 0}, "`batch_size` to be an integer of at least 1"),
        ({"engine": "quantum"}, "`engine` to be one of 'auto', 'stacked', 'sequential'"),
        ({"target": "val_acuracy >= 0.9"}, "Did you mean 'val_accuracy'"),
        ({"target": "val_loss <= 1", "validation_data": None}, "Give `validation_data`"),
        ({"seeds": 2.0}, "`seeds` to be an integer of at least 1. Received: seeds=2.0"),
        ({"callbacks": 3}, "`callbacks` to be a list. Received: callbacks=3"),
        ({"initializers": [None]}, "Received: None"),
        ({"target": "soon"}, "such as 'val_accuracy >= 0.95'"),
        ({"verbose": 3}, "`verbose` to be 0, 1 or"),
        ({"validation_data": X}, "pair \\(x, y\\) or a dataset"),
        ({"validation_data": (X[:3], Y[:4])}, "same number of samples"),
    ],
)
def test_bad_arguments_are_refused_before_training(changes, message):
    with pytest.raises(ValueError, match=message):
        study(**changes)


def test_bad_data_are_refused_before_training():
    holed = X.copy()
    holed[3, 4] = np.nan
    with pytest.raises(ValueError, match=r"`x` to hold finite numbers. Received: 1 NaN .* at index \(3, 4\)"):
        ik.compare(build_model, holed, Y, initializers=["zeros"], seeds=1)
    with pytest.raises(ValueError, match="same number of samples"):
        ik.compare(build_model, X, Y[:-1], initializers=["zeros"], seeds=1)
    with pytest.raises(ValueError, match="at least one batch. Received: none from <list_iterator"):
        ik.compare(build_model, iter([]), initializers=["zeros"], seeds=1)
    with pytest.raises(TypeError, match="`build_model` to be a function"):
        ik.compare("model", X, Y, initializers=["zeros"], seeds=1)
