"""The layers of a model by their paths."""

from typing import Any


def layer_paths(model: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """List `(path, layer)` of all layers of a model, nested ones behind those that hold them."""
    found: list[tuple[str, Any]] = []
    for layer in model._flatten_layers(include_self=False, recursive=False):
        if layer is getattr(model, "_functional", None):
            continue
        path = f"{prefix}{layer.name}"
        found.append((path, layer))
        found.extend(layer_paths(layer, f"{path}/"))
    return found
