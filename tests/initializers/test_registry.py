"""The table of initializers: complete, readable without Keras, and the way to every name."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_initkit
import keras_initkit.initializers as kit
from keras_initkit._registry import BY_NAME, KERAS, KIT, ROWS, snake_case
from keras_initkit.initializers.registry import class_of

ALIASES = {"Initializer", "IdentityInitializer", "OrthogonalInitializer", "STFTInitializer"}


def test_the_table_lists_every_class():
    ours = {n for n in kit.__all__ if isinstance(getattr(kit, n), type)} - {"KernelInitializer"}
    assert {row.name for row in ROWS if row.source == KIT} == ours
    theirs = {
        name
        for name in dir(keras.initializers)
        if name[0].isupper() and isinstance(getattr(keras.initializers, name), type)
    }
    assert {row.name for row in ROWS if row.source == KERAS} == theirs - ALIASES
    assert len(BY_NAME) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_rows_are_true(row):
    instance = class_of(row)(**row.example)
    assert row.deterministic == ("seed" not in instance.get_config())
    assert instance.__class__.__name__ == row.name
    assert row.formula
    assert row.use
    assert max(map(len, (row.formula, row.use, row.reference))) < 120
    assert row.source == KERAS or row.reference == "" or row.reference.split(", ")[-1] in row_docstring(row)


def row_docstring(row):
    return class_of(row).__doc__


def test_every_class_of_ours_is_registered_with_keras():
    for row in ROWS:
        if row.source == KIT:
            assert keras.saving.get_registered_object(f"{KIT}>{row.name}") is class_of(row)


def test_reading_the_table_loads_no_keras():
    code = (
        "import sys, keras_initkit._registry as r\n"
        "print(len(r.ROWS), sorted({'keras', 'tensorflow', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(" ", 1) == [str(len(ROWS)), "[]\n"]


@pytest.mark.parametrize(("name", "alias"), [("ZerO", "zer_o"), ("GlorotUniform", "glorot_uniform"), ("STFT", "stft")])
def test_snake_case(name, alias):
    assert snake_case(name) == alias


def test_zero_is_called_by_its_own_name():
    assert kit.describe("ZerO")["name"] == "ZerO"
    assert isinstance(kit.get("zero"), keras.initializers.Zeros)


def test_get_takes_what_keras_takes():
    for name in ("glorot_uniform", "GlorotUniform", "zeros", "normal", "identity"):
        assert type(kit.get(name)) is type(keras.initializers.get(name))
    assert kit.get(None) is None
    assert isinstance(kit.get(keras.initializers.Zeros), keras.initializers.Zeros)
    assert kit.get({"class_name": "HeNormal", "config": {"seed": 3}}).seed == 3
    assert kit.get("dirac").groups == 1

    @keras.saving.register_keras_serializable(package="elsewhere")
    class Mine(keras.initializers.Ones):
        pass

    assert isinstance(kit.get("elsewhere>Mine"), Mine)


@pytest.mark.parametrize(
    ("identifier", "text"),
    [
        ("glorot_uniforn", "Received: 'glorot_uniforn'. Did you mean 'glorot_uniform'"),
        ("Zero", "Did you mean 'ZerO'"),
        ("scaled-orthogonal", "Did you mean 'scaled_orthogonal'"),
        ("qwxyz", r"Received: 'qwxyz'\.$"),
        ("keras_initkit>Nope", "Expected the name of an initializer"),
        ("tiled", r"needs arguments. Received: 'tiled'.*Tiled\(distinct=2\)"),
        (7, "Expected an initializer: a name"),
        ({}, "'class_name' and 'config'"),
        ({"class_name": "Dirak", "config": {}}, "Did you mean 'Dirac'"),
        ({"class_name": "Dirac", "config": {"group": 2}}, "Expected arguments that Dirac takes"),
        ({"class_name": "HeNormal", "config": {"group": 2}}, "Expected arguments that HeNormal takes"),
        ({"class_name": "Dirac", "config": {"groups": 0}}, "`groups` to be an integer"),
    ],
)
def test_unknown_identifiers(identifier, text):
    with pytest.raises(ValueError, match=text):
        kit.get(identifier)


def modules_with_examples():
    root = Path(keras_initkit.__file__).parent
    paths = [path for folder in ("theory", "initializers") for path in sorted((root / folder).glob("*.py"))]
    return [f"{path.parent.name}.{path.stem}" for path in paths if ">>> " in path.read_text("utf-8")]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(f"keras_initkit.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_every_initializer_has_an_example():
    without = [row.name for row in ROWS if row.source == KIT and ">>> " not in row_docstring(row)]
    assert without == []
