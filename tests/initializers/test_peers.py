"""The table of peers: every name is one of the registry, and one of the library where that is installed."""

import importlib

import pytest

from keras_initkit._registry import BY_NAME
from tests.initializers.peers import PEERS, comparison

JAX_ALIASES = {f"{who}_{how}" for who in ("kaiming", "xavier") for how in ("normal", "uniform")}


def test_schemes_are_those_of_the_registry():
    assert {name for names in PEERS.values() for name in names} <= set(BY_NAME)


@pytest.mark.parametrize("library", PEERS)
def test_names_are_those_of_the_library(library):
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    missing = [name for name in PEERS[library].values() if not hasattr(module, name.split()[0])]
    assert missing == []


def test_every_scheme_of_torch_and_jax_is_in_the_table():
    """Whatever these libraries define under a name of their own has a row here."""
    for library, others in (
        ("torch.nn.init", {"calculate_gain"}),
        ("jax.nn.initializers", JAX_ALIASES | {"Initializer"}),
    ):
        try:
            module = importlib.import_module(library)
        except ImportError:
            continue
        public = {
            name for name in dir(module) if name[0] != "_" and callable(getattr(module, name)) and _own(module, name)
        }
        if library.startswith("torch"):
            public = {name for name in public if name.endswith("_")}
        assert public - others == {name.split()[0] for name in PEERS[library].values()} - others


def _own(module, name):
    return getattr(getattr(module, name), "__module__", "").split(".")[0] == module.__name__.split(".")[0]


def test_table():
    lines = comparison().splitlines()
    assert len(lines) == len(BY_NAME) + 3
    assert "| `Sparse` | yes |  | `sparse_ (per input)` |  |  |  |" in lines
