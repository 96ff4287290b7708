import math

import pytest

from keras_initkit.convergence import Target
from keras_initkit.tracking.learning import LearningCurves


def learned(target, budget=4, first=0, **curves):
    found = LearningCurves(target)
    for name, points in curves.items():
        for epoch, value in points.items():
            found.add(epoch, {name: value})
    return found.convergence(first, budget)


def about_target(metrics):
    names = ("reached_target", "epochs_to_target", "epochs_to_target_capped")
    return tuple(metrics.get(name) for name in names)


LOSS = {0: 2.0, 1: 1.0, 2: 0.5, 3: 0.25, 4: 0.3}


def test_shape_is_that_of_the_loss_and_time_that_of_the_target():
    metrics = learned(Target("val_accuracy", "max", 0.9), loss=LOSS, val_accuracy={0: 0.1, 1: 0.5, 2: 0.9, 3: 1.0})
    assert about_target(metrics) == (1, 2, 2)
    assert (metrics["best_loss"], metrics["final_loss"], metrics["diverged"]) == (0.25, 0.3, 0)
    assert metrics["aulc"] == pytest.approx((0.75 + 0.375 + 0.1875 + 0.1375) / 4)  # trapezoids of loss / first loss


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ({1: 0.5, 2: 0.95}, (1, 2, 2)),  # not known before training
        ({2: 0.5, 4: 0.95}, (1, 4, 4)),  # known in every second epoch
        ({4: 0.95}, (1, 4, 4)),  # known at the end only
        ({2: 0.5, 4: 0.6}, (0, None, 4)),
        ({0: 0.95}, (1, 0, 0)),
        ({1: math.nan, 2: 0.95}, (0, None, 4)),  # a model that diverged does not learn
        ({}, (None, None, None)),
    ],
)
def test_the_first_epoch_at_which_the_target_is_seen_reached(points, expected):
    assert about_target(learned(Target("val_accuracy", "max", 0.9), val_accuracy=points)) == expected


def test_a_large_first_loss_is_no_divergence():
    assert about_target(learned(Target("val_loss", "min", 0.001), val_loss={1: 500.0, 2: 400.0})) == (0, None, 4)


def test_epochs_count_from_where_training_began():
    metrics = learned(Target("loss", "min", 0.5), first=3, loss={3 + epoch: loss for epoch, loss in LOSS.items()})
    assert about_target(metrics) == (1, 2, 2)


def test_without_a_target_or_a_loss_there_is_nothing_about_them():
    assert about_target(learned(None, loss=LOSS)) == (None, None, None)
    assert learned(None, accuracy={0: 0.1, 1: 0.5}) == {}


def test_an_unknown_metric_is_named_with_its_neighbours():
    curves = LearningCurves(Target("val_acc", "max", 0.9))
    curves.add(1, {"loss": 1.0, "accuracy": 0.5})
    with pytest.raises(
        ValueError, match=r"one of 'accuracy', 'loss', 'val_accuracy', 'val_loss'. Received: target='val_"
    ):
        curves.check_target()
