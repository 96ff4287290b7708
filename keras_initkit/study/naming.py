"""Names and colours of the initializers of a study."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_initkit import initializers
from keras_initkit._checks import describe
from keras_initkit.callbacks.symmetry_figures import COLOURS

_HIDDEN = ("seed", "input_axes", "output_axes")  # set by the study or by Keras, not by the user


def named_initializers(given: Any) -> dict[str, Any]:
    """Return `{name: identifier}` for the initializers of a study.

    Strings name themselves; instances are named by their class and the arguments that differ from its defaults, such
    as `RandomNormal(stddev=0.01)`; functions by their name.

    Args:
        given: a list of identifiers, or a dict from names to identifiers. An identifier is anything that
            `ik.initializers.get` takes.

    Raises:
        ValueError: if there are none, one is unknown, or two have the same name.
    """
    if isinstance(given, Mapping):
        named = dict(given)
        wrong = [name for name in named if not isinstance(name, str) or not name]
        if wrong:
            raise ValueError(f"Expected the names of `initializers` to be texts. Received: {describe(wrong[0])}.")
    elif isinstance(given, Sequence) and not isinstance(given, str):
        named = {}
        for identifier in given:
            name = initializer_name(identifier)
            if name in named:
                raise ValueError(
                    f"Expected initializers with different names. Received: two called {name!r}. "
                    "Give a dict, {name: initializer}, to name them."
                )
            named[name] = identifier
    else:
        raise ValueError(
            "Expected `initializers` to be a list of initializers or a dict {name: initializer}. "
            f"Received: initializers={describe(given)}."
        )
    if not named:
        raise ValueError("Expected at least one initializer. Received: none.")
    for name, identifier in named.items():  # an unknown one is an error now, not after hours of training
        if initializers.get(identifier) is None:
            raise ValueError(f"Expected an initializer for {name!r}. Received: None.")
    return named


def initializer_name(identifier: Any) -> str:
    """Return a short name for an initializer, the same for equal ones."""
    if isinstance(identifier, str):
        return identifier
    resolved = initializers.get(identifier)
    if not isinstance(resolved, keras.initializers.Initializer):
        return str(getattr(resolved, "__name__", type(resolved).__name__))
    arguments = ", ".join(f"{key}={_short(value)}" for key, value in _unusual(resolved).items())
    return type(resolved).__name__ + (f"({arguments})" if arguments else "")


def colours(names: Sequence[str]) -> dict[str, str]:
    """Return one colour per initializer, the same in figures and in the MLflow UI."""
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}


def _unusual(initializer: Any) -> dict[str, Any]:
    usual = {name: p.default for name, p in inspect.signature(type(initializer).__init__).parameters.items()}
    config = initializer.get_config().items()
    return {k: v for k, v in config if k not in _HIDDEN and (k not in usual or usual[k] != v)}


def _short(value: Any) -> str:
    if isinstance(value, dict) and "class_name" in value:
        inner = value.get("config") or {}
        seedless = ", ".join(f"{k}={_short(v)}" for k, v in inner.items() if k not in _HIDDEN)
        return f"{value['class_name']}({seedless})" if seedless else str(value["class_name"])
    return f"{value:g}" if isinstance(value, float) else str(value)
