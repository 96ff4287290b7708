"""The comparison as a reader sees it: MLflow's own server and UI in Chromium."""

import json
import re
import urllib.parse

import pytest

from keras_initkit.tracking.views import view_url
from tests.mlflow_fixtures import page_text

pytestmark = pytest.mark.browser


def test_the_link_of_the_view_shows_our_charts_grouped_by_initializer(study_server, browser, tmp_path):
    wanted = [
        *("Convergence (4)", "Curves (3)", "Symmetry (3)"),
        *("convergence/epochs_to_target_capped", "convergence/reached_target", "convergence/aulc"),
        *("convergence/final_loss", "train/loss", "val/loss", "train/accuracy"),
        *("symmetry/distinct", "symmetry/locked", "symmetry/rms"),
        *("Group: he_normal", "Group: zeros", "Group by: init/name", "4 matching runs"),
    ]
    url = view_url(study_server.url, study_server.experiment_id, study_server.view.id)
    text = page_text(browser, url, wanted)
    browser.save_screenshot(str(tmp_path / "comparison.png"))
    assert [word for word in wanted if word not in text] == []
    assert "symmetry/dense_1/rms" not in text
    assert "convergence/diverged" not in text
    assert "Unassigned" not in text  # the summary run stays out of the groups
    assert re.findall(r"\b([A-Z][a-z]+) \(\d+\)", text) == ["Convergence", "Curves", "Symmetry"]


def test_two_runs_can_be_compared_side_by_side(study_server, browser, tmp_path):
    runs = urllib.parse.quote(json.dumps([study_server.run_ids[0], study_server.run_ids[2]]))
    experiments = urllib.parse.quote(json.dumps([study_server.experiment_id]))
    wanted = ["he_normal · seed 0", "zeros · seed 0", "convergence/final_loss"]
    url = f"{study_server.url}/#/compare-runs?runs={runs}&experiments={experiments}"
    text = page_text(browser, url, wanted)
    browser.save_screenshot(str(tmp_path / "compare-runs.png"))
    assert [word for word in wanted if word not in text] == []
