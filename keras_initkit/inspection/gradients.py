"""One backward pass on one batch: the gradient of every trainable weight, and what it says about units."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.inspection.differentiation import differentiate
from keras_initkit.inspection.noise import noise_as
from keras_initkit.inspection.restoring import preserved
from keras_initkit.units.reading import UnitReader


@dataclass(frozen=True)
class Gradients:
    """The gradients of one backward pass.

    Attributes:
        loss: the value that was differentiated.
        from_loss: whether it is the compiled loss with regularisation; else a random linear functional of the outputs.
        variables: the trainable variables of the model.
        arrays: the gradient of each of them, in the same order; float32 or better, zeros where the loss does not
            depend on the variable.
    """

    loss: float
    from_loss: bool
    variables: tuple[Any, ...]
    arrays: tuple[NDArray[Any], ...]

    def of(self, variable: Any) -> NDArray[Any] | None:
        """Return the gradient of a variable, None if it is not a trainable one of the model."""
        found = (array for own, array in zip(self.variables, self.arrays, strict=True) if own is variable)
        return next(found, None)


def unit_gradients(model: Any, reader: UnitReader, found: Gradients) -> dict[str, NDArray[Any]]:
    """Return for every hidden layer that is trained, by its path, the gradient of the weights and bias into its units.

    The gradients are put in the place of the weights and read as those are, so a unit is here what it is there; then
    the weights are put back.

    Args:
        model: the model.
        reader: reads the units of this model.
        found: the gradients of its variables.

    Returns:
        Arrays `(inputs, units)`, the biases in further rows.
    """
    with preserved(model):
        for variable in model.variables:
            if keras.backend.is_float_dtype(variable.dtype):
                gradient = found.of(variable)
                variable.assign(keras.ops.zeros(variable.shape) if gradient is None else gradient)
        layers = reader.read().layers
    return {units.layer: np.concatenate([units.kernel, units.bias]) for units in layers if not units.frozen}


def gradients(
    model: Any, x: Any, y: Any = None, *, training: bool = True, noise: bool = False, cotangent_seed: int = 0
) -> Gradients:
    """Differentiate the loss of a batch by every trainable variable; the model is left as it was.

    With `y` and a compiled loss this is the loss that training starts with, with its regularisation. Otherwise it is
    (1/B) Σ cₖ·yₖ, the outputs yₖ of a batch of B samples weighted by fixed numbers cₖ ~ N(0, 1). Any two units that
    training cannot tell apart get equal gradients from that as well, and it takes no loss to say so.

    Args:
        model: a built Keras model.
        x: one batch of inputs, in the structure that the model takes.
        y: the targets of that batch, in the structure that the loss takes. Defaults to none.
        training: whether layers behave as in training. Defaults to `True`: BatchNormalization then works with the
            statistics of the batch, as it does in the first step.
        noise: whether dropout and noise layers act too. Defaults to `False`: they would tell equal units apart.
        cotangent_seed: seed of the cₖ. Defaults to 0.

    Returns:
        The `Gradients`.

    Raises:
        ValueError: if the model has no output of a float type to differentiate.
    """
    x, y = as_tensors(x), as_tensors(y)
    from_loss = y is not None and has_loss(model)
    arguments = {"training": training} if model._call_has_training_arg else {}

    def value() -> Any:
        outputs = model(x, **arguments)
        if from_loss:
            return model._compute_loss(x=x, y=y, y_pred=outputs, sample_weight=None, training=training)
        return random_functional(outputs, cotangent_seed)

    variables = list(model.trainable_variables)
    with preserved(model), noise_as(noise, model):
        scale = getattr(getattr(model, "optimizer", None), "scale_loss", lambda loss: loss)
        # Half precision: small gradients vanish without the optimizer's scale, large ones are infinite with it.
        factor = float(keras.ops.convert_to_numpy(scale(keras.ops.ones(()))))
        loss, arrays = differentiate(lambda: scale(value()), variables)
        if factor != 1 and not all(np.isfinite(array).all() for array in arrays):
            factor = 1.0
            loss, arrays = differentiate(value, variables)
    return Gradients(loss / factor, from_loss, tuple(variables), tuple(array / factor for array in arrays))


def gradient_disagreement(
    gradient: NDArray[Any], labels: NDArray[np.integer], *, signs: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """Return how far the gradient of each unit is from that of the first unit of its class.

        ρᵢ = |sᵢgᵢ - sᵣgᵣ| / (|gᵢ| + |gᵣ|)

    with gᵢ the gradient of the weights into unit i, r the first unit of its class, and |·| the Euclidean norm. 0: the
    two move alike, and stay equal if they are; 1: at least one moves in a way the other does not follow at all (the
    gradients are opposite, or one is zero). If both gradients are zero, nothing moves the units apart, and ρ is 0.
    Where gradients cancel to nothing but rounding, as behind equal outgoing weights into a softmax, ρ compares noise.

    Example:

    >>> gradient_disagreement(np.array([[1.0, 1.0, 3.0, 5.0]]), np.array([0, 0, 0, 1])).tolist()
    [0.0, 0.0, 0.5, nan]

    Args:
        gradient: array `(inputs, units)`.
        labels: integer array `(units,)`: units with the same label are in one class.
        signs: `(units,)` of 1 and -1, the sᵢ for units that are equal up to sign. Defaults to `None`: all 1.

    Returns:
        Array `(units,)` in [0, 1]; NaN for units that are alone in their class.

    Raises:
        ValueError: if `labels` does not have one entry per unit.
    """
    columns = np.asarray(gradient, np.float64) * (1.0 if signs is None else np.asarray(signs, np.float64))
    if np.shape(labels) != columns.shape[1:]:
        raise ValueError(
            f"Expected `labels` to have one entry for each of the {columns.shape[-1]} units. Received: labels of shape "
            f"{np.shape(labels)}."
        )
    _, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    reference = first[inverse]
    norms = np.linalg.norm(columns, axis=0)
    together = norms + norms[reference]
    apart = np.linalg.norm(columns - columns[:, reference], axis=0)
    disagreement = np.divide(apart, together, out=np.zeros_like(apart), where=together > 0)
    return np.where(counts[inverse] > 1, disagreement, np.nan)


def without_gradient(gradient: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which units, the columns of an array `(inputs, units)`, get exactly zero gradient."""
    return ~np.any(gradient, axis=0)


