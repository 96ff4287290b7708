"""StudyResults: table, sentences, figures and files, from records made by hand."""

import json

import numpy as np
import pytest

from keras_initkit.convergence import Target
from keras_initkit.study.record import Replica, worst_verdict
from keras_initkit.study.results import StudyResults
from keras_initkit.study.scoring import scored, target_of_study

TARGET = Target("loss", "min", 0.5)


def row(epoch, verdict="healthy", *, layer="hidden", distinct=4, locked=0, dead=0):
    return {
        "epoch": epoch, "layer": layer, "units": 4, "inputs": 9, "mean": 0.0, "rms": 0.3, "mean_abs": 0.2,
        "max_abs": 0.5, "participation": 3.0, "distinct": distinct, "locked": locked, "dead": dead, "null_z": 0.1,
        "verdict": verdict,
    }  # fmt: skip


def replica(name, seed, losses, **symmetry):
    rows = [row(epoch, **symmetry) for epoch in (0, 3)]
    return scored(Replica(name, seed, curves={"loss": losses}, symmetry=rows, seconds=1.0), TARGET, 3)


LOCKED = {"verdict": "locked", "distinct": 1, "locked": 4}
RECORDS = (
    replica("slow", 0, [2.0, 1.5, 1.0, 0.6]),
    replica("slow", 1, [2.0, 1.5, 0.9, 0.5]),
    replica("fast", 0, [2.0, 0.5, 0.2, 0.1]),
    replica("fast", 1, [2.0, 0.9, 0.4, 0.1]),
    replica("stuck", 0, [2.0, 1.99, 2.0, 1.98], **LOCKED),
    replica("stuck", 1, [2.0, float("nan"), float("nan"), float("nan")], **LOCKED),
    Replica("broken", 0, "failed", "ValueError: no"),
    Replica("broken", 1, "failed", "ValueError: no"),
)
PICTURES = {"fast": {"hidden": (np.eye(4), np.ones((4, 4)))}}
COLOURS = {"slow": "#000000", "fast": "#0072B2", "stuck": "#D55E00", "broken": "#009E73"}


@pytest.fixture
def results():
    return StudyResults(RECORDS, 3, TARGET, "given", COLOURS, PICTURES, "http://127.0.0.1:5000/#/x")


def test_the_table_is_what_the_curves_say(results):
    table = results.table().set_index("initializer")
    assert table.index.tolist() == ["fast", "slow", "stuck", "broken"]
    assert table["learns"].tolist() == ["yes", "some seeds", "no", "no"]
    assert table.loc["fast", "epochs_to_target"] == 1.5
    assert table.loc["slow", "epochs_to_target"] == 3.0
    assert table.loc["slow", "reached"] == 0.5
    assert table.loc["stuck", "diverged"] == 1
    assert np.isnan(table.loc["stuck", "final"])  # one of them diverged; a mean of the survivors would flatter
    assert table.loc["slow", "final"] == pytest.approx((0.6 + 0.5) / 2)
    assert table.loc["stuck", "distinct"] == 0.25
    assert table["failed"].tolist() == [0, 0, 0, 2]
    assert (table[["epochs_to_target_low"]].dropna() >= 0).all().all()
    assert (table[["epochs_to_target_high"]].dropna() <= 3).all().all()


def test_curves_are_seeds_by_epochs_with_missing_values_as_nan(results):
    assert results.curves["loss"]["fast"].tolist() == [[2.0, 0.5, 0.2, 0.1], [2.0, 0.9, 0.4, 0.1]]
    assert np.isnan(results.curves["loss"]["broken"]).all()
    assert results.seeds == [0, 1]


def test_sentences_name_numbers_locks_and_failures(results):
    lines = results.summary().split("\n")
    assert lines[0] == "Target: loss <= 0.5 (given); budget: 3 epochs."
    assert lines[1].startswith("fast: 2 of 2 seeds reach the target, on average after 1.5 epochs (95 % interval 0.0 to")
    assert "no seed reaches the target in 3 epochs, 1 diverged" in lines[3]
    assert "4 of 4 units locked before training, 4 after it" in lines[3]
    assert lines[4].startswith("broken: every replica failed")
    assert lines[5].endswith("the first broken with seed 0: ValueError: no")


