"""The calls of a model's layers and operations in order, with nested and subclassed models and layers opened up."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_initkit.units.undisturbed import undisturbed


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer or operation.

    Attributes:
        operation: the layer or operation.
        args: positional arguments; symbolic tensors among them are those of `tensors`.
        kwargs: keyword arguments.
        tensors: the symbolic tensors among the arguments, in order.
        outputs: the symbolic tensors it gives.
    """

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: list[Any]
    outputs: list[Any]


class Trace:
    """The calls of a model, from its inputs to its outputs.

    Functional models have their graph. Subclassed models and layers made of other layers are opened by calling their
    `call` with symbolic tensors, which works where it uses layers and `keras.ops`; nothing is computed. What cannot be
    opened stays one call.

    Args:
        model: a built model.
        is_known: whether an operation is to be left as it is, since its meaning is known.

    Attributes:
        calls: list of `Call`, in an order in which they can be computed.
        inputs: the symbolic tensors the model is given.
        outputs: those it gives; none if the model could not be opened.
    """

    def __init__(self, model: Any, is_known: Callable[[Any], bool]):
        self._is_known = is_known
        self._same: dict[int, Any] = {}
        self._kept: list[Any] = []  # tensors are told apart by identity, so none of them may go
        self.calls: list[Call] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        with undisturbed(model):
            self._open_model(model)

    def canonical(self, tensor: Any) -> Any:
        """Return the one tensor that stands for this one inside and outside of nested models."""
        while id(tensor) in self._same:
            tensor = self._same[id(tensor)]
        return tensor

    def keep(self, tensors: list[Any]) -> None:
        """Keep further tensors as long as the trace lives."""
        self._kept += tensors

    def _open_model(self, model: Any) -> None:
        functional = functional_of(model)
        if functional is not None:
            self.inputs = keras.tree.flatten(functional.inputs)
            self.outputs = keras.tree.flatten(functional.outputs)
            self._follow(self.inputs, self.outputs)
            return
        for batch in (None, 2):  # some calls need a batch size
            given = symbolic_inputs(model, batch)
            if given is None:
                return
            tensors = keras.tree.flatten(given)
            outputs = _call_symbolically(model, *given)
            if outputs is not None:
                self.inputs, self.outputs = tensors, outputs
                self._kept += tensors
                self._follow(tensors, outputs)
                return

    def _follow(self, inputs: list[Any], outputs: list[Any]) -> None:
        """Record the calls that lead from the inputs to the outputs."""
        for node in _nodes_between(inputs, outputs):
            self._record(node.operation, node.arguments.args, node.arguments.kwargs, node.outputs)

    def _record(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: list[Any]) -> None:
        tensors = [part for part in keras.tree.flatten((args, kwargs)) if isinstance(part, keras.KerasTensor)]
        self._kept += [*tensors, *outputs]
        if isinstance(operation, keras.layers.InputLayer):
            return
        if self._is_known(operation):
            self.calls.append(Call(operation, args, kwargs, tensors, outputs))
            return
        inner = functional_of(operation)
        if inner is not None and len(keras.tree.flatten(inner.inputs)) == len(tensors):
            given, gives = keras.tree.flatten(inner.inputs), keras.tree.flatten(inner.outputs)
            if len(gives) == len(outputs):
                self._nest(tensors, outputs, given, gives)
                return
        if isinstance(operation, keras.layers.TimeDistributed) and len(outputs) == 1:
            self._open_time_distributed(operation.layer, tensors, outputs)
            return
        opened = _call_symbolically(operation, *args, **kwargs) if isinstance(operation, keras.layers.Layer) else None
        given = {id(tensor) for tensor in tensors}
        if opened is None or len(opened) != len(outputs) or any(id(part) in given for part in opened):
            self.calls.append(Call(operation, args, kwargs, tensors, outputs))
            return
        self._kept += opened
        for inside, outside in zip(opened, outputs, strict=True):
            self._same[id(outside)] = inside
        self._follow(tensors, opened)

    def _nest(self, tensors: list[Any], outputs: list[Any], given: list[Any], gives: list[Any]) -> None:
        """Record a nested model. Its own tensors stand for one call only, so each further call gets fresh ones."""
        inside: dict[int, Any] = {id(inner): outer for inner, outer in zip(given, tensors, strict=True)}
        self._kept += [*given, *gives]
        for node in _nodes_between(given, gives):
            if isinstance(node.operation, keras.layers.InputLayer):
                continue
            args, kwargs = keras.tree.map_structure(
                lambda part: inside.get(id(part), part), (tuple(node.arguments.args), dict(node.arguments.kwargs))
            )
            fresh = [keras.KerasTensor(tensor.shape, tensor.dtype) for tensor in node.outputs]
            inside.update({id(tensor): new for tensor, new in zip(node.outputs, fresh, strict=True)})
            self._record(node.operation, args, kwargs, fresh)
        for inner, outer in zip(gives, outputs, strict=True):
            self._same[id(outer)] = inside[id(inner)]

    def _open_time_distributed(self, layer: Any, tensors: list[Any], outputs: list[Any]) -> None:
        """Record the call of the layer inside at one point in time, where the last axis is the same."""
        sequence = tensors[0]
        step = keras.KerasTensor((sequence.shape[0], *sequence.shape[2:]), sequence.dtype)
        after = keras.KerasTensor((outputs[0].shape[0], *outputs[0].shape[2:]), outputs[0].dtype)
        self._same[id(step)] = sequence
        self._same[id(outputs[0])] = after
        self._kept += [step, after]
        self._record(layer, (step,), {}, [after])


