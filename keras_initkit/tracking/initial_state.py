"""What a model starts from: the initializers of every layer and the weights they drew."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from keras_initkit.tracking.fingerprint import array_sha256

_MOST_LISTED = 8  # more names or seeds than that are no longer read in a table; the artifact has all of them


def initial_state(model: Any) -> list[dict[str, Any]]:
    """Return the initializers and weights of every layer of a model, nested layers, cells and attention included.

    Args:
        model: a built Keras model. Its weights are read, nothing is changed.

    Returns:
        One dict per layer that has initializers or weights of its own, in the order in which Keras walks the model:

        - `layer`: path of the layer, `class`: name of its class;
        - `initializers`: dict from attribute (`"kernel_initializer"`) to `name`, `class`, `config` and the resolved
          `seed` of the initializer;
        - `weights`: list of dicts with `name`, `shape`, `dtype`, `mean`, `std` and `sha256` (of dtype, shape and
          bytes); mean and standard deviation are in the unit of the weight.
    """
    rows = []
    for layer in _layers(model):
        initializers = dict(_initializers(layer))
        weights = [_weight_facts(weight) for weight in _own_weights(layer)]
        if initializers or weights:
            path = getattr(layer, "path", None) or layer.name
            rows.append(
                {"layer": path, "class": type(layer).__name__, "initializers": initializers, "weights": weights}
            )
    return rows


def initial_params(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the params that sum up `initial_state`, for comparing runs.

    Returns:
        `init/name`, `init/class` and `init/seed` of the initializers of kernels and embeddings (the different ones in
        order of appearance, joined by ", "; their number if there are more than 8), `init/<key>` for each entry of
        their config if they have the same one, and `init/weights_sha`: equal if and only if all weights start with
        the same bytes.
    """
    found = [facts for row in rows for name, facts in row["initializers"].items() if _is_main(name)]
    params: dict[str, Any] = {}
    if found:
        params["init/name"] = _joined(facts["name"] for facts in found)
        params["init/class"] = _joined(facts["class"] for facts in found)
        params["init/seed"] = _joined(facts["seed"] for facts in found)
        configs = [{key: value for key, value in (facts["config"] or {}).items() if key != "seed"} for facts in found]
        if all(config == configs[0] for config in configs):
            params |= {f"init/{key}": value for key, value in configs[0].items() if value is not None}
    digest = hashlib.sha256("".join(weight["sha256"] for row in rows for weight in row["weights"]).encode())
    params["init/weights_sha"] = digest.hexdigest()
    return params


def _layers(model: Any) -> Iterator[Any]:
    # Keras lists only the layers of models in public; cells and the parts of attention are tracked below them.
    yield from model._flatten_layers(include_self=True, recursive=True)


def _own_weights(layer: Any) -> list[Any]:
    parts = layer._flatten_layers(include_self=False, recursive=False)
    inherited = {id(weight) for part in parts for weight in part.weights}
    return [weight for weight in layer.weights if id(weight) not in inherited]


def _initializers(layer: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and description of each initializer the layer itself holds.

    Attributes that start with an underscore are templates whose copies the parts of the layer hold.
    """
    from keras_initkit.initializers.description import describe

    for name, value in vars(layer).items():
        if name.endswith("_initializer") and not name.startswith("_") and value is not None:
            yield name, describe(value)


def _weight_facts(weight: Any) -> dict[str, Any]:
    array = np.asarray(weight.numpy())
    numbers = array.astype(np.float64) if array.size and array.dtype.kind != "U" else None
    return {
        "name": weight.name,
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "mean": None if numbers is None else float(numbers.mean()),
        "std": None if numbers is None else float(numbers.std()),
        "sha256": array_sha256(array),
    }


def _is_main(name: str) -> bool:
    return name in ("kernel_initializer", "embeddings_initializer", "depthwise_initializer", "pointwise_initializer")


def _joined(values: Iterator[Any]) -> str:
    different = list(dict.fromkeys(str(value) for value in values))
    return ", ".join(different) if len(different) <= _MOST_LISTED else f"{len(different)} different ones"
