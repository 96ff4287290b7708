"""From a Keras model to the plan of its network."""

from typing import Any

import keras

from keras_initkit.units.operations import handler_of, has_units
from keras_initkit.units.plan import NotUnderstood, Plan, UnitsAt
from keras_initkit.units.trace import Call, Trace


class ModelPlan:
    """The plan of a model, and which of its units are hidden.

    Args:
        model: a built model.

    Attributes:
        plan: the plan.
        opened: whether the way from the inputs of the model to its outputs is known.
    """

    def __init__(self, model: Any):
        # Tensors are told apart by identity, so the trace has to live as long as the plan.
        self._trace = Trace(model, lambda operation: handler_of(operation) is not None)
        self.opened = bool(self._trace.outputs)
        self.plan = Plan(canonical=self._trace.canonical)
        self._made_by: dict[int, Call] = {}
        for layer in model._flatten_layers():
            for variable in layer._trainable_variables + layer._non_trainable_variables:
                self.plan.owners[id(variable)] = layer
        mixing = {id(call) for call in self._trace.calls if self._add(call)}
        for tensor in self._trace.outputs:
            self.plan.observe(tensor)
        self._leading = self._tensors_before_weights(mixing)
        met = {id(units.layer) for units in self.plan.units}
        self._alone = [layer for layer in model._flatten_layers() if id(layer) not in met and self._add_alone(layer)]
        self.plan.cancel_shifts()

    def hidden_units(self, layer: Any) -> list[UnitsAt]:
        """Return the units of all calls of a layer; none if they are outputs of the model, or the layer has none."""
        uses = [units for units in self.plan.units if units.layer is layer]
        calls = [self._made_by[id(units)] for units in uses]
        hidden = any(id(self._trace.canonical(out)) in self._leading for call in calls for out in call.outputs)
        return uses if hidden or layer in self._alone else []

    def _add(self, call: Call) -> bool:
        """Add a call and return whether it has weights that mix features."""
        mixes, known = self.plan.mixes, len(self.plan.units)
        handler = handler_of(call.operation)
        if handler is not None:
            try:
                handler(call, self.plan)
            except NotUnderstood:
                handler = None
        for units in self.plan.units[known:]:
            self._made_by[id(units)] = call
        if handler is None:
            self.plan.not_understood(call.tensors, call.outputs)
            return bool(getattr(call.operation, "weights", ()))
        return self.plan.mixes > mixes

    def _add_alone(self, layer: Any) -> bool:
        """Add a layer that was not met, with unknown layers around it."""
        if not has_units(layer) or not layer.built or not layer._build_shapes_dict:
            return False
        shape = next(iter(layer._build_shapes_dict.values()))
        try:
            given = keras.KerasTensor((None, *shape[1:]))
            gives = keras.KerasTensor((None, *layer.compute_output_shape((None, *shape[1:]))[1:]))
        except Exception:  # a layer with several inputs, or of a size that the shapes do not tell
            return False
        self._trace.keep([given, gives])
        self._add(Call(layer, (given,), {}, [given], [gives]))
        self.plan.not_understood([gives], [])
        return any(units.layer is layer for units in self.plan.units)

    def _tensors_before_weights(self, mixing: set[int]) -> set[int]:
        """Return which tensors lead to a layer with weights that mix features."""
        leading: set[int] = set()
        canonical = self._trace.canonical
        for call in reversed(self._trace.calls):
            if id(call) in mixing or any(id(canonical(tensor)) in leading for tensor in call.outputs):
                leading.update(id(canonical(tensor)) for tensor in call.tensors)
        return leading
