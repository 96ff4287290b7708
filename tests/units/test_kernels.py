"""Which weights belong to a unit, checked by calling the layers: what is zeroed must be what the unit computes with."""

import keras
import numpy as np
import pytest

from keras_initkit.units.kernels import has_units, incoming_matrix, outgoing_rows, reads_features, unit_count

L = keras.layers
LAYERS = {
    "dense": (lambda: L.Dense(4), (6,)),
    "dense on sequences": (lambda: L.Dense(4), (5, 6)),
    "conv1d": (lambda: L.Conv1D(4, 3), (7, 6)),
    "conv2d": (lambda: L.Conv2D(4, (2, 3)), (5, 5, 6)),
    "conv3d": (lambda: L.Conv3D(4, 2), (3, 3, 3, 6)),
    "conv1d transposed": (lambda: L.Conv1DTranspose(4, 3), (7, 6)),
    "conv2d transposed": (lambda: L.Conv2DTranspose(4, (2, 3)), (4, 4, 6)),
    "conv3d transposed": (lambda: L.Conv3DTranspose(4, 2), (3, 3, 3, 6)),
    "grouped conv": (lambda: L.Conv2D(4, 3, groups=2), (5, 5, 6)),
}
UNGROUPED = [name for name in LAYERS if name != "grouped conv"]


def build(name):
    make, shape = LAYERS[name]
    layer = make()
    layer.build((None, *shape))
    kernel = np.arange(1, 1 + np.prod(layer.kernel.shape), dtype="float32").reshape(layer.kernel.shape) / 100
    x = np.random.default_rng(0).standard_normal((2, *shape)).astype("float32")
    return layer, kernel, x


def outputs(layer, kernel, x):
    layer.kernel.assign(kernel)
    return keras.ops.convert_to_numpy(layer(x))


@pytest.mark.parametrize("name", LAYERS)
def test_a_column_of_the_incoming_matrix_is_all_the_unit_computes_with(name):
    layer, kernel, x = build(name)
    matrix = incoming_matrix(layer, kernel)
    assert matrix.shape[1] == unit_count(layer) == 4
    before = outputs(layer, kernel, x)
    for unit in range(4):
        mine = np.isin(kernel, matrix[:, unit][matrix[:, unit] != 0])
        after = outputs(layer, np.where(mine, 0, kernel), x)
        assert not after[..., unit].any()
        others = np.delete(np.arange(4), unit)
        np.testing.assert_allclose(after[..., others], before[..., others], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", UNGROUPED)
def test_a_row_of_the_outgoing_matrix_is_all_that_reads_the_feature(name):
    layer, kernel, x = build(name)
    rows = outgoing_rows(layer, kernel)
    assert rows.shape == (6, kernel.size // 6)
    for feature in range(6):
        without = np.where(np.isin(kernel, rows[feature]), 0, kernel)
        changed = x.copy()
        changed[..., feature] += 1
        np.testing.assert_allclose(outputs(layer, without, changed), outputs(layer, without, x), rtol=1e-5)
        assert not np.allclose(outputs(layer, kernel, changed), outputs(layer, kernel, x))


def test_the_rows_of_the_incoming_matrix_mean_the_same_input_for_every_unit():
    layer, kernel, _ = build("conv2d transposed")
    matrix = incoming_matrix(layer, kernel)
    np.testing.assert_array_equal(matrix.reshape(2, 3, 6, 4)[1, 2, 5], kernel[1, 2, :, 5])


def test_groups_keep_equal_numbers_on_different_channels_apart():
    layer, kernel, _ = build("grouped conv")
    matrix = incoming_matrix(layer, np.ones_like(kernel))
    assert matrix.shape == (2 * 27, 4)
    np.testing.assert_array_equal(matrix[:, 0], matrix[:, 1])
    np.testing.assert_array_equal(matrix[:, 0] * matrix[:, 2], 0)
    assert reads_features(build("conv2d")[0])
    assert not reads_features(layer)


@pytest.mark.parametrize(
    "layer",
    [L.DepthwiseConv2D(3), L.SeparableConv2D(4, 3), L.EinsumDense("ab,bc->ac", 4), L.LSTM(3), L.Embedding(5, 4)],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_of_other_types_have_no_known_units(layer):
    assert not has_units(layer)
    assert not reads_features(layer)
