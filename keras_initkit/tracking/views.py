"""The saved views of the kit: what a comparison looks like in the MLflow UI, and the links that open it."""

import re
import time
import urllib.request
import warnings
from collections.abc import Collection, Iterable
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING

from keras_initkit.tracking.cards import Card, Section, View, bar, hidden, line
from keras_initkit.tracking.errors import first_line

if TYPE_CHECKING:
    from mlflow import MlflowClient

VIEW_PREFIX = "initkit-"
_FIRST_VERSION = (3, 15)  # earlier versions keep views in another form
_LONGEST = 20_000
_BARS = ("epochs_to_target_capped", "reached_target", "aulc", "final_loss")
_CURVES = ("train/loss", "val/loss", "train/accuracy", "val/accuracy")
_LOG_SCALE = ("train/loss", "val/loss")
_SYMMETRY = ("distinct", "locked", "rms")


def comparison_view(study_id: str, metric_keys: Iterable[str]) -> View:
    """Return the view that compares the initializers of a study.

    Replicas are grouped by initializer. The bar of a group is the mean over its replicas: for
    `convergence/epochs_to_target_capped`, in epochs, that is the restricted mean time to target.

    Args:
        study_id: value of the tag `initkit.study` of its runs.
        metric_keys: the metrics that were recorded; only they get cards, and those that are not part of the
            comparison (such as symmetry of single layers) get none in this view.

    Returns:
        A view with the sections Convergence, Curves and Symmetry, as far as there are metrics for them. Its id is
        `initkit-comparison-<study id>`, so that links to earlier studies of the experiment stay valid.
    """
    keys = set(metric_keys)
    scalars = [f"convergence/{name}" for name in _BARS if f"convergence/{name}" in keys]
    curves = [key for key in _CURVES if key in keys]
    symmetry = [f"symmetry/{name}" for name in _SYMMETRY if f"symmetry/{name}" in keys]
    sections = (
        Section("Convergence", tuple(bar(key) for key in scalars)),
        Section("Curves", tuple(line(key, log=key in _LOG_SCALE) for key in curves)),
        Section("Symmetry", tuple(line(key) for key in symmetry)),
    )
    columns = ["params.`init/name`", "params.`seed`", *(f"metrics.`{key}`" for key in scalars)]
    quote = '"' if "'" in study_id else "'"
    view = View(
        id=f"{VIEW_PREFIX}comparison-{re.sub('[^A-Za-z0-9_-]', '-', study_id)}",
        name=f"Initializers compared: {study_id}",
        sections=sections,
        search=f"tags.`initkit.study` = {quote}{study_id}{quote} and tags.`initkit.kind` = 'replica'",
        group_by=("init/name",),
        columns=tuple(columns),
        order_by="params.`init/name`",
    )
    return _hide(view, sorted(keys - {*scalars, *curves, *symmetry}))


def write_view(client: "MlflowClient", experiment_id: str, view: View) -> bool:
    """Save a view in an experiment, in place of an earlier one with the same id.

    Returns:
        Whether it was saved. MLflow before 3.15 does not know such views; then nothing is written. A failure is a
        warning and never an error, since the runs are complete without it.
    """
    try:
        return save_view(client, experiment_id, view)
    except Exception as error:
        warnings.warn(
            f"Expected to save the view {view.name!r} in experiment {experiment_id}. Received: {first_line(error)}. "
            "The runs are complete; only this view of them is missing.",
            stacklevel=2,
        )
        return False


def save_view(client: "MlflowClient", experiment_id: str, view: View) -> bool:
    """Do as `write_view`, but raise where the store fails."""
    if _version(client) < _FIRST_VERSION:
        return False
    client.set_experiment_tag(experiment_id, view.tag, view.value(time.time_ns() // 1_000_000))
    return True


def view_url(base_url: str, experiment_id: str, view_id: str) -> str:
    """Return the link that opens an experiment with a view. Its list of runs alone would open another page."""
    return (
        f"{base_url.rstrip('/')}/#/experiments/{experiment_id}/runs?viewStateShareKey={view_id}"
        "&compareRunsMode=CHART&workflowType=machine_learning"
    )


def _hide(view: View, keys: Collection[str]) -> View:
    """Return the view with as many metrics hidden as its tag has room for."""
    cards: list[Card] = [hidden(key, curve=not key.startswith("convergence/")) for key in keys]
    while cards and len(replace(view, hidden=tuple(cards)).value(0)) > _LONGEST - 100:
        cards = cards[: len(cards) // 2]
    return replace(view, hidden=tuple(cards))


def _version(client: "MlflowClient") -> tuple[int, int]:
    """Return the version of MLflow whose UI shows the store: that of the server, or the one installed here."""
    uri = client.tracking_uri
    if uri.startswith(("http://", "https://")):
        with urllib.request.urlopen(f"{uri.rstrip('/')}/version", timeout=5) as answer:
            text = answer.read().decode()
    else:
        text = metadata.version("mlflow")
    major, minor = re.findall(r"\d+", text)[:2]
    return int(major), int(minor)
