"""How many replicas fit the memory."""

import math
import os
from typing import Any

from keras_initkit.study.engines.group import Training
from keras_initkit.study.memory import total_memory

# A stack that fails or is killed costs all of its replicas.
_MOST = 128
_SHARE = 0.4  # of the memory, for the stack
_COPIES = 6  # of the weights: the weights, their gradients, and both anew while a step runs


def most_replicas(model: Any, training: Training) -> int:
    """Return how many replicas of a model make a stack, a power of two that depends on the machine's memory.

    Estimated are, for each replica, the weights with their gradients and optimizer state, and for one batch what the
    layers give, forward and backward.
    """
    weights = sum(math.prod(v.shape) * _width(v.dtype) for v in model.variables)
    slots = sum(math.prod(v.shape) * _width(v.dtype) for v in model.optimizer.variables)
    outputs = sum(_output_size(layer) for layer in model._flatten_layers(include_self=False)) * training.batch_size
    each = _COPIES * weights + 2 * slots + 3 * 4 * outputs
    # Not what is free at this moment: the same study is to be cut into the same stacks every time.
    fitting = max(1, int(_SHARE * _part_of_machine() * total_memory() / max(each, 1)))
    return min(_MOST, 2 ** int(math.log2(fitting)))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory is short, on any backend."""
    text = str(error)
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "OOM when allocating" in text


def _part_of_machine() -> float:
    """Return what part of the machine this process is to use: less than all of it for one of several workers."""
    cores = os.cpu_count() or 1
    return min(1.0, int(os.environ.get("TF_NUM_INTRAOP_THREADS") or cores) / cores)


def _width(dtype: str) -> int:
    return {"float64": 8, "int64": 8, "float16": 2, "bfloat16": 2, "bool": 1}.get(dtype, 4)


def _output_size(layer: Any) -> int:
    """Return the number of values a layer gives per sample, 0 if it was not called in a graph of layers."""
    try:
        shape = layer.output.shape
    except (AttributeError, ValueError):
        return 0
    return math.prod(size for size in shape[1:] if size is not None)
