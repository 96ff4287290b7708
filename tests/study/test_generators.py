"""Generators: functions are called for every pass, iterators are read once and kept, endless ones are refused."""

import itertools
import pickle

import keras
import numpy as np
import pytest

import keras_initkit as ik
from keras_initkit.study import generators, memory
from keras_initkit.study.data import StudyData
from tests.study.problem import build_model, digits
from tests.study.recorder import Recorder, assert_same_batches

X = np.arange(10, dtype="float32")[:, None]
Y = (np.arange(10) % 3).astype("float32")
CLASS_WEIGHT = {0: 0.5, 2: 3.0}


def batches():
    """Batches of 4, 4 and 2 samples."""
    for start in (0, 4, 8):
        yield X[start : start + 4], Y[start : start + 4]


def assert_passes_of_fit(data, expected):
    """Two epochs of training with validation, and the measurement of epoch 0, see the same three batches."""
    model = Recorder()
    model.fit(**data.training(0, 32, 2), **data.validating(), epochs=2, verbose=0)
    assert_same_batches(model.trained, [*expected, *expected])
    assert_same_batches(model.tested[:3], batches_without_weights())
    model.tested.clear()
    data.evaluate(model)
    assert_same_batches(model.tested[:3], expected)
    for epoch in (0, 1):
        assert_same_batches(data.pass_batches(epoch), expected)
    assert_same_batches(data.training_batches_in_order(), expected)
    assert_same_batches(data.validation_batches(), batches_without_weights())


def batches_without_weights():
    return [(x, y, None) for x, y in batches()]


@pytest.mark.parametrize(
    "make", [lambda: batches, batches, lambda: iter(list(batches()))], ids=["function", "gen", "iter"]
)
def test_passes_are_those_of_fit_and_evaluate(make):
    assert_passes_of_fit(StudyData.of(make(), None, make()), batches_without_weights())


@pytest.mark.parametrize("make", [lambda: batches, batches], ids=["function", "generator"])
def test_class_weights_go_to_each_batch(make):
    weights = np.array([0.5, 1, 3, 0.5, 1, 3, 0.5, 1, 3, 0.5], "float32")
    expected = [(x, y, weights[i : i + 4]) for (x, y), i in zip(batches(), (0, 4, 8), strict=True)]
    data = StudyData.of(make(), None, batches, class_weight=CLASS_WEIGHT)
    assert_passes_of_fit(data, expected)
    plain = Recorder().fit(X, Y, batch_size=4, shuffle=False, class_weight=CLASS_WEIGHT, verbose=0).history["loss"]
    assert data.evaluate(Recorder())["loss"] == pytest.approx(plain[0], rel=1e-6)


def test_every_pass_is_a_new_call():
    started = []

    def noisy():
        rng = np.random.default_rng(len(started))
        started.append(1)
        for _ in range(3):
            yield (rng.normal(size=(2, 1)),)

    data = StudyData.of(noisy, None, None)
    passes = [np.concatenate([x for x, _, _ in data.pass_batches(epoch)]) for epoch in range(3)]
    assert len(started) == 1 + 3  # once to count and check
    assert not np.array_equal(passes[0], passes[1])
    data.one_batch()
    data.one_batch()
    assert len(started) == 5


def test_a_pass_that_was_left_takes_nothing_from_the_next():
    """TensorFlow reads ahead in threads, which may go on after an epoch was stopped."""

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    data, model = StudyData.of(batches, None, None), Recorder()
    for _ in range(5):
        model.fit(**data.training(0, 32, 1), callbacks=[Stop()], verbose=0)
        model.trained.clear()
        model.fit(**data.training(0, 32, 1), verbose=0)
        assert_same_batches(model.trained, batches_without_weights())


