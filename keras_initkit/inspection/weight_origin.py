"""Where equal weights come from, as far as the values and the initializer of a layer tell."""

from typing import Any

import keras
import numpy as np

from keras_initkit.inspection.state import LayerState


def origin_of(state: LayerState, layer: Any) -> str:
    """Return a sentence about the values of the kernel and the initializer that gave them."""
    kernel = state.units.kernel
    made = _initializer_text(layer)
    if not np.isfinite(kernel).all() or not kernel.size:
        return ""
    low, high = float(kernel.min()), float(kernel.max())
    if low == high:
        return f"The weights into them are all {low + 0.0:g}{made}."
    if (kernel == kernel[:, :1]).all():
        return f"Every unit has the same weights{made}."
    if (kernel == kernel[:1]).all():
        return f"Every unit has one value for all its inputs{made}."
    if state.similarity is not None and state.similarity.distinct < kernel.shape[1]:
        return f"The layer has {state.similarity.distinct} different sets of incoming weights{made}."
    return f"Their weights differ only in a way that a permutation of the next layer takes back{made}."


def is_made_of_copies(state: LayerState) -> bool:
    """Return whether units have useful weights of which some are copies, so that a little noise is enough."""
    kernel = state.units.kernel
    columns = np.unique(kernel, axis=1).shape[1] if kernel.size <= 5_000_000 else kernel.shape[1]
    return columns > 1 and bool(kernel.any(axis=0).all())


def _initializer_text(layer: Any) -> str:
    for holder, name in ((layer, "kernel"), (layer, "embeddings"), (getattr(layer, "cell", None), "kernel")):
        initializer = getattr(holder, f"{name}_initializer", None)
        if isinstance(initializer, keras.initializers.Initializer):
            config = initializer.get_config()
            value = f"({config['value']:g})" if isinstance(config.get("value"), (int, float)) else ""
            text = f"{name}_initializer is {type(initializer).__name__}{value}"
            # Random values are not equal by themselves: they were set, copied or shared.
            return f", although {text}" if hasattr(initializer, "seed") else f" ({text})"
    return ""
