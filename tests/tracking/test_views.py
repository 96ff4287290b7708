import base64
import json
import zlib

import pytest
from mlflow import MlflowClient

from keras_initkit.tracking import views
from keras_initkit.tracking.cards import Section, View, bar, line, parallel, scatter
from keras_initkit.tracking.views import comparison_view, view_url, write_view

KEYS = [
    *(
        f"convergence/{name}"
        for name in ("epochs_to_target_capped", "reached_target", "aulc", "final_loss", "diverged")
    ),
    *("train/loss", "val/loss", "train/accuracy", "symmetry/distinct", "symmetry/locked", "symmetry/rms"),
    *(f"symmetry/dense_{i}/rms" for i in range(3)),
]


def decoded(view):
    entry = json.loads(view.value(5))
    assert set(entry) == {"name", "createdAt", "state"}
    assert entry["createdAt"] == 5
    form, packed = entry["state"].split(";")
    assert form == "deflate"
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def shown(state):
    names = {section["uuid"]: section["name"] for section in state["compareRunSections"]}
    cards = [card for card in state["compareRunCharts"] if not card["deleted"]]
    return [(names[card["metricSectionId"]], card["type"], card["metricKey"]) for card in cards]


def test_the_comparison_shows_three_sections():
    state = decoded(comparison_view("digits-1", KEYS))
    assert shown(state) == [
        ("Convergence", "BAR", "convergence/epochs_to_target_capped"),
        ("Convergence", "BAR", "convergence/reached_target"),
        ("Convergence", "BAR", "convergence/aulc"),
        ("Convergence", "BAR", "convergence/final_loss"),
        ("Curves", "LINE", "train/loss"),
        ("Curves", "LINE", "val/loss"),
        ("Curves", "LINE", "train/accuracy"),
        ("Symmetry", "LINE", "symmetry/distinct"),
        ("Symmetry", "LINE", "symmetry/locked"),
        ("Symmetry", "LINE", "symmetry/rms"),
    ]
    assert state["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "init/name"}]
    assert state["searchFilter"] == "tags.`initkit.study` = 'digits-1' and tags.`initkit.kind` = 'replica'"
    scales = {card["metricKey"]: card["scaleType"] for card in state["compareRunCharts"] if card["type"] == "LINE"}
    assert (scales["train/loss"], scales["train/accuracy"], scales["symmetry/rms"]) == ("log", "linear", "linear")


def test_only_what_was_recorded_gets_a_card_and_the_rest_is_hidden():
    state = decoded(comparison_view("s", ["train/loss", "symmetry/dense/rms"]))
    assert shown(state) == [("Curves", "LINE", "train/loss")]
    assert [section["name"] for section in state["compareRunSections"]] == ["Curves"]
    hidden = [card for card in state["compareRunCharts"] if card["deleted"]]
    assert [card["metricKey"] for card in hidden] == ["symmetry/dense/rms"]
    assert decoded(comparison_view("s", []))["compareRunCharts"] == []


@pytest.mark.parametrize("study", ["it-s/1", "it's 1"])
def test_the_filter_is_one_that_mlflow_understands(sqlite_store, study):
    client = MlflowClient(sqlite_store)
    run = client.create_run("0", tags={"initkit.study": study, "initkit.kind": "replica"})
    client.create_run("0", tags={"initkit.study": study, "initkit.kind": "summary"})
    client.create_run("0", tags={"initkit.study": "other", "initkit.kind": "replica"})
    found = client.search_runs(["0"], comparison_view(study, KEYS).search)
    assert [entry.info.run_id for entry in found] == [run.info.run_id]


def test_a_study_with_thousands_of_metrics_fits_into_the_tag(sqlite_store):
    view = comparison_view("s", [*KEYS, *(f"symmetry/block_{i}/layer_{i * 7919}/rms" for i in range(5000))])
    assert len(view.value(0)) <= 20_000
    assert len(shown(decoded(view))) == 10
    assert write_view(MlflowClient(sqlite_store), "0", view)


def test_a_view_is_saved_as_a_tag_and_replaced_by_its_id(sqlite_store):
    client = MlflowClient(sqlite_store)
    assert write_view(client, "0", comparison_view("s", KEYS))
    assert write_view(client, "0", comparison_view("s", ["train/loss"]))
    tags = client.get_experiment("0").tags
    assert [key for key in tags if key.startswith("mlflow.sharedViewState")] == [
        "mlflow.sharedViewState.initkit-comparison-s"
    ]
    assert json.loads(tags["mlflow.sharedViewState.initkit-comparison-s"])["name"] == "Initializers compared: s"


@pytest.mark.parametrize(("version", "saved"), [("3.14.9", False), ("3.15.0", True), ("4.0.0rc1", True)])
def test_versions_that_do_not_know_the_form_get_no_view(sqlite_store, monkeypatch, version, saved):
    monkeypatch.setattr(views.metadata, "version", lambda _: version)
    client = MlflowClient(sqlite_store)
    assert write_view(client, "0", comparison_view("s", KEYS)) is saved
    assert bool(client.get_experiment("0").tags) is saved


def test_a_view_that_cannot_be_saved_is_a_warning(sqlite_store):
    with pytest.warns(UserWarning, match=r"Expected to save the view .* in experiment 77. Received: MlflowException"):
        assert not write_view(MlflowClient(sqlite_store), "77", comparison_view("s", KEYS))


def test_other_cards():
    view = View("v", "V", (Section("All", (bar("a"), line("b"), scatter("a", "c"), parallel(["seed"], ["a"]))),))
    state = decoded(view)
    assert [card["type"] for card in state["compareRunCharts"]] == ["BAR", "LINE", "SCATTER", "PARALLEL"]
    assert len({card["uuid"] for card in state["compareRunCharts"]}) == 4
    assert state["groupBy"] is None


def test_the_link_opens_the_list_of_runs_with_the_view():
    assert view_url("http://127.0.0.1:5000/", "7", "initkit-comparison-s") == (
        "http://127.0.0.1:5000/#/experiments/7/runs?viewStateShareKey=initkit-comparison-s&compareRunsMode=CHART"
        "&workflowType=machine_learning"
    )