def has_loss(model: Any) -> bool:
    """Return whether the model is compiled with a loss, or computes one of its own."""
    if not getattr(model, "compiled", False):
        return False
    return model._compile_loss is not None or type(model).compute_loss is not keras.Model.compute_loss


def as_tensors(batch: Any) -> Any:
    """Return a batch with arrays as tensors, floats in Keras' default precision, as `fit` would pass them."""

    def convert(part: Any) -> Any:
        if isinstance(part, (np.ndarray, np.generic, float, int)):
            part = np.asarray(part)
            part = part.astype(keras.config.floatx()) if part.dtype.kind == "f" else part
        return part if part is None else keras.ops.convert_to_tensor(part)

    return keras.tree.map_structure(convert, batch)


def random_functional(outputs: Any, seed: int) -> Any:
    """Return (1/B) Σ cₖ·yₖ over the floating outputs yₖ of a batch of B samples, with fixed cₖ ~ N(0, 1)."""
    total: Any = 0.0
    tensors = [part for part in keras.tree.flatten(outputs) if keras.backend.is_float_dtype(_dtype(part))]
    if not tensors:
        raise ValueError(
            "Expected a model with an output of a float type, to differentiate. Received: outputs of type "
            f"{sorted({_dtype(part) for part in keras.tree.flatten(outputs)})}."
        )
    for index, tensor in enumerate(tensors):
        weights = np.random.default_rng([seed, index]).standard_normal(tuple(tensor.shape)) / max(tensor.shape[0], 1)
        total = total + keras.ops.sum(
            keras.ops.cast(tensor, "float32") * keras.ops.convert_to_tensor(weights, "float32")
        )
    return total


def _dtype(tensor: Any) -> str:
    return str(keras.backend.standardize_dtype(tensor.dtype))
