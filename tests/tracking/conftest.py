"""A study written through the recorder, served to all tests of the UI."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keras_initkit.tracking.cards import View
from keras_initkit.tracking.recorder import Recorder
from keras_initkit.tracking.server import serve
from keras_initkit.tracking.views import comparison_view, write_view


@dataclass(frozen=True)
class StudyServer:
    """A study of 2 initializers x 2 seeds and a summary run, in the UI."""

    url: str
    store: str
    experiment_id: str
    view: View
    run_ids: tuple[str, ...]


def _record_study(store: str) -> tuple[str, View, tuple[str, ...]]:
    keys: set[str] = set()
    run_ids = []
    for name, pace, color in [("he_normal", 0.5, "#1f77b4"), ("zeros", 0.999, "#d62728")]:
        for seed in range(2):
            losses = {epoch: 2.3 * (pace + 0.02 * seed) ** epoch for epoch in range(6)}
            curves = {
                "train/loss": losses,
                "val/loss": {epoch: 1.1 * loss for epoch, loss in losses.items()},
                "train/accuracy": {epoch: 1 - loss / 2.5 for epoch, loss in losses.items()},
                "symmetry/distinct": dict.fromkeys(losses, 64 if name == "he_normal" else 1),
                "symmetry/locked": dict.fromkeys(losses, 0 if name == "he_normal" else 64),
                "symmetry/rms": dict.fromkeys(losses, 0.1 if name == "he_normal" else 1.0),
                "symmetry/dense_1/rms": dict.fromkeys(losses, 0.1),
            }
            scalars = {
                "convergence/epochs_to_target_capped": 2 + seed if name == "he_normal" else 5,
                "convergence/reached_target": int(name == "he_normal"),
                "convergence/aulc": 0.4 if name == "he_normal" else 1.0,
                "convergence/final_loss": losses[5],
                "convergence/diverged": 0,
            }
            tags = {"initkit.study": "digits-1", "initkit.kind": "replica", "mlflow.runColor": color}
            recorder = Recorder.open("digits", run_name=f"{name} · seed {seed}", tags=tags, tracking_uri=store)
            with recorder:
                recorder.params({"init/name": name, "seed": seed})
                recorder.curves(curves)
                recorder.scalars(scalars)
                recorder.artifact_text("note.md", recorder.run_id)
            keys |= {*curves, *scalars}
            run_ids.append(recorder.run_id)
    tags = {"initkit.study": "digits-1", "initkit.kind": "summary"}
    with Recorder.open("digits", run_name="summary", tags=tags, tracking_uri=store) as recorder:
        pass
    view = comparison_view("digits-1", keys)
    assert write_view(recorder.client, recorder.experiment_id, view)
    return recorder.experiment_id, view, tuple(run_ids)


@pytest.fixture(scope="session")
def study_server(
    migrated_store: Path, free_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StudyServer]:
    folder = tmp_path_factory.mktemp("study")
    store = f"sqlite:///{folder}/mlflow.db"
    shutil.copy(migrated_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        experiment_id, view, run_ids = _record_study(store)
        with serve(store, port=free_port) as url:
            patch.undo()
            yield StudyServer(url, store, experiment_id, view, run_ids)
