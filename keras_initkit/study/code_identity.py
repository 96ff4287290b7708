"""A digest of what a function does: its code, what it closes over, and the user's functions and classes it names.

Two functions with the same digest build the same model. Code of installed packages is taken by name, since the
versions of those that matter are part of a study's identity.
"""

import functools
import hashlib
import sys
import types
from typing import Any

import numpy as np

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), range)


class UnknownContent(TypeError):
    """Something a function uses has no content that could be compared."""


def code_sha256(function: Any) -> str:
    """Return the SHA-256 of a function, method, class or callable object of the user.

    Raises:
        UnknownContent: if it uses an object whose content cannot be told, such as a model or an open file.
    """
    digest = hashlib.sha256()
    try:
        _Walk(digest).add(function)
    except (RecursionError, ValueError) as error:  # ValueError: a closure over a name that has no value yet
        raise UnknownContent(str(error)) from error
    return digest.hexdigest()


class _Walk:
    def __init__(self, digest: Any):
        self._digest = digest
        self._seen: dict[int, int] = {}
        self._alive: list[Any] = []  # ids are unique only among living objects

    def add(self, value: Any) -> None:
        if id(value) in self._seen and not isinstance(value, _PLAIN):
            self._note("again", self._seen[id(value)])
            return
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)
        if isinstance(value, _PLAIN):
            self._note(type(value).__name__, value)
        elif isinstance(value, (np.ndarray, np.generic)):
            array = np.ascontiguousarray(value)
            self._note("array", array.dtype.str, array.shape)
            self._digest.update(array.tobytes())
        elif isinstance(value, (list, tuple, set, frozenset, dict)):
            self._container(value)
        elif isinstance(value, types.CodeType):
            self._code(value)
        elif isinstance(value, functools.partial):
            self.add((value.func, value.args, value.keywords))
        elif isinstance(value, np.ufunc):
            self._note("ufunc", value.__name__)
        elif isinstance(value, types.ModuleType):
            self._note("module", value.__name__)
        elif _is_installed(value):
            self._note("installed", value.__module__, value.__qualname__)
        elif isinstance(value, (types.FunctionType, types.MethodType)):
            self._function(value)
        elif isinstance(value, type):
            self._class(value)
        else:
            self._object(value)

    def _note(self, *parts: Any) -> None:
        self._digest.update(repr(parts).encode())

    def _container(self, value: Any) -> None:
        self._note(type(value).__name__, len(value))
        if isinstance(value, dict):
            for key, entry in value.items():
                self.add(key)
                self.add(entry)
            return
        for entry in sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value:
            self.add(entry)

    def _code(self, code: types.CodeType) -> None:
        self._note("code", code.co_code, code.co_names, code.co_varnames)
        for constant in code.co_consts:
            self.add(constant)

    def _function(self, function: Any) -> None:
        if isinstance(function, types.MethodType):
            self.add(function.__self__)
            function = function.__func__
        self.add(function.__code__)
        self.add(function.__defaults__)
        self.add(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            self.add(cell.cell_contents)
        for name in sorted(_global_names(function.__code__)):
            if name in function.__globals__:
                self._note("global", name)
                self.add(function.__globals__[name])

    def _class(self, cls: type) -> None:
        self._note("class", cls.__name__)
        for base in cls.__bases__:
            self.add(base)
        for name, member in sorted(vars(cls).items()):
            if isinstance(member, (staticmethod, classmethod)):
                member = member.__func__
            if isinstance(member, property):
                member = member.fget
            if isinstance(member, (types.FunctionType, *_PLAIN)) and name not in ("__module__", "__doc__"):
                self._note("member", name)
                self.add(member)

    def _object(self, value: Any) -> None:
        self.add(type(value))
        configured = getattr(value, "get_config", None)
        if callable(configured) and not hasattr(value, "layers"):
            self.add(configured())
        elif hasattr(value, "__dict__") and type(value).__module__ not in sys.stdlib_module_names:
            self.add(dict(sorted(vars(value).items())))
        else:
            raise UnknownContent(f"the content of a {type(value).__name__} is not known")


def _global_names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _global_names(constant)
    return names


def _is_installed(value: Any) -> bool:
    """Return whether a function or class is part of an installed package or of Python."""
    name = getattr(value, "__module__", None)
    if not isinstance(name, str) or not hasattr(value, "__qualname__"):
        return False
    if isinstance(value, types.BuiltinFunctionType) or name.partition(".")[0] in sys.stdlib_module_names - {"__main__"}:
        return True
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file or name.partition(".")[0] == "keras_initkit"