@pytest.mark.parametrize("suffix", ["", ".npz"])
def test_a_file_gives_the_same_results(results, tmp_path, suffix):
    path = results.save(tmp_path / f"study{suffix}")
    assert path.name == "study.npz"
    loaded = StudyResults.load(path)
    assert loaded.table().equals(results.table())
    assert loaded.summary() == results.summary()
    assert loaded.url == results.url
    np.testing.assert_array_equal(loaded.pictures["fast"]["hidden"][1], np.ones((4, 4)))
    np.testing.assert_array_equal(loaded.curves["loss"]["stuck"], results.curves["loss"]["stuck"])


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    with pytest.raises(ValueError, match="a file written by `StudyResults.save`. Received: path='.*other.npz'"):
        StudyResults.load(tmp_path / "other.npz")
    np.savez(tmp_path / "new.npz", manifest=np.array(json.dumps({"format": 99})), pictures=np.array("[]"))
    with pytest.raises(ValueError, match="Received: format 99 .* Read it with the keras-initkit version"):
        StudyResults.load(tmp_path / "new.npz")


def test_figures_show_every_replica_and_the_same_colours(results):
    axes = results.plot("curves").axes[0]
    bold = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert list(bold) == ["slow", "fast", "stuck", "broken"]
    assert bold["fast"].get_color() == COLOURS["fast"]
    np.testing.assert_allclose(bold["fast"].get_ydata(), [2.0, 0.7, 0.3, 0.1])
    thin = [line for line in axes.lines if line.get_label().startswith("_") and len(line.get_xdata()) == 4]
    assert len(thin) == 8
    left, right = results.plot("symmetry").axes
    assert left.lines[2].get_ydata().tolist() == [0.25, 0.25]
    np.testing.assert_allclose(right.lines[0].get_ydata(), 0.3)
    ranked = results.plot("ranking").axes[0]
    assert [label.get_text() for label in ranked.get_yticklabels()] == ["fast", "slow", "stuck", "broken"]
    before, after = results.plot("heatmaps").axes[:2]
    np.testing.assert_array_equal(before.images[0].get_array(), np.eye(4))
    np.testing.assert_array_equal(after.images[0].get_array(), np.ones((4, 4)))


def test_unknown_kinds_and_metrics_are_refused(results):
    with pytest.raises(ValueError, match="Expected `kind` to be one of 'curves', 'symmetry', 'ranking', 'heatmaps'"):
        results.plot("curve")
    with pytest.raises(ValueError, match="Expected `metric` to be one of 'loss'"):
        results.plot(metric="accuracy")


def test_a_layer_of_zeros_is_locked_and_dead():
    assert worst_verdict([row(0, "dead", distinct=1, locked=4, dead=4), row(0)]) == "locked, dead"
    assert worst_verdict([row(0, "dead", dead=2), row(0)]) == "dead"
    assert worst_verdict([row(0), row(0, "transient", distinct=1)]) == "transient"
    assert worst_verdict([row(0, "exploding", locked=4), row(0)]) == "exploding"
    assert worst_verdict([row(0), row(0, "uninformative")]) == "healthy"
    assert worst_verdict([]) == "unknown"


def test_the_target_of_a_study_is_nine_tenths_of_the_way():
    target = target_of_study(RECORDS[:4])
    assert target == Target("loss", "min", pytest.approx(2.0 - 0.9 * (2.0 - 0.1)))
    assert target_of_study(RECORDS[6:]).value == 0.0


def test_no_initializer_starts_at_the_target_of_a_study():
    """A dead network that starts low must not win, and where nothing is learned nothing is reached."""
    dead = [replica("dead", seed, [0.7, 0.7, 0.7, 0.7], verdict="dead", dead=4) for seed in (0, 1)]
    learner = [replica("learner", seed, [1.5, 0.9, 0.5, 0.4]) for seed in (0, 1)]
    target = target_of_study([*dead, *learner])
    assert target.value == pytest.approx(0.7 - 0.9 * (0.7 - 0.4))
    assert target_of_study(dead).value < 0.7
    wild = Replica("wild", 0, curves={"loss": [1.0, 1e30, 1e31, 1e31]})
    assert target_of_study([*learner, wild]).value == pytest.approx(1.5 - 0.9 * (1.5 - 0.4))
    records = tuple(scored(record, target, 3) for record in (*dead, *learner))
    colours = {"dead": "#000000", "learner": "#0072B2"}
    table = StudyResults(records, 3, target, "given", colours).table()
    assert table["initializer"].tolist() == ["learner", "dead"]
    assert table["learns"].tolist() == ["yes", "no"]
