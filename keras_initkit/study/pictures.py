"""Cosine matrices of a study's units as named arrays, for files."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# initializer name -> layer path -> cosine matrices `(units, units)` before and after training
Pictures = dict[str, dict[str, tuple[NDArray[Any], NDArray[Any]]]]


def pack(pictures: Pictures) -> dict[str, NDArray[Any]]:
    """Return the matrices as arrays with plain names, and an index of what they show."""
    arrays: dict[str, NDArray[Any]] = {}
    index: list[list[str]] = []
    for name, layers in pictures.items():
        for layer, (before, after) in layers.items():
            arrays[f"before_{len(index)}"], arrays[f"after_{len(index)}"] = before, after
            index.append([name, layer])
    return {"pictures": np.array(json.dumps(index)), **arrays}


def unpack(arrays: Mapping[str, NDArray[Any]]) -> Pictures:
    """Return the pictures that `pack` named."""
    pictures: Pictures = {}
    for i, (name, layer) in enumerate(json.loads(str(arrays["pictures"]))):
        pictures.setdefault(name, {})[layer] = (arrays[f"before_{i}"], arrays[f"after_{i}"])
    return pictures
