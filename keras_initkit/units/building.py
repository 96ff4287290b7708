"""From a Keras model to the plan of its network."""

from typing import Any

import keras

from keras_initkit.units.features import NotUnderstood, UnitsAt
from keras_initkit.units.operations import handler_of, has_units
from keras_initkit.units.paths import layer_paths
from keras_initkit.units.plan import Plan
from keras_initkit.units.trace import Call, Trace

# Penalties that are the same function of every feature.
_ALIKE = (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)


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
        self._understood: set[int] = set()
        for layer in model._flatten_layers():
            for variable in layer._trainable_variables + layer._non_trainable_variables:
                self.plan.owners[id(variable)] = layer
        mixing = {id(call) for call in self._trace.calls if self._add(call)}
        for tensor in self._trace.outputs:
            self.plan.observe(tensor)
        self._leading = self._tensors_before_weights(mixing)
        self._met = self._met_layers(model)
        alone = [layer for layer in model._flatten_layers() if id(layer) not in self._met]
        self._alone = [layer for layer in alone if self._add_alone(layer)]
        self.plan.cancel_shifts()

    def hidden_units(self, layer: Any) -> list[list[UnitsAt]]:
        """Return the hidden units of a layer: for each of its kernels, those of all calls.

        Units that are outputs of the model are left out.
        """
        kernels: dict[str, list[UnitsAt]] = {}
        for units in self.plan.units:
            if units.layer is layer:
                kernels.setdefault(units.attribute, []).append(units)
        return [uses for uses in kernels.values() if self._are_hidden(uses)]

    def _are_hidden(self, uses: list[UnitsAt]) -> bool:
        calls = [self._made_by[id(units)] for units in uses]
        hidden = any(units.inside for units in uses)
        hidden |= any(id(self._trace.canonical(out)) in self._leading for call in calls for out in call.outputs)
        return hidden or any(call.operation in self._alone for call in calls)

    def unread_layers(self, model: Any) -> list[str]:
        """Return the paths of layers with weights of their own, of two axes or more, that are in no link."""
        return [
            path
            for path, layer in layer_paths(model)
            if id(layer) not in self._met | self.plan.used
            and any(
                len(variable.shape) >= 2 and id(variable) not in self.plan.used
                for variable in layer._trainable_variables
            )
        ]

    def _met_layers(self, model: Any) -> set[int]:
        """Return the layers whose part in the network is known, those inside of them included."""
        met = self._understood | {id(units.layer) for units in self.plan.units}
        for whole in [*model._flatten_layers(), *(call.operation for call in self._trace.calls)]:
            if isinstance(whole, keras.Layer) and handler_of(whole) is not None:
                met.update(id(part) for part in whole._flatten_layers(include_self=False))
        return met

    def _add(self, call: Call) -> bool:
        """Add a call and return whether it has weights that mix features."""
        before, mixes, known = self.plan.progress(), self.plan.mixes, len(self.plan.units)
        handler = None if _is_packed(call.operation) else handler_of(call.operation)
        if handler is not None:
            try:
                handler(call, self.plan)
                self._understood.add(id(call.operation))
            except NotUnderstood:
                handler = None
                self.plan.go_back(before)
        for units in self.plan.units[known:]:
            self._made_by[id(units)] = call
        if handler is None:
            self.plan.not_understood(call.tensors, call.outputs)
            return bool(getattr(call.operation, "weights", ()))
        penalty = getattr(call.operation, "activity_regularizer", None)
        if penalty is not None:
            for output in call.outputs:
                self.plan.penalise(output, alike=type(penalty) in _ALIKE)
        return self.plan.mixes > mixes

    def _add_alone(self, layer: Any) -> bool:
        """Add a layer that was not met, with unknown layers around it."""
        if not has_units(layer) or not layer.built or not layer._build_shapes_dict:
            return False
        try:
            given = [keras.KerasTensor((None, *shape[1:])) for shape in layer._build_shapes_dict.values() if shape]
            gives = keras.tree.flatten(layer.compute_output_spec(*given))
        except Exception:  # a layer with inputs in lists, or of a size that the shapes do not tell
            return False
        self._trace.keep([*given, *gives])
        known = len(self.plan.units)
        self._add(Call(layer, tuple(given), {}, given, gives))
        self.plan.not_understood(gives, [])
        return len(self.plan.units) > known

    def _tensors_before_weights(self, mixing: set[int]) -> set[int]:
        """Return which tensors lead to a layer with weights that mix features."""
        leading: set[int] = set()
        canonical = self._trace.canonical
        for call in reversed(self._trace.calls):
            if id(call) in mixing or any(id(canonical(tensor)) in leading for tensor in call.outputs):
                leading.update(id(canonical(tensor)) for tensor in call.tensors)
        return leading


def _is_packed(operation: Any) -> bool:
    """Return whether weights of a layer are stored as small integers with scales of their own, which do not train."""
    parts = operation._flatten_layers() if isinstance(operation, keras.Layer) else []
    return any(getattr(part, "quantization_mode", None) in ("int8", "int4", "gptq", "awq") for part in parts)
