"""Fingerprints: the same digest for the same data or architecture, in every process and on every machine."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import describe
from keras_initkit.tracking.text import plain

_BLOCK = 1 << 20  # rows are hashed in blocks of about so many bytes, so that a view needs no second copy


class _Digest(Protocol):
    def update(self, data: Any, /) -> None: ...


def data_sha256(data: Any) -> str:
    """Return the SHA-256 of nested data: dtype, shape and every byte of every array, keys and structure.

    Args:
        data: an array, tensor, table or number, or dicts, lists and tuples of them; None where nothing was given.

    Returns:
        64 hexadecimal digits. Equal values in equal types and structure give equal digests, whatever their memory
        layout; dicts are taken in the order of their keys.

    Raises:
        TypeError: for data without a fixed content, such as generators, datasets or arrays of Python objects.
    """
    digest = hashlib.sha256()
    _add(digest, data)
    return digest.hexdigest()


def array_sha256(array: NDArray[Any]) -> str:
    """Return the SHA-256 of the dtype, shape and bytes of one array."""
    digest = hashlib.sha256()
    _add_array(digest, array)
    return digest.hexdigest()


def model_sha256(model: Any) -> str:
    """Return the SHA-256 of a model's architecture: its config and the shapes of its weights.

    Left out is what differs between two builds of the same network or between replicas of a study: names (Keras counts
    them per process), seeds and initializers.

    Args:
        model: a built Keras model. If it has no config, the classes of its layers stand for it.

    Returns:
        64 hexadecimal digits.
    """
    try:
        config = plain(model.get_config())
    except (NotImplementedError, TypeError):  # TypeError: an initializer or activation that cannot be serialised
        config = None
    layers = [f"{type(layer).__module__}.{type(layer).__name__}" for layer in model._flatten_layers()]
    shapes = [[list(weight.shape), str(weight.dtype)] for weight in model.weights]
    facts = {"config": _canonical(config, {}), "layers": layers, "weights": shapes}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _add(digest: _Digest, data: Any) -> None:
    if isinstance(data, Mapping):
        digest.update(f"dict {len(data)};".encode())
        for key in sorted(data, key=str):
            digest.update(f"key {len(str(key))} {key};".encode())
            _add(digest, data[key])
    elif isinstance(data, (list, tuple)) and _is_structure(data):
        digest.update(f"list {len(data)};".encode())
        for entry in data:
            _add(digest, entry)
    elif data is None:
        digest.update(b"none;")
    else:
        _add_array(digest, _to_array(data))


def _is_structure(data: Any) -> bool:
    """Whether data holds arrays, rather than being rows of numbers that make one array."""
    if isinstance(data, (list, tuple)):
        return any(entry is None or hasattr(entry, "shape") or _is_structure(entry) for entry in data)
    return isinstance(data, Mapping)


def _to_array(data: Any) -> NDArray[Any]:
    if hasattr(data, "detach"):  # a torch tensor that may need a gradient or live on a device
        data = data.detach().cpu()
    try:
        array = np.asarray(data)
    except ValueError:  # rows of different lengths
        array = np.array(None)
    if array.dtype == object:
        raise TypeError(
            "Expected arrays, tensors or tables of numbers or text, or dicts, lists and tuples of them. "
            f"Received: {describe(data)}. Load the data into arrays, or leave it out."
        )
    return array


def _add_array(digest: _Digest, array: NDArray[Any]) -> None:
    kind = array.dtype
    if kind.byteorder == ">" or (kind.byteorder == "=" and not np.little_endian):
        array = array.astype(kind.newbyteorder("<"))
    digest.update(f"array {kind.name} {array.shape};".encode())
    if array.flags.c_contiguous or array.ndim == 0:
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        return
    rows = max(1, _BLOCK // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        digest.update(np.ascontiguousarray(array[start : start + rows]).reshape(-1).view(np.uint8))


def _canonical(value: Any, numbers: Mapping[str, int]) -> Any:
    """Return a config without names, seeds and initializers.

    Functional models refer to their layers as `[name, node, tensor]`; there `numbers` gives the place of the layer in
    the list of layers. Entries `dtype` keep their names, which are those of types.
    """
    if isinstance(value, dict):
        layers = value.get("layers")
        if isinstance(layers, list):
            numbers = {layer["name"]: place for place, layer in enumerate(layers) if "name" in layer}
        left_out = ("name", "seed", "registered_name")
        return {
            key: entry if key == "dtype" else _canonical(entry, numbers)
            for key, entry in value.items()
            if key not in left_out and not key.endswith("initializer")
        }
    if isinstance(value, list):
        if len(value) == 3 and isinstance(value[0], str) and value[0] in numbers:
            return [numbers[value[0]], *value[1:]]
        return [_canonical(entry, numbers) for entry in value]
    return value
