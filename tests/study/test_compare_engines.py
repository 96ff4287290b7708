"""compare(engine=...): the same results either way, and a line that says what was done and why."""

import random

import keras
import numpy as np
import pytest

import keras_initkit as ik
from keras_initkit.study.engines.stacked import CannotStack
from tests.study.problem import build_model, digits

X, Y = digits()
STACKS = keras.backend.backend() in ("tensorflow", "jax")

pytestmark = pytest.mark.skipif(not STACKS, reason="this backend trains one replica after the other")


def study(build=build_model, **changes):
    arguments = {
        "validation_data": (X[150:], Y[150:]),
        "initializers": ["zeros", "he_normal"],
        "seeds": 2,
        "epochs": 2,
        "verbose": 0,
        "target": 0.5,
    }
    return ik.compare(build, X[:150], Y[:150], **(arguments | changes))


@pytest.fixture(scope="module")
def both():
    names = ["zeros", "he_normal", ik.initializers.Tiled(distinct=2), "orthogonal"]
    return [study(engine=engine, initializers=names, seeds=[3, 8], epochs=3) for engine in ("stacked", "sequential")]


def test_all_initializers_share_one_program(both):
    stacked, sequential = both
    assert stacked.engine.startswith("8 replicas together as one program")
    assert sequential.engine == "8 replicas one after the other through `fit`"


def test_curves_are_those_of_fit(both):
    stacked, sequential = both
    assert set(stacked.curves) - set(sequential.curves) == {"grad/norm"}
    for metric, curves in sequential.curves.items():
        for name, curve in curves.items():
            np.testing.assert_allclose(stacked.curves[metric][name], curve, rtol=1e-5, atol=1e-6, err_msg=metric)


def test_symmetry_and_the_initial_state_are_those_of_fit(both):
    for ours, theirs in zip(*(results.records for results in both), strict=True):
        assert (ours.initializer, ours.seed, ours.verdict) == (theirs.initializer, theirs.seed, theirs.verdict)
        assert [row["verdict"] for row in ours.symmetry] == [row["verdict"] for row in theirs.symmetry]
        assert [row["rms"] for row in ours.symmetry] == pytest.approx([row["rms"] for row in theirs.symmetry], rel=1e-4)
        seeds, weights = "init/seed", "init/weights_sha"
        for param in (seeds, weights):
            assert ours.initial_state["params"][param] == theirs.initial_state["params"][param]
    found = {r.initial_state["params"]["init/seed"] for r in both[0].records if r.initializer == "he_normal"}
    assert len(found) == 2  # other seeds of the study, other seeds of the initializers


def test_the_gradient_norm_is_that_of_the_first_batch_where_there_is_one_batch():
    results = study(initializers=["he_normal"], seeds=[4], epochs=1, batch_size=150, engine="stacked")
    keras.utils.set_random_seed(4)
    model = build_model("he_normal")
    step = 1e-3
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(step), "sparse_categorical_crossentropy")
    model.train_on_batch(X[:150], Y[:150])
    squares = sum(
        ((a - b) / step).ravel() @ ((a - b) / step).ravel() for a, b in zip(before, model.get_weights(), strict=True)
    )
    norms = results.curves["grad/norm"]["he_normal"][0]
    assert np.isnan(norms[0])
    assert norms[1] == pytest.approx(np.sqrt(squares), rel=1e-2)


class OwnStep(keras.Sequential):
    def train_step(self, *arguments):
        return super().train_step(*arguments)


