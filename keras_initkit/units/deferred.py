"""Fields of records that are worked out when they are first asked for."""

from typing import Any


class Deferred:
    """A field of a dataclass that may be given as a function without arguments, called at the first access.

    Args:
        name: name of the field.
    """

    def __init__(self, name: str):
        self._kept = f"_{name}"

    def __get__(self, record: Any, owner: type | None = None) -> Any:
        value = self if record is None else getattr(record, self._kept)
        if record is not None and callable(value):
            value = value()
            self.__set__(record, value)
        return value

    def __set__(self, record: Any, value: Any) -> None:
        object.__setattr__(record, self._kept, value)  # the records are frozen
