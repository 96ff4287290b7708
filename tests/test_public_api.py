"""The public names: they resolve, are documented, and match what type checkers see."""

import ast
import importlib.metadata
import inspect
from pathlib import Path

import pytest

import keras_initkit as ik


@pytest.mark.parametrize("name", ik.__all__)
def test_public_names_resolve_and_are_documented(name):
    assert inspect.getdoc(getattr(ik, name))
    assert name in dir(ik)


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(ik.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in ast.walk(block) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == set(ik.__all__) == set(ik._EXPORTS)


def test_version_is_that_of_the_distribution():
    assert ik.__version__ == importlib.metadata.version("keras-initkit")


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="module 'keras_initkit' has no attribute 'SymetryMonitor'"):
        ik.SymetryMonitor  # noqa: B018
