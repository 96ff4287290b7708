"""What the contract tests share: the classes under contract and small models that use them."""

import numpy as np
import pytest

from keras_initkit._registry import KIT, ROWS
from keras_initkit.initializers.registry import class_of


def pytest_generate_tests(metafunc):
    """Run every test that takes `row` once per initializer of the kit, or per one that its `for_rows` names."""
    if "row" in metafunc.fixturenames and "place" not in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("for_rows")
        rows = [row for row in ROWS if row.source == KIT and (marker is None or marker.args[0](row))]
        metafunc.parametrize("row", rows, ids=lambda row: row.name)


@pytest.fixture
def build(row):
    """Return a function that builds the row's class with its example arguments and, unless deterministic, a seed."""

    def build_with(seed=0, **arguments):
        if not row.deterministic:
            arguments["seed"] = seed
        return class_of(row)(**{**row.example, **arguments})

    return build_with


@pytest.fixture
def shape(row):
    """A shape that the row serves and that is large enough to tell two draws apart."""
    return row.shapes[0]


@pytest.fixture
def numpy_of():
    """Return a function from tensors to float64 arrays; bfloat16 has no NumPy arithmetic of its own."""
    import keras

    return lambda tensor: np.asarray(
        keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32") + 0), dtype=np.float64
    )