def own_step(kernel_initializer):
    dense = keras.layers.Dense
    model = OwnStep([keras.Input((64,)), dense(8, "relu", kernel_initializer=kernel_initializer), dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def eager(kernel_initializer):
    model = build_model(kernel_initializer)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    return model


@pytest.mark.parametrize(
    ("build", "changes", "reason"),
    [
        (own_step, {}, "the model has its own 'train_step'"),
        (eager, {}, "the model is compiled with run_eagerly=True"),
        (build_model, {"callbacks": [keras.callbacks.Callback()]}, "`callbacks` are called with one model at a time"),
    ],
)
def test_what_cannot_be_stacked_goes_through_fit_and_is_named(build, changes, reason):
    results = study(build, initializers=["he_normal"], epochs=1, **changes)
    assert results.engine == f"2 replicas one after the other through `fit`, since {reason}"
    assert np.isfinite(results.curves["loss"]["he_normal"]).all()
    with pytest.raises(CannotStack, match=f"Received: {reason}. Use engine="):
        study(build, initializers=["he_normal"], epochs=1, engine="stacked", **changes)


def any_width(kernel_initializer):
    """Draws its structure."""
    units = random.choice([6, 9])
    dense = keras.layers.Dense
    hidden = dense(units, "relu", kernel_initializer=kernel_initializer, name="hidden")
    model = keras.Sequential([keras.Input((64,)), hidden, dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def test_models_that_differ_by_seed_are_all_trained():
    results = study(any_width, initializers=["he_normal"], seeds=6, epochs=1)
    widths = {r.seed: r.symmetry[0]["units"] for r in results.records}
    for seed, width in widths.items():
        keras.utils.set_random_seed(seed)
        assert any_width("he_normal").get_layer("hidden").units == width
    assert set(widths.values()) == {6, 9}
    assert "through `fit`, since `build_model` gives another model for some seeds: what differs is" in results.engine


def with_width_of_initializer(kernel_initializer):
    units = 5 if isinstance(kernel_initializer, str) else 8
    dense = keras.layers.Dense
    layers = [keras.Input((64,)), dense(units, "relu", kernel_initializer=kernel_initializer), dense(3, "softmax")]
    model = keras.Sequential(layers)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def test_initializers_with_models_of_different_shape_make_several_programs():
    named = {"name": "he_normal", "other": "glorot_uniform", "object": ik.initializers.ZerO()}
    results = study(with_width_of_initializer, initializers=named, epochs=1)
    assert "6 replicas together as one program" in results.engine
    assert results.engine.endswith("(2 times)")
    assert [r.symmetry[0]["units"] for r in results.records] == [5, 5, 5, 5, 8, 8]


def wild(kernel_initializer):
    model = build_model(kernel_initializer)
    model.compile(keras.optimizers.SGD(1e30), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_a_replica_that_diverges_is_frozen_and_leaves_the_others_alone():
    class Rates(keras.initializers.Initializer):
        """Weights of 1e30 for every other seed."""

        def __init__(self, seed=None):
            self.seed = seed

        def __call__(self, shape, dtype=None, **kwargs):
            if self.seed is None:
                self.seed = 0
            scale = 1e30 if self.seed % 2 else 0.1
            return scale * keras.random.normal(shape, dtype=dtype, seed=self.seed)

        def get_config(self):
            return {"seed": self.seed}

    alone = study(initializers=["he_normal"], epochs=3)
    together = study(initializers={"wild": Rates(), "he_normal": "he_normal"}, seeds=2, epochs=3)
    np.testing.assert_allclose(
        together.curves["loss"]["he_normal"], alone.curves["loss"]["he_normal"], rtol=1e-5, equal_nan=True
    )
    for engine in ("auto", "sequential"):
        lost = study(wild, initializers=["he_normal"], epochs=3, engine=engine)
        curve = lost.curves["accuracy"]["he_normal"]
        first = int(np.argmax(~np.isfinite(lost.curves["loss"]["he_normal"][0])))
        assert 0 < first < 3
        assert np.isnan(curve[0, first + 1 :]).all()
        assert np.isfinite(curve[0, : first + 1]).all()
        assert lost.table()["diverged"].iloc[0] == 2
        assert {row["epoch"] for row in lost.records[0].symmetry} == set(range(first + 1))


def convolutional(kernel_initializer):
    convolution = keras.layers.Conv2D(3, 3, activation="relu", kernel_initializer=kernel_initializer)
    pooled = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dropout(0.2), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input((64,)), keras.layers.Reshape((8, 8, 1)), convolution, *pooled])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_what_the_backend_runs_one_by_one_is_named_and_nothing_is_logged(caplog, capfd):
    results = study(convolutional, initializers=["he_normal"], epochs=1)
    slow = {"tensorflow": "convolutions, random numbers", "jax": "the whole step because of convolutions"}[
        keras.backend.backend()
    ]
    assert results.engine == f"2 replicas together as one program ({slow}: one replica after the other)"
    assert not caplog.records
    assert "while_loop" not in "".join(capfd.readouterr())
