"""What makes two replicas the same: data, code, model, initializer, seed, budget and versions."""

import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_initkit import initializers
from keras_initkit.study.code_identity import code_sha256
from keras_initkit.study.data import StudyData
from keras_initkit.tracking.environment import environment
from keras_initkit.tracking.fit_params import model_params, optimizer_params


@dataclass(frozen=True)
class StudyIdentity:
    """The facts that all replicas of a study share.

    Attributes:
        params: what is shown of them in MLflow.
        reproducible: whether they determine the result: False for data or code whose content cannot be told.
    """

    params: dict[str, Any]
    reproducible: bool

    @classmethod
    def of(cls, build_model: Any, model: Any, data: StudyData, epochs: int, batch_size: int) -> "StudyIdentity":
        """Collect the facts from the user's function, one model of the study, and its data."""
        digest = data.sha256()
        code = _or_none(code_sha256, build_model)
        params = {
            **model_params(model),
            **optimizer_params(model.optimizer),
            **environment(),
            "data/sha256": digest or "not hashed (dataset)",
            "code/sha256": code or "not hashed (it uses objects of unknown content)",
            "data/samples": "unknown" if data.samples is None else data.samples,
            "batch": batch_size,
            "epochs_budget": epochs,
        }
        return cls(params, digest is not None and code is not None)

    @property
    def study_id(self) -> str:
        """The same for the same model, data, budget and versions, whatever the initializers and seeds."""
        return _digest(self.params)[:12]

    def replica_key(self, identifier: Any, seed: int) -> str:
        """Return the key under which a replica is found again."""
        described = initializers.describe(identifier)
        config = {k: v for k, v in described["config"].items() if k != "seed"}
        resolved = initializers.get(identifier)
        # Without known code a key that no other study has: such a replica is never reused.
        code = _or_none(code_sha256, type(resolved) if described["config"] else resolved) or uuid.uuid4().hex
        facts = {"initializer": [described["class"], described["name"], config], "code": code, "seed": seed}
        return _digest({**self.params, **facts})


def _or_none(digest: Callable[[Any], str], value: Any) -> str | None:
    try:
        return digest(value)
    except TypeError:
        return None


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
