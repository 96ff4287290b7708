"""What the runs of a study hold: params, metrics and files of a replica, and those of the summary."""

import io
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_initkit.inspection.worst import STATISTICS, worst_value
from keras_initkit.study.pictures import pack
from keras_initkit.study.record import Replica
from keras_initkit.tracking.finished import PICTURES, RECORD
from keras_initkit.tracking.keys import convergence_name, log_key
from keras_initkit.tracking.study_store import Content, texts
from keras_initkit.tracking.text import json_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_initkit.study.results import StudyResults


def replica_params(initializer: str, seed: int, initial_state: Mapping[str, Any]) -> dict[str, str]:
    """Return the params that only this replica has."""
    return texts({**initial_state.get("params", {}), "init/name": initializer, "seed": seed})


def replica_content(replica: Replica, pictures: Mapping[str, Any]) -> Content:
    """Return what a run tells of a trained replica, with the cosine matrices of its units if there are any."""
    files = {
        "initializers.json": json_text(replica.initial_state.get("layers", [])).encode(),
        RECORD: json.dumps(replica.to_dict()).encode(),
    }
    if pictures:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **pack({replica.initializer: dict(pictures)}))  # type: ignore[arg-type]
        files[PICTURES] = buffer.getvalue()
    scalars = {**convergence(replica), "time/seconds": replica.seconds}
    return Content(
        params=replica_params(replica.initializer, replica.seed, replica.initial_state),
        tags=texts({"initkit.error": replica.error} if replica.error else {}),
        curves={**metric_curves(replica), **{key: {0: value} for key, value in scalars.items()}},
        files=files,
    )


def convergence(replica: Replica) -> dict[str, float]:
    """Return the numbers of a replica's learning curve under their names in MLflow."""
    return {f"convergence/{convergence_name(name)}": value for name, value in replica.metrics.items()}


def metric_curves(replica: Replica) -> dict[str, dict[int, float]]:
    """Return metrics and symmetry of every epoch, `{key: {epoch: value}}`, without values that are not finite."""
    curves = {log_key(name): dict(enumerate(values)) for name, values in replica.curves.items()}
    by_epoch: dict[int, list[dict[str, Any]]] = {}
    for row in replica.symmetry:
        by_epoch.setdefault(row["epoch"], []).append(row)
    layers = dict.fromkeys(row["layer"] for row in replica.symmetry)
    keys = {(name, layer): log_key(f"symmetry/{layer}/{name}") for layer in layers for name in STATISTICS}
    for epoch, rows in by_epoch.items():
        for statistic in STATISTICS:
            curves.setdefault(f"symmetry/{statistic}", {})[epoch] = worst_value(rows, statistic)
            for row in rows:
                curves.setdefault(keys[statistic, row["layer"]], {})[epoch] = row[statistic]
    return {key: {step: v for step, v in points.items() if math.isfinite(v)} for key, points in curves.items()}


def summary_figures(results: "StudyResults") -> dict[str, bytes]:
    """Return the figures of a study as PNG files."""
    files = {f"figures/curves_{metric}.png": _png(results.plot("curves", metric=metric)) for metric in results.curves}
    files["figures/ranking.png"] = _png(results.plot("ranking"))
    if results.pictures:
        files["figures/symmetry.png"] = _png(results.plot("symmetry"))
        files["figures/heatmaps.png"] = _png(results.plot("heatmaps"))
    return files


def summary_content(results: "StudyResults", figures: Mapping[str, bytes]) -> Content:
    """Return what the summary run tells: the target, table and sentences, a row per replica, and the figures."""
    tables = {
        "summary.txt": results.summary() + "\n",
        "table.csv": results.table().to_csv(index=False),
        "replicas.csv": results.replicas.to_csv(index=False),
    }
    return Content(
        params=texts({"target": str(results.target), "target/source": results.target_source}),
        files={**{name: text.encode() for name, text in tables.items()}, **figures},
    )


def _png(figure: "Figure") -> bytes:
    """Draw a figure once; `savefig` does it twice, to find out first what it will cover."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()
