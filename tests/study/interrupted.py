"""A study with several groups that notes what it does in a file; as a script it is one that can be killed.

python -m tests.study.interrupted FOLDER ENGINE
"""

import os
import re
import sys
from pathlib import Path

import numpy as np

import keras_initkit as ik
from keras_initkit.study import grouping, journal, tracked
from keras_initkit.study.engines.sequential import SequentialEngine
from keras_initkit.study.engines.stack import Stack
from tests.study.problem import build_model, digits

INITIALIZERS, SEEDS, EPOCHS = ["zeros", "he_normal", "glorot_uniform"], 4, 2
GROUP = 3


def build_model_that_fails(kernel_initializer):
    if kernel_initializer == "glorot_uniform":
        raise RuntimeError("no such thing")
    return build_model(kernel_initializer)


def study(engine):
    x, y = digits()
    return ik.compare(
        build_model if engine == "stacked" else build_model_that_fails,
        *(x, y),
        initializers=INITIALIZERS,
        seeds=SEEDS,
        epochs=EPOCHS,
        engine=engine,
        experiment="e",
        catch=(RuntimeError,),
        verbose=0,
    )


def numbers(results):
    """All that a study tells, but for times and the ids of runs."""
    rows = results.replicas.drop(columns=["seconds", "run_id"])
    return {
        "rows": rows.to_json(double_precision=15),
        "table": results.table().to_json(double_precision=15),
        # Keras counts the models of a process in their names.
        "layers": re.sub(r"sequential(_\d+)?", "", repr([(r.symmetry, r.initial_state) for r in results.records])),
        "errors": [record.error for record in results.records],
        "summary": results.summary(),
        "engine": results.engine,
        "curves": {
            metric: {name: a.tobytes().hex() for name, a in by.items()} for metric, by in results.curves.items()
        },
        "pictures": {
            name: {layer: [np.asarray(a).tobytes().hex() for a in pair] for layer, pair in layers.items()}
            for name, layers in results.pictures.items()
        },
    }


def noting(events, patch):
    """Let the study have small groups and note what it does; `patch` is that of pytest, or `setattr`."""

    def note(*words):
        with events.open("a") as file:
            file.write(" ".join(map(str, words)) + "\n")

    def noted(owner, name, describe):
        function = getattr(owner, name)

        def call(self, *arguments, **keywords):
            note(name, *describe(self, *arguments))
            result = function(self, *arguments, **keywords)
            note(f"{name}-done", *describe(self, *arguments))
            return result

        patch(owner, name, call)

    patch(grouping, "_MOST", GROUP)
    patch(grouping, "_LEAST", 1)
    noted(Stack, "train", lambda self, *_: [f"{m.name}/{m.seed}" for m in self._members])
    noted(SequentialEngine, "_train_one", lambda _, member, *__: [f"{member.name}/{member.seed}"])
    noted(journal.GroupJournal, "keep", lambda _, __, outcomes, *___: [_name(o.replica) for o in outcomes])
    noted(tracked.StudyTracker, "record", lambda _, replica, *__: [_name(replica)])
    noted(tracked.StudyTracker, "open", lambda *_: [])
    noted(tracked.StudyTracker, "complete", lambda *_: [])
    noted(tracked.StudyTracker, "_end", lambda *_: [])


def _name(replica):
    return f"{replica.initializer}/{replica.seed}"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    os.chdir(folder)
    noting(folder / "events", setattr)
    study(sys.argv[2]).save(folder / "results.npz")
