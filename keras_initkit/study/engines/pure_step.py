"""One step of `fit` as a function from state to state, in the words of Keras' stateless interface."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_initkit.study.engines.functional_optimizer import functional_optimizer


class NotAsFit(ValueError):
    """A model does more in a step than its variables tell."""


class PureStep:
    """The training and the evaluation step of a compiled model, as functions of all its variables.

    `fit` on TensorFlow changes variables in place. Here the same operations (forward pass with `training=True`,
    compiled loss with all penalties, gradient, optimizer with weight decay, clipping, constraints and averages,
    metrics) run on values that are given, in a `keras.StatelessScope`, and the new values are returned; so a backend
    can map them over many replicas. A state is a list of tensors in the order of `variables`.

    Args:
        model: a built and compiled model whose optimizer, loss and metrics are built.

    Attributes:
        trainable: number of trainable variables, which come first in a state.
        model_variables: positions in a state of the entries of `model.variables`.
        optimizer_variables: positions of the entries of `model.optimizer.variables`.
        metric_variables: positions of the variables of loss and metrics, which start anew every epoch.
    """

    def __init__(self, model: Any):
        self._model = model
        self._optimizer = functional_optimizer(model.optimizer)
        groups = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        self.variables = [variable for group in groups for variable in group]
        self.trainable = len(model.trainable_variables)
        places = {id(variable): place for place, variable in enumerate(self.variables)}
        self.model_variables = [places[id(variable)] for variable in model.variables]
        self.optimizer_variables = [places[id(variable)] for variable in model.optimizer.variables]
        self.metric_variables = [places[id(variable)] for variable in model.metrics_variables]

    def train(self, state: Sequence[Any], batch: Any) -> tuple[list[Any], Any]:
        """Return the state after one step of `fit`, and the Euclidean norm of the gradient of the loss.

        Args:
            state: values of the variables.
            batch: `(x, y, sample_weight)`; the last two may be None.
        """
        loss_of, trained, others = self._loss_of(batch), list(state[: self.trainable]), list(state[self.trainable :])
        gradients, (others, scale) = _value_gradients(loss_of, trained, others)
        known = [keras.ops.cast(keras.ops.convert_to_tensor(g), "float32") for g in gradients if g is not None]
        norm = keras.ops.sqrt(sum(keras.ops.sum(keras.ops.square(g / scale)) for g in known))
        held = len(self.optimizer_variables)
        start = self.optimizer_variables[0] - self.trainable if held else 0
        trained, optimizer_state = self._optimizer.stateless_apply(others[start : start + held], gradients, trained)
        others[start : start + held] = optimizer_state
        return [*trained, *others], norm

    def test(self, state: Sequence[Any], batch: Any) -> list[Any]:
        """Return the state with loss and metrics of one more batch, as `evaluate` counts them."""
        with keras.StatelessScope(list(zip(self.variables, state, strict=True)), collect_losses=True) as scope:
            self._forward(batch, training=False)
            return self._values(scope)

    def results(self, metric_values: Sequence[Any]) -> dict[str, Any]:
        """Return the scalars that `fit` would log, from the values of the metric variables."""
        watched = [self.variables[place] for place in self.metric_variables]
        with keras.StatelessScope(list(zip(watched, metric_values, strict=True))):
            found = self._model.get_metrics_result()
        return {name: value for name, value in _flat(found) if len(value.shape) == 0}

    def finished(self, state: Sequence[Any]) -> list[Any]:
        """Return the state after the last epoch: averaged weights take the place of the weights if so configured."""
        with keras.StatelessScope(list(zip(self.variables, state, strict=True))) as scope:
            self._optimizer.finalize_variable_values(self.variables[: self.trainable])
            return self._values(scope)

    @property
    def averages_weights(self) -> bool:
        """Whether `finished` changes anything."""
        return bool(getattr(self._optimizer, "use_ema", False))

    def _loss_of(self, batch: Any) -> Any:
        """Return the function from variables to the loss whose gradient is taken, and everything else that changes."""

        def loss_of(trained: Sequence[Any], others: Sequence[Any]) -> tuple[Any, tuple[list[Any], Any]]:
            values = [*trained, *others]
            with keras.StatelessScope(list(zip(self.variables, values, strict=True)), collect_losses=True) as scope:
                loss = self._forward(batch, training=True)
                scale = self._optimizer.scale_loss(keras.ops.ones((), dtype="float32"))
                loss = self._optimizer.scale_loss(loss)
                return loss, (self._values(scope)[self.trainable :], scale)

        return loss_of

    def _forward(self, batch: Any, *, training: bool) -> Any:
        x, y, weight = batch
        model = self._model
        model._clear_losses()
        arguments = {"training": training} if model._call_has_training_arg else {}
        predicted = model(x, **arguments)
        loss = model._compute_loss(x=x, y=y, y_pred=predicted, sample_weight=weight, training=training)
        samples = keras.ops.shape(next(part for part in keras.tree.flatten(x) if part is not None))[0]
        model._loss_tracker.update_state(loss, sample_weight=samples)
        model.compute_metrics(x, y, predicted, sample_weight=weight)
        return loss

    def _values(self, scope: Any) -> list[Any]:
        if len(scope.state_mapping) > len(self.variables):
            raise NotAsFit(
                "a variable is changed that the model does not list, such as that of random numbers without a seed "
                "generator of the layer's own"
            )
        found = [scope.get_current_value(variable) for variable in self.variables]
        # A variable that was assigned another one holds that one, whose value only the scope knows.
        return [value.value if isinstance(value, keras.Variable) else value for value in found]


def _flat(results: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield names and tensors in the order of Keras' logs, which name the parts of a result without the whole."""
    for name, value in sorted(results.items()):
        if isinstance(value, dict):
            yield from _flat(value)
        else:
            yield name, keras.ops.convert_to_tensor(value)


def _value_gradients(loss_of: Any, trained: list[Any], others: list[Any]) -> tuple[list[Any], Any]:
    if keras.backend.backend() == "jax":
        import jax

        (_, rest), gradients = jax.value_and_grad(loss_of, has_aux=True)(trained, others)
        return gradients, rest
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(trained)
        loss, rest = loss_of(trained, others)
    # Rows of an embedding come as slices, for which Keras' optimizers have rules of their own.
    return tape.gradient(loss, trained), rest
