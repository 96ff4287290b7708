"""Groups follow from the study alone, and bound what a kill can lose."""

import keras
import pytest

from keras_initkit.study.data import StudyData
from keras_initkit.study.engines.group import Member, Training
from keras_initkit.study.grouping import groups_of, work_per_replica, workers_of
from tests.study.problem import build_model, digits

X, Y = digits()
TRAINING = Training(build_model, StudyData.of(X, Y, None), epochs=10, batch_size=32)


def members(count):
    return [Member("he_normal", lambda: "he_normal", seed) for seed in range(count)]


@pytest.fixture(scope="module")
def model():
    return build_model("he_normal")


@pytest.mark.parametrize(
    ("count", "workers", "sizes"),
    [
        (0, 1, []),
        (1, 1, [1]),
        (45, 1, [45]),
        (128, 1, [128]),
        (130, 1, [65, 65]),
        (10, 4, [3, 3, 3, 1]),
        (3, 8, [1] * 3),
    ],
)
def test_sizes(model, count, workers, sizes):
    groups = groups_of(members(count), model, TRAINING, workers)
    assert [len(group) for group in groups] == sizes
    assert [member.seed for group in groups for member in group] == list(range(count))


def test_work_is_six_operations_for_each_weight_place_and_sample(model):
    weights = sum(
        v.value.numpy().size if hasattr(v.value, "numpy") else v.value.size for v in model.trainable_variables
    )
    assert work_per_replica(model, TRAINING) == 6 * weights * len(X) * 10


def test_a_kernel_counts_at_every_place_where_it_is_used():
    layers = [keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, use_bias=False)]
    assert work_per_replica(keras.Sequential(layers), TRAINING) == 6 * (9 * 4) * 36 * len(X) * 10


def test_groups_of_heavy_replicas_are_small():
    layers = [keras.Input((2000,)), keras.layers.Dense(20_000)]
    groups = groups_of(members(16), keras.Sequential(layers), TRAINING)
    assert [len(group) for group in groups] == [8, 8]


def test_workers():
    class Executor:
        _max_workers = 3

    assert [workers_of(None), workers_of(Executor()), workers_of(object())] == [1, 3, 8]