def functional_of(model: Any) -> Any:
    """Return the functional model that this one is, or holds as a Sequential model does; None if there is none."""
    functional = getattr(model, "_functional", None) or model
    if not hasattr(functional, "_nodes_by_depth"):
        return None
    # A functional model may be given a `call` of its own, which then decides.
    return None if _overrides_call(model) else functional


def _overrides_call(model: Any) -> bool:
    owner = next(cls for cls in type(model).__mro__ if "call" in vars(cls))
    return not owner.__module__.startswith("keras.")


def symbolic_inputs(model: Any, batch: int | None) -> tuple[Any, ...] | None:
    """Return symbolic arguments of the shapes a model was built with; None if they are not known."""
    shapes = getattr(model, "_build_shapes_dict", None)
    if not shapes:
        return None

    def tensor(shape: Any) -> Any:
        return keras.KerasTensor((batch, *shape[1:]), getattr(model, "input_dtype", None) or "float32")

    try:
        return tuple(_map_shapes(tensor, shape) for shape in shapes.values())
    except (TypeError, ValueError, IndexError):
        return None


def _map_shapes(function: Callable[[Any], Any], shape: Any) -> Any:
    if isinstance(shape, dict):
        return {key: _map_shapes(function, part) for key, part in shape.items()}
    if isinstance(shape, (list, tuple)) and shape and isinstance(shape[0], (list, tuple, dict)):
        return [_map_shapes(function, part) for part in shape]
    return function(tuple(shape))


def _call_symbolically(layer: Any, *args: Any, **kwargs: Any) -> list[Any] | None:
    """Return what the `call` of a layer gives for symbolic tensors, as a flat list; None if it cannot work on them."""
    parameters = inspect.signature(layer.call).parameters
    if "training" in parameters and kwargs.get("training") is None:
        kwargs = {**kwargs, "training": True}
    kwargs = {key: value for key, value in kwargs.items() if value is not None or key in parameters}
    try:
        with keras.StatelessScope():  # what `call` assigns or draws is not kept
            outputs = keras.tree.flatten(layer.call(*args, **kwargs))
    except Exception:  # code of the user that needs real numbers, or functions of one backend
        return None
    return outputs if outputs and all(isinstance(part, keras.KerasTensor) for part in outputs) else None


def _nodes_between(inputs: list[Any], outputs: list[Any]) -> list[Any]:
    """Return the nodes that lead from the inputs to the outputs, in an order in which they can be computed."""
    known = {id(tensor) for tensor in inputs}
    ordered: list[Any] = []
    done: set[int] = set()
    waiting: list[tuple[Any, bool]] = [(tensor, False) for tensor in reversed(outputs)]
    while waiting:
        what, complete = waiting.pop()
        if complete:
            ordered.append(what)
            continue
        history = getattr(what, "_keras_history", None)
        if id(what) in known or history is None or history.operation is None:
            continue
        node = history.operation._inbound_nodes[history.node_index]
        if id(node) in done:
            continue
        done.add(id(node))
        waiting.append((node, True))
        waiting += [(tensor, False) for tensor in reversed(node.arguments.keras_tensors)]
    return ordered
