"""The benchmark of the study engine in a short form: it runs, both ways train the same, and the clock sees all."""

import dataclasses
import math

import pytest

from tests.benchmarks.engines.memory import Sizes, sizes_of
from tests.benchmarks.engines.problems import PROBLEMS
from tests.benchmarks.engines.scaling import clocked_study, replicas_table
from tests.benchmarks.engines.speed import GOALS, measured, speed_table
from tests.benchmarks.engines.tuner import beside_tuner, has_tuner, tuner_table
from tests.benchmarks.engines.ways import Trained, disagreement

pytestmark = pytest.mark.benchmark


@pytest.mark.parametrize("name", dict.fromkeys(goal.problem for goal in GOALS))
def test_compare_beside_a_loop_of_fit(name, capsys):
    row = measured(name, replicas=8, epochs=3, fits=2)
    assert not row.disagreement
    with capsys.disabled():
        print(f"\n{speed_table([row])}")


def test_the_time_of_a_study_is_split_into_what_it_is_spent_on(capsys):
    point = clocked_study("mlp", replicas=4, epochs=3)
    assert point.stacks == 1
    assert sum(point.phases.values()) == pytest.approx(point.seconds)
    assert all(seconds > 0 for seconds in point.phases.values())
    with capsys.disabled():
        print(f"\n{replicas_table([point])}")


def test_the_bound_of_memory_counts_every_number_of_a_replica():
    kernels_and_biases = 784 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10
    assert sizes_of("wide") == Sizes(
        weights=4 * kernels_and_biases,
        slots=4 * (2 * kernels_and_biases) + 4 + 8,  # two moments each, the learning rate and the number of steps
        gradients=4 * kernels_and_biases,
        batch=32 * (784 * 4 + 8),
        outputs=32 * 4 * (512 + 512 + 10),
        data=2560 * (784 * 4 + 8),
    )


def test_other_work_is_not_compared():
    fits = Trained([1.0] * 4, [0.30, 0.31, 0.29, 0.30], [0.50, 0.49, 0.51, 0.50], epochs=3)
    same = Trained([1.0], [0.29, 0.31, 0.30], [0.52, 0.50, 0.49], epochs=3)
    assert not disagreement(fits, same)
    assert "2 epochs" in disagreement(fits, dataclasses.replace(same, epochs=2))
    assert "final losses" in disagreement(fits, dataclasses.replace(same, losses=[0.41, 0.40, 0.42]))
    assert "final val_losses" in disagreement(fits, dataclasses.replace(same, val_losses=[math.nan] * 3))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras_tuner")  # 1.4 uses old names of `threading`
@pytest.mark.skipif(not has_tuner(), reason="needs KerasTuner and TensorBoard")
def test_compare_beside_keras_tuner(capsys):
    row = beside_tuner("mlp", replicas=4, epochs=3)
    assert not row.disagreement
    with capsys.disabled():
        print(f"\n{tuner_table(row)}")


def test_every_goal_is_about_a_known_model():
    assert {goal.problem for goal in GOALS} < set(PROBLEMS)
