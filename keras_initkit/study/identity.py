"""What makes two replicas the same: data, model, initializer, seed, budget and versions."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from keras_initkit import initializers
from keras_initkit.study.data import StudyData
from keras_initkit.tracking.environment import environment
from keras_initkit.tracking.fingerprint import data_sha256
from keras_initkit.tracking.fit_params import model_params, optimizer_params


@dataclass(frozen=True)
class StudyIdentity:
    """The facts that all replicas of a study share.

    Attributes:
        params: what is shown of them in MLflow.
        reproducible: whether they determine the result: False for data that cannot be hashed.
    """

    params: dict[str, Any]
    reproducible: bool

    @classmethod
    def of(cls, model: Any, data: StudyData, epochs: int, batch_size: int) -> "StudyIdentity":
        """Collect the facts from one model of the study and its data."""
        try:
            digest, reproducible = data_sha256((data.x, data.y, data.validation)), True
        except TypeError:
            digest, reproducible = "not hashed (dataset)", False
        params = {
            **model_params(model),
            **optimizer_params(model.optimizer),
            **environment(),
            "data/sha256": digest,
            "data/samples": "unknown" if data.samples is None else data.samples,
            "batch": batch_size,
            "epochs_budget": epochs,
        }
        return cls(params, reproducible)

    @property
    def study_id(self) -> str:
        """The same for the same model, data, budget and versions, whatever the initializers and seeds."""
        return _digest(self.params)[:12]

    def replica_key(self, identifier: Any, seed: int) -> str:
        """Return the key under which a replica is found again."""
        described = initializers.describe(identifier)
        config = {k: v for k, v in described["config"].items() if k != "seed"}
        return _digest({**self.params, "initializer": [described["class"], described["name"], config], "seed": seed})


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
