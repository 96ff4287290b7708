"""Initializers by name, configuration or instance, the kit's and Keras' alike."""

import difflib
from importlib import import_module
from typing import Any

import keras

from keras_initkit._checks import describe
from keras_initkit._registry import BY_NAME, KIT, ROWS, Row

_PREFIX = f"{KIT}>"
_KIT_NAMES = {name: row.name for row in ROWS if row.source == KIT for name in (row.name, row.alias, _PREFIX + row.name)}


def get(identifier: Any) -> Any:
    """Return the initializer that `identifier` stands for.

    Args:
        identifier: what `keras.initializers.get` takes (a name, an instance, a class, a configuration, a function of
            shape and dtype, an array, None), or the name of one of the kit's classes as `"ScaledOrthogonal"`,
            `"scaled_orthogonal"` or `"keras_initkit>ScaledOrthogonal"`, or a name registered with Keras.

    Returns:
        An initializer or another function of shape and dtype; None for None.

    Raises:
        ValueError: if the name is unknown, with the nearest names; if the class needs arguments; if the object is
            nothing that gives initial values.

    Example:
        >>> get("scaled_orthogonal").gain
        1.0
    """
    if isinstance(identifier, str):
        return _by_name(identifier)
    if isinstance(identifier, dict):
        return _by_config(identifier)
    if isinstance(identifier, type):
        return _without_arguments(identifier, identifier)
    try:
        return keras.initializers.get(identifier)
    except ValueError as error:
        raise ValueError(
            "Expected an initializer: a name, an instance, a class, a configuration, an array or a function of shape "
            f"and dtype. Received: {describe(identifier)}."
        ) from error


def serialize(initializer: Any) -> Any:
    """Return the configuration of an initializer, from which `get` builds it again; JSON can hold it."""
    return keras.initializers.serialize(initializer)


def class_of(row: Row) -> type:
    """Return the class that a row of the registry describes."""
    module = keras.initializers if row.source != KIT else import_module("keras_initkit.initializers")
    found: type = getattr(module, row.name)
    return found


def _by_name(name: str) -> Any:
    if name in _KIT_NAMES:
        return _without_arguments(class_of(BY_NAME[_KIT_NAMES[name]]), name)
    try:
        return keras.initializers.get(name)
    except ValueError as error:
        raise ValueError(
            "Expected the name of an initializer, as `keras-initkit list` shows them. "
            f"Received: {name!r}.{_nearest(name)}"
        ) from error


def _by_config(config: dict[str, Any]) -> Any:
    name = config.get("class_name")
    if not isinstance(name, str):
        raise ValueError(
            "Expected a configuration with the keys 'class_name' and 'config', as `serialize` returns it. "
            f"Received: {describe(config)}."
        )
    try:
        if name in _KIT_NAMES and config.get("registered_name") is None:
            return _build(_KIT_NAMES[name], config.get("config") or {})
        return keras.initializers.get(config)
    except TypeError as error:
        raise ValueError(f"Expected arguments that {name} takes. Received: {describe(config)}. {error}") from error
    except ValueError as error:
        if "Could not interpret" not in str(error):
            raise
        raise ValueError(
            "Expected the configuration of an initializer that Keras or the kit defines, or that was imported. "
            f"Received: {describe(config)}.{_nearest(name)}"
        ) from error


def _build(name: str, config: dict[str, Any]) -> Any:
    cls: Any = class_of(BY_NAME[name])
    return cls.from_config(config)


def _without_arguments(cls: Any, identifier: Any) -> Any:
    try:
        return cls()
    except TypeError as error:
        row = BY_NAME.get(cls.__name__)
        example = ", ".join(f"{key}={value!r}" for key, value in row.example.items()) if row else "..."
        raise ValueError(
            f"Expected an instance, as {cls.__name__} needs arguments. Received: {describe(identifier)}. "
            f"Write {cls.__name__}({example}), for example."
        ) from error


def _nearest(name: str) -> str:
    """Return a hint with the nearest names, in the way of writing that the user chose."""
    written = [row.alias if name == name.lower() else row.name for row in ROWS]
    known = {candidate.lower(): candidate for candidate in written}
    near = difflib.get_close_matches(name.lower(), sorted(known), n=3)
    return f" Did you mean {' or '.join(repr(known[candidate]) for candidate in near)}?" if near else ""
