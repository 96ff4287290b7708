"""Datasets: the passes of the study are those that `fit` and `evaluate` make, batch by batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_initkit.study.data import StudyData
from tests.study.recorder import Recorder, assert_same_batches

X = np.arange(10, dtype="float32")[:, None]
Y = (np.arange(10) % 3).astype("float32")
WEIGHTS = np.linspace(0, 1, 10, dtype="float32")
CLASS_WEIGHT = {0: 0.5, 2: 3.0}


class Parts(keras.utils.PyDataset):
    """Batches of 4, 4 and 2 samples; new order after every epoch, as many users write it."""

    def __init__(self, *data, shuffle=False, bare=False, **settings):
        super().__init__(**settings)
        self.data, self.bare, self.rng, self.order = data, bare, np.random.default_rng(1) if shuffle else None, None
        self.calls = []
        self.order = np.arange(10)

    def __len__(self):
        return 3

    def __getitem__(self, index):
        chosen = self.order[4 * index : 4 * index + 4]
        batch = tuple(part[chosen] for part in self.data)
        return batch[0] if self.bare else batch

    def on_epoch_begin(self):
        self.calls.append("begin")

    def on_epoch_end(self):
        self.calls.append("end")
        if self.rng is not None:
            self.order = self.rng.permutation(10)


def pipeline(*data, bare=False):
    return tf.data.Dataset.from_tensor_slices(data[0] if bare else data).batch(4)


def kinds():
    for make in (Parts, pipeline):
        for name, data in {"xy": (X, Y), "xyw": (X, Y, WEIGHTS)}.items():
            yield pytest.param(lambda make=make, data=data: make(*data), id=f"{make.__name__}-{name}")


@pytest.mark.parametrize("make", list(kinds()))
def test_passes_are_those_of_fit_and_evaluate(make):
    model = Recorder()
    data = StudyData.of(make(), None, make())
    model.fit(**data.training(0, 32, 2), **data.validating(), epochs=2, verbose=0)
    for epoch in (0, 1):
        assert_same_batches(data.pass_batches(epoch), model.trained[3 * epoch : 3 * epoch + 3])
    assert [len(batch[0]) for batch in model.trained] == [4, 4, 2] * 2
    assert_same_batches(data.validation_batches(), model.tested[:3])
    model.tested.clear()
    data.evaluate(model)
    assert_same_batches([*data.training_batches_in_order(), *data.validation_batches()], model.tested)


@pytest.mark.parametrize("make", [Parts, pipeline])
@pytest.mark.parametrize("bare", [False, True])
def test_batches_without_targets(make, bare):
    data = StudyData.of(make(X, bare=bare), None, None)
    assert_same_batches(data.pass_batches(), [(X[i : i + 4], None, None) for i in (0, 4, 8)])
    np.testing.assert_array_equal(data.one_batch(), X[:4])


@pytest.mark.parametrize("settings", [{}, {"workers": 2}])
def test_a_py_dataset_that_shuffles_itself_is_told_of_epochs_as_by_fit(settings):
    trained, passed = Parts(X, Y, shuffle=True, **settings), Parts(X, Y, shuffle=True, **settings)
    model = Recorder()
    # Measured before training, as in a study: a model whose metrics are not built makes Keras look at a batch first.
    model.evaluate(X, Y, verbose=0)
    model.fit(trained, epochs=3, shuffle=False, verbose=0)
    data = StudyData.of(passed, None, None)
    assert_same_batches([batch for epoch in range(3) for batch in data.pass_batches(epoch)], model.trained)
    assert passed.calls == trained.calls
    assert not np.array_equal(model.trained[0][0], model.trained[3][0])


def test_a_pass_that_is_left_ends_the_epoch():
    dataset = Parts(X, Y)
    passing = StudyData.of(dataset, None, None).pass_batches(epoch=1)
    next(passing)
    passing.close()
    assert dataset.calls == ["begin", "end"]


@pytest.mark.parametrize("make", [Parts, pipeline])
@pytest.mark.parametrize("class_weight", [CLASS_WEIGHT, {0: 0.5}, {1: 2, 9: 5}])
@pytest.mark.parametrize(
    "y",
    [Y, Y.astype("uint8"), Y[:, None], np.eye(3, dtype="float32")[Y.astype(int)]],
    ids=["flat", "integers", "column", "one-hot"],
)
def test_class_weights_go_to_each_batch(make, class_weight, y):
    """The oracle is Keras on arrays: `fit` with a learning rate of 0, unshuffled, in the same batches."""
    expected = Recorder().fit(X, y, batch_size=4, shuffle=False, class_weight=class_weight, verbose=0).history["loss"]
    data = StudyData.of(make(X, y), None, (X, y), class_weight=class_weight)
    model = Recorder()
    assert model.fit(**data.training(0, 32, 1), verbose=0).history["loss"] == pytest.approx(expected, rel=1e-6)
    values = data.evaluate(Recorder())
    assert values["loss"] == pytest.approx(expected[0], rel=1e-6)
    assert values["val_loss"] == pytest.approx(Recorder().evaluate(X, y, verbose=0), rel=1e-6)
    assert_same_batches(data.pass_batches(), model.trained)
    np.testing.assert_array_equal(data.few_samples[2], [class_weight.get(c, 1) for c in (0, 1, 2, 0)])
    assert data.sha256() is None


def test_a_pipeline_of_unknown_length_and_nested_batches():
    dataset = pipeline({"a": X, "b": X[:, 0]}, Y).filter(lambda *_: True)
    data = StudyData.of(dataset, None, None)
    batches = list(data.pass_batches())
    assert [len(batch[1]) for batch in batches] == [4, 4, 2]
    assert set(batches[0][0]) == set(data.one_batch()) == {"a", "b"}
    assert batches[0][2] is None


def test_arrays_are_held_once():
    order = StudyData.of(X, Y, None).order(3, 1)
    assert sorted(order) == list(range(10))
    data = StudyData.of({"a": X}, Y, (X, Y), sample_weight=WEIGHTS)
    x, y, weights = data.arrays
    assert x["a"] is X
    assert y is Y
    assert weights is WEIGHTS
    for batch in (next(data.training_batches_in_order()), next(data.validation_batches())):
        assert all(np.shares_memory(a, b) for a, b in zip(keras.tree.flatten(batch)[:2], (X, Y), strict=True))


@pytest.mark.parametrize("weights", [None, np.linspace(1, 2, 600, dtype="float32")])
def test_arrays_are_evaluated_in_the_batches_of_evaluate(weights):
    x = np.linspace(-1, 1, 600, dtype="float32")[:, None]
    triple = (x, x**2) if weights is None else (x, x**2, weights)
    data, model = StudyData.of(x, x**2, triple, sample_weight=weights), Recorder()
    data.evaluate(model)
    received = [*data.training_batches_in_order(), *data.validation_batches()]
    assert [len(batch[0]) for batch in received] == [256, 256, 88] * 2
    assert_same_batches(received, model.tested)
    model.tested.clear()
    model.fit(**data.training(0, 300, 1), **data.validating(), verbose=0)
    assert_same_batches(data.validation_batches(), model.tested)
    order = data.order(0, 0)
    assert_same_batches(
        model.trained,
        [tuple(None if a is None else a[order[s]] for a in data.arrays) for s in np.split(np.arange(600), 2)],
    )


def test_no_validation_data():
    data = StudyData.of(X, Y, None)
    assert list(data.validation_batches()) == []
    assert data.validating() == {}


class Endless(Parts):
    num_batches = None


class Empty(Parts):
    def __len__(self):
        return 0


@pytest.mark.parametrize(
    ("x", "arguments", "message"),
    [
        (lambda: pipeline(X, Y).repeat(), {}, r"ends after one pass. Received: .*End it with `.take\(n\)`"),
        (lambda: Endless(X, Y), {}, "ends after one pass. Received: .*Give it a `__len__`"),
        (lambda: Empty(X, Y), {}, "at least one batch. Received: none"),
        (lambda: pipeline(X[:0], Y[:0]), {}, "at least one batch. Received: none"),
        (lambda: Parts(X, Y), {"y": Y}, "no `y` beside a dataset.*Received: y=array of shape"),
        (lambda: Parts(X, Y), {"sample_weight": WEIGHTS}, "no `sample_weight` beside a dataset"),
        (lambda: pipeline(X, Y, WEIGHTS), {"class_weight": {0: 1}}, "Received: both"),
        (lambda: Parts(X, Y, WEIGHTS), {"class_weight": {0: 1}}, "Received: both"),
        (lambda: Parts(X), {"class_weight": {0: 1}}, "Received: no targets"),
        (lambda: pipeline(X, {"a": Y, "b": Y}), {"class_weight": {0: 1}}, "Received: 2 arrays of targets"),
        (lambda: X, {"y": Y, "validation_data": X}, r"pair \(x, y\) or a dataset. Received: array of shape \(10, 1\)"),
        (lambda: X, {"y": Y, "validation_data": pipeline(X, Y).repeat()}, "ends after one pass"),
    ],
)
def test_what_cannot_be_used_is_refused(x, arguments, message):
    with pytest.raises(ValueError, match=message):
        StudyData.of(x(), arguments.pop("y", None), arguments.pop("validation_data", None), **arguments)


def test_arrays_have_no_passes_and_datasets_no_order():
    with pytest.raises(TypeError, match="Expected a dataset. Received: arrays"):
        StudyData.of(X, Y, None).pass_batches()
    with pytest.raises(TypeError, match="Expected arrays. Received: <"):
        StudyData.of(pipeline(X, Y), None, None).order(0, 0)


class Loader:
    """Made inside the tests that torch is there for."""

    def __new__(cls, *data):
        torch = pytest.importorskip("torch")
        tensors = torch.utils.data.TensorDataset(*(torch.from_numpy(part) for part in data))
        return torch.utils.data.DataLoader(tensors, batch_size=4)


def test_a_torch_loader_works_like_a_dataset():
    data, model = StudyData.of(Loader(X, Y), None, Loader(X, Y, WEIGHTS)), Recorder()
    model.fit(**data.training(0, 32, 2), **data.validating(), epochs=2, verbose=0)
    assert_same_batches([*data.pass_batches(0), *data.pass_batches(1)], model.trained)
    assert_same_batches(data.validation_batches(), model.tested[:3])
    np.testing.assert_array_equal(data.one_batch(), X[:4])
    assert data.evaluate(model)["loss"] == pytest.approx(np.mean((X[:, 0] - Y) ** 2), rel=1e-6)
    with pytest.raises(ValueError, match="no `class_weight` beside a torch DataLoader"):
        StudyData.of(Loader(X, Y), None, None, class_weight={0: 1})
