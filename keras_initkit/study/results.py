"""What a study gives: tidy rows, curves, a ranked table, sentences, figures, one file. Read without Keras."""

import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import check_choice
from keras_initkit.convergence import Target
from keras_initkit.statistics import mean_interval, success_rate
from keras_initkit.study.pictures import Pictures, pack, unpack
from keras_initkit.study.record import Replica, worst_verdict

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_FORMAT = 1
_STUCK = 0.1  # less of the way to the target than this is wobble, not learning


@dataclass(frozen=True)
class StudyResults:
    """The replicas of a study and what follows from them.

    Attributes:
        records: one `Replica` per initializer and seed, in order.
        budget: epochs that every replica got.
        target: what counts as having learned.
        target_source: `"given"`, or how the target was taken from the study.
        colours: initializer name -> colour, the same in all figures and in the MLflow UI.
        pictures: initializer name -> layer -> cosine matrices `(units, units)` before and after training, of the first
            seed.
        url: address of the comparison in the MLflow UI, empty if nothing was tracked.
        engine: how the replicas were trained, and why.
    """

    records: tuple[Replica, ...]
    budget: int
    target: Target
    target_source: str
    colours: dict[str, str]
    pictures: Pictures = field(default_factory=dict)
    url: str = ""
    engine: str = ""

    @property
    def initializers(self) -> list[str]:
        """Names of the initializers, in the order they were given."""
        return list(dict.fromkeys(record.initializer for record in self.records))

    @property
    def seeds(self) -> list[int]:
        """Seeds of the replicas, in the order they were given."""
        return list(dict.fromkeys(record.seed for record in self.records))

    @property
    def failed(self) -> list[Replica]:
        """The replicas that ended with an error."""
        return [record for record in self.records if record.status == "failed"]

    @cached_property
    def curves(self) -> dict[str, dict[str, NDArray[np.float64]]]:
        """`curves[metric][initializer]` is an array `(S, E + 1)`: seeds by epochs, epoch 0 first, NaN where missing."""
        metrics = list(dict.fromkeys(name for record in self.records for name in record.curves))
        return {metric: {name: self._stack(metric, name) for name in self.initializers} for metric in metrics}

    def _stack(self, metric: str, initializer: str) -> NDArray[np.float64]:
        rows = [record.curves.get(metric, []) for record in self._of(initializer)]
        stacked = np.full((len(rows), self.budget + 1), np.nan)
        for row, values in zip(stacked, rows, strict=True):
            row[: len(values)] = values
        return stacked

    def _of(self, initializer: str) -> list[Replica]:
        return [record for record in self.records if record.initializer == initializer]

    @cached_property
    def replicas(self) -> "pd.DataFrame":
        """One row per replica: initializer, seed, status, error, seconds, convergence numbers, verdict, run_id."""
        import pandas as pd

        rows = []
        for record in self.records:
            row: dict[str, Any] = {"initializer": record.initializer, "seed": record.seed, "status": record.status}
            row |= record.metrics
            row |= {
                "verdict": record.verdict,
                "seconds": record.seconds,
                "error": record.error,
                "run_id": record.run_id,
            }
            rows.append(row)
        return pd.DataFrame(rows)

    def table(self) -> "pd.DataFrame":
        """Return one row per initializer, the best first.

        They are ranked by the mean of the capped epochs to the target (the restricted mean time to target), then by
        the area under the learning curve. `_low` and `_high` are the ends of 95 % intervals over the seeds: Student's t
        for means, Wilson's for `reached`, the share of replicas that reached the target. `learns` is `"yes"` if all
        reach it, `"some seeds"`, `"too slowly"` if some replica goes more than a tenth of the way from its start to
        the target, `"met at start"` if the target was met before training, else `"no"`; replicas that diverge do not
        learn. Failed replicas are counted in `failed` and left out of the rest.
        """
        import pandas as pd

        rows = [self._table_row(name) for name in self.initializers]
        rows.sort(key=lambda row: (_last(row["epochs_to_target"]), _last(row["aulc"]), row["initializer"]))
        table = pd.DataFrame(rows)
        table.insert(0, "rank", range(1, len(rows) + 1))
        return table

    def _table_row(self, name: str) -> dict[str, Any]:
        records = self._of(name)
        done = [record for record in records if record.status == "finished"]
        row: dict[str, Any] = {"initializer": name, "replicas": len(done), "failed": len(records) - len(done)}
        reached = sum(record.metrics.get("reached_target", 0.0) for record in done)
        rate = success_rate(int(reached), len(done)) if done else (math.nan,) * 3
        row |= dict(zip(("reached", "reached_low", "reached_high"), rate, strict=True))
        capped = _mean_row("epochs_to_target", [r.metrics["epochs_to_target_capped"] for r in done])
        # The capped mean lies between 0 and the budget; so does its interval.
        row |= {key: float(np.clip(value, 0, self.budget)) for key, value in capped.items()}
        row |= _mean_row("aulc", [r.metrics["aulc"] for r in done if "aulc" in r.metrics])
        plateau = _mean_row("plateau_epochs", [r.metrics["plateau_epochs"] for r in done])
        row |= {key: float(np.clip(value, 0, self.budget)) for key, value in plateau.items()}
        row |= _mean_row("final", [r.curves[self.target.metric][-1] for r in done])
        row["learns"] = self._learns(done)
        row["diverged"] = int(sum(record.metrics.get("diverged", 0.0) for record in done))
        row["verdict_before"] = _most_common([worst_verdict(record.symmetry_at(0)) for record in done])
        row["verdict"] = _most_common([record.verdict for record in done])
        row["distinct"] = _distinct(done)
        return row

    def _learns(self, records: list[Replica]) -> str:
        """Return in a word whether the replicas learn."""
        able = [record for record in records if not record.metrics["diverged"]]
        if able and all(record.metrics.get("epochs_to_target") == 0 for record in able):
            return "met at start"
        reached = [record for record in able if record.metrics["reached_target"] == 1]
        if reached:
            return "yes" if len(reached) == len(records) else "some seeds"
        moving = [record for record in able if not record.has_dead_layer and self._progress(record) > _STUCK]
        return "too slowly" if moving else "no"

    def _progress(self, record: Replica) -> float:
        """Return the largest share of the way from the start to the target that the metric went."""
        curve = np.asarray(record.curves[self.target.metric])
        curve = curve[np.isfinite(curve)]
        way = self.target.value - curve[0] if len(curve) else 0.0
        return float(((curve - curve[0]) / way).max()) if way else 0.0

    def summary(self) -> str:
        """Return the result in sentences, one line per initializer, the best first."""
        from keras_initkit.study.sentences import summary_sentences

        return "\n".join(summary_sentences(self))

    def plot(self, kind: str = "curves", *, metric: str | None = None) -> "Figure":
        """Draw the study.

        Args:
            kind: `"curves"` (every replica, median and range), `"symmetry"` (share of distinct units over epochs),
                `"ranking"` (epochs to the target with intervals) or `"heatmaps"` (cosines of the units before and
                after training). Defaults to `"curves"`.
            metric: Keras name of the metric to draw with `"curves"`. Defaults to the target's metric.

        Returns:
            A matplotlib Figure.

        Raises:
            ValueError: for an unknown kind or metric.
        """
        from keras_initkit.study import figures

        kinds = {
            "curves": lambda: figures.curves(self, check_choice("metric", metric or self.target.metric, self.curves)),
            "symmetry": lambda: figures.symmetry(self),
            "ranking": lambda: figures.ranking(self),
            "heatmaps": lambda: figures.heatmaps(self),
        }
        return kinds[check_choice("kind", kind, kinds)]()

    def save(self, path: str | Path) -> Path:
        """Write the results to one `.npz` file, readable by `StudyResults.load` without Keras.

        Args:
            path: file to write; `.npz` is added if it has no suffix.

        Returns:
            The path written.
        """
        path = Path(path)
        path = path if path.suffix else path.with_suffix(".npz")
        manifest = {
            "format": _FORMAT,
            "records": [record.to_dict() for record in self.records],
            "budget": self.budget,
            "target": [self.target.metric, self.target.direction, self.target.value],
            "target_source": self.target_source,
            "colours": self.colours,
            "url": self.url,
            "engine": self.engine,
        }
        with path.open("wb") as file:
            np.savez_compressed(file, manifest=np.array(json.dumps(manifest)), **pack(self.pictures))  # type: ignore[arg-type]
        return path

    @classmethod
    def load(cls, path: str | Path) -> "StudyResults":
        """Read what `save` wrote.

        Raises:
            ValueError: if the file is not one that `save` wrote.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                content = json.loads(str(file["manifest"]))
                pictures = unpack(file)
        except (KeyError, ValueError, EOFError) as error:
            raise ValueError(
                f"Expected a file written by `StudyResults.save`. Received: path={str(path)!r}."
            ) from error
        if content.get("format") != _FORMAT:
            raise ValueError(
                f"Expected results of format {_FORMAT}. Received: format {content.get('format')!r} in {str(path)!r}. "
                "Read it with the keras-initkit version that wrote it."
            )
        return cls(
            records=tuple(Replica.from_dict(record) for record in content["records"]),
            budget=content["budget"],
            target=Target(*content["target"]),
            target_source=content["target_source"],
            colours=content["colours"],
            pictures=pictures,
            url=content["url"],
            engine=content.get("engine", ""),
        )


def _last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _most_common(words: list[str]) -> str:
    """Return the word if all agree, else all of them with how often each was seen."""
    counts = {word: words.count(word) for word in dict.fromkeys(words)}
    if len(counts) <= 1:
        return next(iter(counts), "failed")
    return "; ".join(f"{word} {count}/{len(words)}" for word, count in counts.items())


def _mean_row(key: str, values: list[float]) -> dict[str, float]:
    """Return mean and interval as three entries of a table row; NaN if there is no value or one is not finite.

    A mean over those that did not diverge would be that of the survivors.
    """
    complete = bool(values) and all(map(math.isfinite, values))
    interval = mean_interval(values) if complete else (math.nan, math.nan, math.nan)
    return dict(zip((key, f"{key}_low", f"{key}_high"), interval, strict=True))


def _distinct(records: list[Replica]) -> float:
    """Return the smallest share of distinct units over layers and seeds at the last measured epoch."""
    shares = [
        row["distinct"] / row["units"]
        for record in records
        for row in record.symmetry_at(-1)
        if math.isfinite(row["distinct"])
    ]
    return min(shares, default=math.nan)
