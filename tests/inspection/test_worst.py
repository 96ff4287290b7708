"""The worst layer of a model, statistic by statistic."""

import math

import pytest

from keras_initkit.inspection.worst import STATISTICS, worst_value

nan = math.nan


def row(units=8, inputs=100, **values):
    return {"units": units, "inputs": inputs} | dict.fromkeys(STATISTICS, 0.0) | values


@pytest.mark.parametrize(
    ("statistic", "good", "bad"),
    [
        ("mean", 0.1, -0.5),  # a common direction with both signs counts, and the value keeps its sign
        ("mean", -0.1, 0.5),
        ("rms", 0.1, 0.9),
        ("mean_abs", 0.1, 0.9),
        ("max_abs", 0.1, 0.9),
        ("participation", 7.0, 2.0),
        ("distinct", 8.0, 1.0),
        ("locked", 0.0, 2.0),
        ("dead", 0.0, 2.0),
    ],
)
def test_the_value_of_the_worst_layer_is_returned_whatever_the_order(statistic, good, bad):
    rows = [row(**{statistic: good}), row(**{statistic: bad})]
    assert worst_value(rows, statistic) == worst_value(rows[::-1], statistic) == bad


def test_layers_of_different_shape_are_compared_by_what_chance_gives_them():
    # By chance: rms 1/√d, mean |c| about √(2/(πd)), participation nd/(n + d - 1).
    narrow, wide = {"inputs": 4, "rms": 0.5, "mean_abs": 0.42}, {"inputs": 400, "rms": 0.3, "mean_abs": 0.3}
    assert worst_value([row(**narrow), row(**wide)], "rms") == 0.3
    assert worst_value([row(**narrow), row(**wide)], "mean_abs") == 0.3
    few, many = row(units=64, inputs=4, participation=3.8), row(units=64, inputs=400, participation=10.0)
    assert worst_value([few, many], "participation") == 10.0


@pytest.mark.parametrize("statistic", ["locked", "dead"])
def test_units_are_counted_as_a_share_of_the_layer(statistic):
    small, large = row(units=4, **{statistic: 3.0}), row(units=100, **{statistic: 10.0})
    assert worst_value([small, large], statistic) == 3.0
    assert worst_value([row(units=4, distinct=2.0), row(units=100, distinct=90.0)], "distinct") == 2.0


def test_layers_where_similarity_says_nothing_count_only_if_there_is_no_other():
    flat, deep = row(inputs=2, rms=1.0, distinct=4.0), row(rms=0.2, distinct=8.0)
    assert worst_value([flat, deep], "rms") == 0.2
    assert worst_value([flat], "rms") == 1.0
    assert worst_value([flat, deep], "distinct") == 4.0  # counts are exact in any number of inputs


def test_layers_without_a_finite_value_are_left_out():
    assert worst_value([row(rms=nan), row(rms=0.2)], "rms") == 0.2
    assert math.isnan(worst_value([row(rms=nan)], "rms"))
    assert math.isnan(worst_value([], "rms"))


def test_the_value_is_a_plain_float():
    assert type(worst_value([row(distinct=3)], "distinct")) is float


def test_an_unknown_statistic_is_an_error():
    with pytest.raises(ValueError, match="Expected `statistic` to be one of 'mean', 'rms'.*Did you mean 'distinct'"):
        worst_value([row()], "distinkt")
