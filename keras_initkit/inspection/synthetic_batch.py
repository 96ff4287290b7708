"""A batch of made-up inputs for a model whose data are not at hand."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.units.trace import Trace, functional_of

# For axes whose length the model leaves open.
_OPEN_AXIS = 32
# Operations behind which tokens are still tokens, by the names of their classes, which are not all public.
_SAME_TOKENS = ("Cast", "Identity", "Reshape", "Flatten", "Squeeze", "ExpandDims")


def synthetic_batch(model: Any, size: int = 32, *, seed: int = 0) -> Any:
    """Return `size` samples that the model takes as inputs, or None if that cannot be told from the model.

    Inputs of a float type are N(0, 1). Inputs that an Embedding reads are uniform over its `input_dim` tokens, the
    integers below it. For other inputs of integers or texts, and for subclassed models that do not say what they were
    built on, nothing is made up.

    Args:
        model: a Keras model.
        size: number of samples, at least 1. Defaults to 32.
        seed: seed of the draws. Defaults to 0.

    Returns:
        An array, or a list or dictionary of them as the model takes it. Axes whose length is open get 32 entries.
    """
    if not model.built:
        return None
    trace = Trace(model, lambda operation: isinstance(operation, keras.layers.Embedding))
    functional = functional_of(model)
    if functional is None:
        specs = _built_on(model)
        opened = len(trace.inputs) == 1
        if specs is None or not (opened or not _embeds(model)):
            return None
        parts, tensors = [specs], trace.inputs if opened else [None]
    else:
        specs, parts, tensors = functional._inputs_struct, keras.tree.flatten(functional._inputs_struct), trace.inputs
    drawn = [
        _draw(spec, size, np.random.default_rng([seed, index]), trace, tensor)
        for index, (spec, tensor) in enumerate(zip(parts, tensors, strict=True))
    ]
    return None if any(part is None for part in drawn) else keras.tree.pack_sequence_as(specs, drawn)


def _built_on(model: Any) -> Any:
    """Return the one input that a subclassed model was built on, None if it was not one tensor."""
    shapes = list((getattr(model, "_build_shapes_dict", None) or {}).values())
    if len(shapes) != 1 or not isinstance(shapes[0], (tuple, list)):
        return None
    if not all(length is None or isinstance(length, int) for length in shapes[0]):
        return None
    return keras.KerasTensor(tuple(shapes[0]), dtype=model.input_dtype)


def _draw(spec: Any, size: int, rng: np.random.Generator, trace: Trace, tensor: Any) -> NDArray[Any] | None:
    dtype = str(keras.backend.standardize_dtype(spec.dtype))
    if getattr(spec, "sparse", False) or getattr(spec, "ragged", False):
        return None
    shape = (size, *(length or _OPEN_AXIS for length in spec.shape[1:]))
    tokens, known = (None, True) if tensor is None else _tokens(tensor, trace)
    if not known:
        return None
    if tokens is not None:
        return rng.integers(0, tokens, shape).astype("int32" if "float" in dtype else dtype)
    if not keras.backend.is_float_dtype(dtype):
        return None
    # Half precision is for the model to convert to; NumPy may not know it.
    return rng.standard_normal(shape).astype("float64" if dtype == "float64" else "float32")


def _tokens(tensor: Any, trace: Trace) -> tuple[int | None, bool]:
    """Return the number of tokens if the input is read as such, and whether all layers that read it are known."""
    tokens, known = [], True
    carrying = {id(trace.canonical(tensor))}
    for call in trace.calls:
        if not any(id(trace.canonical(read)) in carrying for read in call.tensors):
            continue
        if isinstance(call.operation, keras.layers.Embedding):
            tokens.append(int(call.operation.input_dim))
        elif type(call.operation).__name__ in _SAME_TOKENS:
            carrying |= {id(trace.canonical(output)) for output in call.outputs}
        elif _embeds(call.operation):
            known = False
    return min(tokens, default=None), known


def _embeds(operation: Any) -> bool:
    inner = operation._flatten_layers() if isinstance(operation, keras.layers.Layer) else []
    return any(isinstance(layer, keras.layers.Embedding) for layer in inner)
