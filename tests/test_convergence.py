"""Numbers of learning curves: each definition on curves made by hand, and what holds for every curve."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from keras_initkit.convergence import Target, convergence_metrics, parse_target

ANY = st.lists(st.floats(), min_size=1, max_size=12)
LOSSES = st.lists(st.floats(0.01, 0.99), min_size=1, max_size=12)  # none diverges: no ratio reaches 100


def metrics_of(curve, budget=None, **options):
    return convergence_metrics(curve, budget=budget or max(len(curve) - 1, 1), **options)


# Time to target -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "target", "epoch"),
    [
        ([2.0, 1.0, 0.5, 0.4], 0.5, 2),  # equality counts
        ([2.0, 1.0, 0.5, 0.4], 0.6, 2),
        ([2.0, 1.0, 0.5, 0.4], 3.0, 0),  # there before training
        ([2.0, 0.4, 1.0, 1.0], 0.5, 1),  # once is enough
        ([2.0, 1.0, 0.5, 0.4], 0.4, 3),
        ([2.0, 1.0, 0.5, 0.4], 0.39, None),
        ([2.0], 2.0, 0),
        ([2.0], 1.0, None),
    ],
)
@pytest.mark.parametrize("budget", [3, 7])
def test_epochs_to_target(curve, target, epoch, budget):
    for sign, direction in ((1, "min"), (-1, "max")):
        found = convergence_metrics(
            [sign * value for value in curve], budget=budget, target=sign * target, direction=direction
        )
        assert found["reached_target"] == float(epoch is not None)
        assert found.get("epochs_to_target") == epoch
        assert found["epochs_to_target_capped"] == (budget if epoch is None else epoch)


def test_without_a_target_nothing_is_said_about_it():
    assert not [key for key in metrics_of([2.0, 1.0]) if "target" in key]


@pytest.mark.parametrize("bad", [math.nan, math.inf, 200.1, -math.inf])
def test_a_target_reached_before_the_divergence_was_reached(bad):
    found = metrics_of([2.0, 1.0, bad, 1.0], target=1.5)
    assert (found["diverged"], found["reached_target"], found["epochs_to_target"]) == (1, 1, 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 200.1, -math.inf])
def test_a_target_reached_after_the_divergence_was_not(bad):
    found = metrics_of([2.0, bad, 1.0, 1.0], target=1.5)
    assert (found["diverged"], found["reached_target"], found["epochs_to_target_capped"]) == (1, 0, 3)
    assert "epochs_to_target" not in found


@given(ANY, st.floats(-3, 3), st.data())
def test_the_future_does_not_change_the_time_to_target(curve, target, data):
    """The time is a stopping time, so cutting the budget censors it and nothing else."""
    budget = len(curve) + 3
    whole = convergence_metrics(curve, budget=budget, target=target)
    cut = data.draw(st.integers(1, budget))
    found = convergence_metrics(curve[: cut + 1], budget=cut, target=target)
    assert found["epochs_to_target_capped"] == min(whole["epochs_to_target_capped"], cut)
    assert found["reached_target"] == float(whole.get("epochs_to_target", math.inf) <= cut)


@given(LOSSES, st.floats(0.01, 0.99), st.sampled_from([np.sqrt, np.log1p, lambda x: x / (2 - x), lambda x: 3 * x]))
def test_rising_transformations_keep_the_time_to_target(curve, target, transform):
    before, after = transform(np.array([*curve, target])), np.array([*curve, target])
    assume(((before[:-1] <= before[-1]) == (after[:-1] <= after[-1])).all())  # rounding made no ties
    keys = ("reached_target", "epochs_to_target", "epochs_to_target_capped")
    plain = metrics_of(curve, 12, target=target)
    found = convergence_metrics(before[:-1], budget=12, target=float(before[-1]))
    assert [found.get(key) for key in keys] == [plain.get(key) for key in keys]


@given(LOSSES, st.floats(0.01, 0.99), st.integers(12, 20))
def test_max_is_min_upside_down(curve, target, budget):
    falling = convergence_metrics(curve, budget=budget, target=target)
    rising = convergence_metrics([-value for value in curve], budget=budget, target=-target, direction="max")
    for key in ("diverged", "reached_target", "epochs_to_target", "epochs_to_target_capped", "plateau_epochs"):
        assert rising.get(key) == falling.get(key)
    assert (rising["best"], rising["final"]) == (-falling["best"], -falling["final"])
    assert "aulc" not in rising
    assert "initial_slope" not in rising


@given(LOSSES, st.floats(0.01, 0.99), st.floats(0, 1))
def test_an_easier_target_is_reached_no_later(curve, target, ease):
    hard, easy = (metrics_of(curve, 12, target=value) for value in (target, target + ease))
    assert easy["epochs_to_target_capped"] <= hard["epochs_to_target_capped"]
    assert easy["reached_target"] >= hard["reached_target"]


# Divergence -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "diverged"),
    [
        ([2.0, 1.0], 0),
        ([2.0, 200.0], 0),
        ([2.0, 200.1], 1),
        ([2.0, 1.0, math.nan], 1),
        ([2.0, math.inf], 1),
        ([math.nan, 1.0], 1),
        ([math.inf, 1.0], 1),
        ([0.0, 1e9], 0),  # no scale to compare with
        ([-1.0, 1e9], 0),
        ([1e308, 1.7e308], 0),
    ],
)
def test_divergence(curve, diverged):
    assert metrics_of(curve)["diverged"] == diverged


def test_metrics_that_should_rise_diverge_only_by_not_being_finite():
    assert metrics_of([0.001, 0.9], direction="max")["diverged"] == 0
    assert metrics_of([0.5, math.nan], direction="max")["diverged"] == 1


# Area, slope, plateau, best, final ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "budget", "area"),
    [
        ([2.0, 2.0, 2.0], 2, 1.0),
        ([2.0, 0.0, 0.0], 2, 0.25),
        ([2.0, 1.0], 1, 0.75),
        ([4.0, 2.0], 4, (0.75 + 3 * 0.5) / 4),  # the last value is kept to the budget
        ([4.0], 5, 1.0),
        ([2.0, 1.0, math.nan, 1.0], 3, (0.75 + 50.25 + 100) / 3),
        ([2.0, 1.0, math.nan], 5, (0.75 + 50.25 + 300) / 5),
        ([2.0, 1e9], 3, (50.5 + 200) / 3),
        ([1.0, -1.0], 1, 0.0),
    ],
)
def test_area_under_the_curve(curve, budget, area):
    assert metrics_of(curve, budget)["aulc"] == pytest.approx(area)


@pytest.mark.parametrize("start", [0.0, -1.0, math.nan, math.inf])
def test_no_area_and_no_slope_without_a_positive_start(start):
    found = metrics_of([start, 1.0, 0.5])
    assert "aulc" not in found
    assert "initial_slope" not in found


def test_numbers_too_large_for_a_float_are_left_out():
    found = metrics_of([1e-300, -1e10])
    assert "aulc" not in found
    assert found["best"] == -1e10


@given(LOSSES, st.integers(11, 30), st.integers(-5, 5))
def test_area_is_a_mean_of_relative_losses(curve, budget, power):
    found = convergence_metrics(curve, budget=budget)["aulc"]
    held = np.array(curve + [curve[-1]] * (budget + 1 - len(curve))) / curve[0]
    assert found == pytest.approx(((held[1:] + held[:-1]) / 2).mean())
    assert 0 <= found <= 100
    scaled = convergence_metrics([value * 2.0**power for value in curve], budget=budget)
    assert scaled["aulc"] == found


@pytest.mark.parametrize("points", [2, 3, 4, 5, 9])
@pytest.mark.parametrize("rate", [-0.3, 0.0, 0.2])
def test_slope_of_an_exponential(points, rate):
    curve = 2.5 * np.exp(rate * np.arange(points))
    assert metrics_of(curve)["initial_slope"] == pytest.approx(rate, abs=1e-14)


def test_slope_is_that_of_the_first_four_values():
    curve = [3.0, 2.5, 2.6, 1.0, 0.9]
    expected = stats.linregress(range(4), np.log(curve[:4])).slope
    assert metrics_of(curve)["initial_slope"] == pytest.approx(expected)
    assert metrics_of([*curve[:4], 50.0])["initial_slope"] == metrics_of(curve)["initial_slope"]


@pytest.mark.parametrize("curve", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, math.nan], [1.0, 0.5, math.inf]])
def test_no_slope(curve):
    assert "initial_slope" not in metrics_of(curve)


@pytest.mark.parametrize(
    ("curve", "budget", "plateau"),
    [
        ([2.0, 1.0, 0.5], 2, 1),
        ([2.0, 2.0, 2.0, 1.0], 3, 3),
        ([2.0, 1.96, 1.95, 1.0], 3, 2),  # 5 % of the gain of 1 is 0.05
        ([2.0, 2.5, 2.0, 1.0], 3, 3),
        ([2.0, 2.0, 2.0], 9, 9),
        ([2.0, 3.0], 9, 9),
        ([2.0], 9, 9),
        ([2.0, 1.9, math.nan, 0.0], 3, 1),
        ([math.nan, 1.0], 4, 4),
        ([2.0, math.nan], 4, 4),
    ],
)
def test_plateau(curve, budget, plateau):
    assert metrics_of(curve, budget)["plateau_epochs"] == plateau


@given(LOSSES, st.integers(-9, 9), st.sampled_from([-8.0, 0.0, 8.0]))
def test_plateau_does_not_change_with_the_units_of_the_loss(curve, power, offset):
    curve = [round(64 * value) / 64 for value in curve]  # so that shifts and powers of two are exact
    plain = metrics_of(curve, 12, direction="max")["plateau_epochs"]
    moved = [value * 2.0**power + offset for value in curve]
    assert metrics_of(moved, 12, direction="max")["plateau_epochs"] == plain


@pytest.mark.parametrize(
    ("curve", "direction", "best", "final"),
    [
        ([2.0, 0.5, 1.0], "min", 0.5, 1.0),
        ([0.1, 0.9, 0.8], "max", 0.9, 0.8),
        ([2.0, 0.5, math.nan], "min", 0.5, None),
        ([math.inf, 3.0, -math.inf], "min", 3.0, None),
        ([2.0], "min", 2.0, 2.0),
    ],
)
def test_best_and_final(curve, direction, best, final):
    found = metrics_of(curve, direction=direction)
    assert (found["best"], found.get("final")) == (best, final)


def test_a_curve_without_a_finite_value():
    found = metrics_of([math.nan, math.inf], 5, target=1.0)
    assert found == {"diverged": 1.0, "reached_target": 0.0, "epochs_to_target_capped": 5.0, "plateau_epochs": 5.0}


# Every curve ----------------------------------------------------------------------------------------------------------


@given(ANY, st.integers(0, 5), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["min", "max"]))
def test_all_numbers_are_finite_floats_within_their_bounds(curve, longer, target, direction):
    budget = max(len(curve) - 1 + longer, 1)
    found = convergence_metrics(curve, budget=budget, target=target, direction=direction)
    assert all(type(value) is float and math.isfinite(value) for value in found.values())
    assert 0 <= found["epochs_to_target_capped"] <= budget
    assert 0 <= found["plateau_epochs"] <= budget
    assert {found["diverged"], found["reached_target"]} <= {0.0, 1.0}
    assert found.get("epochs_to_target", budget) == found["epochs_to_target_capped"]
    assert ("epochs_to_target" in found) == (found["reached_target"] == 1)
    if math.isfinite(curve[-1]):
        assert found["final"] <= found["best"] if direction == "max" else found["final"] >= found["best"]


def test_arrays_of_any_float_type():
    curve = [2.0, 1.0, 0.5]
    expected = metrics_of(curve, target=1.0)
    for values in (np.array(curve, np.float32), np.array(curve, np.float16), tuple(curve)):
        assert metrics_of(values, target=1.0) == expected
    assert metrics_of(curve, np.int64(2), target=np.float32(1)) == expected


@pytest.mark.parametrize("curve", [[], [3.0, 2.0, 1.0, 0.5], [[1.0, 2.0]], 1.0], ids=str)
def test_curves_that_do_not_fit(curve):
    with pytest.raises(
        ValueError,
        match=r"Expected `curve` to hold the value before training and at most 2 epochs \(the budget\)\. "
        r"Received: curve=array of shape",
    ):
        convergence_metrics(curve, budget=2)


@pytest.mark.parametrize("budget", [0, -1, 2.0, True, None])
def test_bad_budgets(budget):
    with pytest.raises(ValueError, match="Expected `budget` to be an integer of at least 1. Received: budget="):
        convergence_metrics([1.0], budget=budget)


@pytest.mark.parametrize("target", [math.nan, math.inf, "loss <= 1", True])
def test_bad_targets(target):
    with pytest.raises(ValueError, match="Expected `target` to be a finite number. Received: target="):
        metrics_of([1.0, 0.5], target=target)


def test_bad_directions():
    with pytest.raises(ValueError, match=r"Expected `direction` to be one of 'min', 'max'\..*Did you mean 'min'\?"):
        metrics_of([1.0], direction="mini")


# Targets --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("val_accuracy >= 0.95", Target("val_accuracy", "max", 0.95)),
        ("loss<=.5", Target("loss", "min", 0.5)),
        ("  loss  <=  1e-3 ", Target("loss", "min", 1e-3)),
        ("mean_reward >= -12.", Target("mean_reward", "max", -12.0)),
        ("val_top-5 accuracy >= +7E+1", Target("val_top-5 accuracy", "max", 70.0)),
        ("head/f1.macro >= 1", Target("head/f1.macro", "max", 1.0)),
        (0.25, Target("loss", "min", 0.25)),
        (0, Target("loss", "min", 0.0)),
        (np.float32(0.5), Target("loss", "min", 0.5)),
        (np.int64(-2), Target("loss", "min", -2.0)),
        (Target("auc", "max", 0.9), Target("auc", "max", 0.9)),
    ],
)
def test_parsing_targets(text, target):
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "loss",
            "loss 0.5",
            "loss < 0.5",
            "loss == 0.5",
            "0.5",
            "<= 0.5",
            "loss <= ",
            "loss <= 1.2.3",
            "loss <= .",
        ),
        *("loss <= nan", "loss <= inf", "loss <= 1e999", "loss <= 95 %", "loss <= 1 <= 2", "loss <= 1e", "1loss <= 1"),
        *(True, None, math.nan, math.inf, -math.inf, ["loss", 1]),
    ],
)
def test_texts_that_are_no_targets(text):
    with pytest.raises(
        ValueError,
        match=r"Expected `target` to be a number \(the loss to reach\) or a text such as 'val_accuracy >= 0.95'\. "
        r"Received: target=",
    ):
        parse_target(text)


@given(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True),
    st.sampled_from(["min", "max"]),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_target_reads_back_its_own_text(metric, direction, value):
    value = float(f"{value:.6g}")
    assume(math.isfinite(value))
    target = Target(metric, direction, value)
    assert parse_target(str(target)) == target
