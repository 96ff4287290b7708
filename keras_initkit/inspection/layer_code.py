"""Lines of code that reach a layer of a model and change its weights, for users to paste."""

from typing import Any

import keras

_FOR_ACTIVATION = {"selu": "lecun_normal", "relu": "he_normal", "leaky_relu": "he_normal", "elu": "he_normal"}


def suggested_initializer(activation: str | None) -> str:
    """Return the name of a random initializer of Keras that keeps the scale behind this activation."""
    if activation in ("gelu", "silu", "swish", "mish", "relu6"):
        return "he_normal"
    return _FOR_ACTIVATION.get(activation or "", "glorot_uniform")


def layer_expression(model: Any, path: str) -> str:
    """Return an expression that gives the layer at a path of the model, such as `model.get_layer("hidden")`."""
    expression, holder = "model", model
    for name in path.split("/"):
        layer = next(
            (part for part in holder._flatten_layers(include_self=False, recursive=False) if part.name == name), None
        )
        if layer is None:
            return f"{expression}  # then the layer {path!r}"
        expression += _step(holder, layer)
        holder = layer
    return expression


def _step(holder: Any, layer: Any) -> str:
    if isinstance(holder, keras.Model) and any(part is layer for part in holder.layers):
        same_name = [part for part in holder.layers if part.name == layer.name]
        if len(same_name) == 1:
            return f'.get_layer("{layer.name}")'
    for attribute, value in vars(holder).items():
        if attribute.startswith("_"):
            continue
        if value is layer:
            return f".{attribute}"
        if isinstance(value, (list, tuple)) and any(part is layer for part in value):
            return f".{attribute}[{[part is layer for part in value].index(True)}]"
    for attribute, value in vars(holder).items():
        if value is layer:
            return f".{attribute}"
    inner = list(holder._flatten_layers(include_self=False, recursive=False))
    return f"._flatten_layers(include_self=False, recursive=False)[{inner.index(layer)}]"


def new_values(expression: str, variable: str, initializer: str) -> str:
    """Return a line that draws a variable of a built layer anew."""
    target = f"{expression}.{variable}"
    return f'w = {target}; w.assign(keras.initializers.get("{initializer}")(w.shape))'


def small_noise(expression: str, variable: str) -> str:
    """Return a line that makes equal values of a variable differ by about a tenth of their size."""
    target = f"{expression}.{variable}"
    return f"w = {target}; w.assign(w * (1 + keras.random.normal(w.shape, stddev=0.1)))"


def main_variable(layer: Any) -> str | None:
    """Return the attribute that holds the weights into the units of a layer, such as `"kernel"`; None if not known."""
    for name in ("kernel", "embeddings", "pointwise_kernel", "cell.kernel"):
        holder: Any = layer
        for part in name.split("."):
            holder = getattr(holder, part, None)
        if isinstance(holder, keras.Variable):
            return name
    own = {
        name: value
        for name, value in vars(layer).items()
        if isinstance(value, keras.Variable) and value.trainable and len(value.shape) >= 2
    }
    return next(iter(own)) if len(own) == 1 else None