def test_batches_that_differ_in_more_than_their_size():
    """Sequences padded per batch, of tuples, lists and dicts."""

    def sequences():
        for length in (3, 5, 4):
            yield [{"a": np.ones((2, length), "float32")}, [np.ones(2), np.zeros((2, 1))]]

    total = keras.layers.Lambda(lambda x: keras.ops.sum(x, 1, keepdims=True), output_shape=(1,))
    model = keras.Sequential([keras.Input((None,)), total, keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    data = StudyData.of(lambda: ((x["a"], y[0]) for x, y in sequences()), None, None)
    assert model.fit(**data.training(0, 32, 2), epochs=2, verbose=0).history["loss"] == pytest.approx([29 / 3] * 2)
    nested = next(iter(StudyData.of(sequences, None, None).pass_batches()))
    assert nested[0]["a"].shape == (2, 3)
    assert len(nested[1]) == 2


def test_kept_batches_are_copies_held_once():
    def reused():
        buffer = np.zeros((2, 1), "float32")
        for value in range(3):
            buffer[:] = value
            yield buffer, buffer

    data = StudyData.of(reused(), None, None)
    assert [float(x[0, 0]) for x, _, _ in data.pass_batches()] == [0, 1, 2]
    first, second = (list(data.pass_batches()) for _ in range(2))
    assert all(
        a is b for one, other in zip(first, second, strict=True) for a, b in zip(one[:2], other[:2], strict=True)
    )


def test_the_content_of_kept_batches_is_known_and_that_of_functions_is_not():
    assert StudyData.of(batches(), None, None).sha256() == StudyData.of(iter(batches()), None, None).sha256()
    assert StudyData.of(batches(), None, None, class_weight={0: 2}).sha256() not in (
        None,
        StudyData.of(batches(), None, None).sha256(),
    )
    assert StudyData.of(batches, None, None).sha256() is None
    assert StudyData.of(X, Y, batches).sha256() is None
    assert StudyData.of(X, Y, batches()).sha256() is not None


def test_data_of_a_function_can_be_sent_to_another_process():
    data = StudyData.of(batches, None, batches())
    data.evaluate(Recorder())
    data.one_batch()
    received = pickle.loads(pickle.dumps(data))
    assert_passes_of_fit(received, batches_without_weights())


def test_all_kinds_train_alike():
    x, y = digits(60)

    def parts():
        return ((x[i : i + 32], y[i : i + 32]) for i in (0, 32))

    curves = [
        ik.compare(build_model, source, initializers=["he_normal"], seeds=2, epochs=2, verbose=0).curves["loss"]
        for source in (parts, parts())
    ]
    np.testing.assert_allclose(curves[0]["he_normal"], curves[1]["he_normal"], rtol=1e-6)
    assert (curves[0]["he_normal"][:, 2] < curves[0]["he_normal"][:, 0]).all()


def uneven():
    """Give one batch less in every pass."""
    left = itertools.count(4, -1)
    return lambda: ((X[:2], Y[:2]) for _ in range(next(left)))


def test_passes_of_different_length_are_refused():
    with pytest.raises(
        ValueError, match="same number of batches in every pass. Received: 2 in the first pass and 1 in a"
    ):
        list(StudyData.of(uneven(), None, None).pass_batches())
    growing = itertools.count(1)
    data = StudyData.of(lambda: (X for _ in range(next(growing))), None, None)
    with pytest.raises(ValueError, match="Received: 3 in the first pass and more than 3 in a later one"):
        list(data.pass_batches())


HOLED = np.where(X == 5, np.nan, X)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (lambda: iter([]), "at least one batch. Received: none from <list_iterator"),
        (lambda: lambda: iter([]), "at least one batch. Received: none from <function"),
        (lambda: lambda _: iter([X]), "without arguments that returns an iterator.*Received: x=<function.*Bind its"),
        (lambda: lambda: 3, r"returns an iterator of batches. Received: 3 \(of type int\)"),
        (
            lambda: (lambda one: lambda: one)(batches()),
            "new iterator whenever it is called. Received: the same one twice",
        ),
        (lambda: iter([(X, Y, Y, Y)]), r"(?s)\(x, y, sample_weight\). Received: .* as batch 0"),
        (lambda: iter([(X, Y), (HOLED, Y)]), "`x of batch 1` to hold finite numbers. Received: 1 NaN"),
        (lambda: lambda: iter([(X, HOLED)]), "`y of batch 0` to hold finite numbers"),
        (lambda: iter([(X, Y[:3])]), r"same number of samples.*'y': \[3\]"),
        (lambda: iter([(X, Y, Y[:3])]), r"'sample_weight': \[3\]"),
        (lambda: iter([(X, None, Y)]), "targets beside `sample_weight of batch 0`"),
        (lambda: iter([3]), r"`x of batch 0` to be an array.*Received: x of batch 0=3"),
        (lambda: lambda: iter([(X, Y), (X,)]), r"one structure. Received: .* in batch 1, other than in the first"),
        (lambda: lambda: iter([X, X[:, 0]]), r"one number of axes and one type. Received: array of shape \(10,\)"),
        (lambda: lambda: iter([X, X.astype("float64")]), "dtype float64 in batch 1, after shape .* and dtype float32"),
    ],
)
def test_what_cannot_be_used_is_refused(x, message):
    with pytest.raises(ValueError, match=message):
        StudyData.of(x(), None, None)


def test_endless_generators_are_refused(monkeypatch):
    monkeypatch.setattr(generators, "_ENDLESS", 50)
    with pytest.raises(ValueError, match=r"(?s)ends after one pass.*Received: 50 batches, and more.*`.take\(n\)`"):
        StudyData.of(lambda: itertools.repeat(X), None, None)
    with pytest.raises(ValueError, match=r"(?s)at most 50 batches.*Received: 51 batches.*`.take\(n\)`"):
        StudyData.of(itertools.repeat(X), None, None)
    assert len(StudyData.of(itertools.repeat(X, 50), None, None).x) == 50


def test_iterators_that_fill_the_memory_are_refused(monkeypatch):
    monkeypatch.setattr(generators, "free_memory", lambda: 4 * 10 * X.nbytes)
    assert len(StudyData.of(itertools.repeat(X, 10), None, None).x) == 10
    with pytest.raises(
        ValueError,
        match=r"(?s)400 bytes .a quarter of the free memory.*Received: 11 batches of 440 bytes, .*Give a gen",
    ):
        StudyData.of(itertools.repeat(X, 11), None, None)


def test_free_memory_is_that_of_the_machine_or_its_container(tmp_path):
    assert 1 << 20 < memory.free_memory() < 1 << 50
    (tmp_path / "memory.current").write_text("300\n")
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory._left_in_container(str(tmp_path)) == 700
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._left_in_container(str(tmp_path)) is None


def test_total_memory_is_that_of_the_machine_or_its_container(tmp_path, monkeypatch):
    machine = memory.total_memory()
    assert memory.free_memory() <= machine
    monkeypatch.setattr(memory, "_CONTAINER", str(tmp_path))
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory.total_memory() == 1000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.total_memory() >= machine
