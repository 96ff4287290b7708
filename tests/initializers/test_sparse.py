"""Sparse and SparseLecun: exact counts in every unit, places and values without preference."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from scipy import stats

from keras_initkit.initializers import Grouped, Portable, Sparse, SparseLecun
from keras_initkit.initializers.sparse import _thinned

CHANCE = 1e-4  # false-alarm rate of the tests of distributions, whose seeds are fixed


def per_unit(kernel):
    """Return the number of non-zero incoming weights of each unit, the last axis."""
    return np.count_nonzero(kernel, axis=tuple(range(kernel.ndim - 1)))


@settings(deadline=None, max_examples=60)
@given(
    window=st.lists(st.integers(1, 3), max_size=2),
    inputs=st.integers(1, 30),
    units=st.integers(1, 20),
    number=st.integers(1, 20),
    seed=st.integers(0, 2**31),
)
def test_every_unit_has_exactly_its_number_of_inputs(window, inputs, units, number, seed):
    """With portable draws, since JAX compiles every function anew for every shape."""
    values = Portable(Sparse(number, seed=seed))((*window, inputs, units))
    kernel = np.asarray(keras.ops.convert_to_numpy(values))
    np.testing.assert_array_equal(per_unit(kernel), min(number, math.prod(window) * inputs))


@settings(deadline=None, max_examples=60)
@given(inputs=st.integers(1, 200), percent=st.integers(0, 99), seed=st.integers(0, 2**31))
def test_every_unit_has_exactly_its_fraction_of_zeros(inputs, percent, seed):
    kernel = np.asarray(keras.ops.convert_to_numpy(Portable(SparseLecun(percent / 100, seed=seed))((inputs, 6))))
    zeros = -(-percent * inputs // 100)  # rounded up, in integers
    np.testing.assert_array_equal(per_unit(kernel), max(1, inputs - zeros))


@pytest.mark.parametrize("number", [1, 2, 14, 15, 16, 40])
@pytest.mark.parametrize("shape", [(5, 100), (100, 5), (2, 7, 9)])
def test_counts_with_draws_of_the_backend(array, shape, number):
    expected = min(number, math.prod(shape[:-1]))
    for seed in (1, keras.random.SeedGenerator(1)):
        np.testing.assert_array_equal(per_unit(array(Sparse(number, seed=seed)(shape))), expected)


@pytest.mark.parametrize(("inputs", "left"), [(1, 1), (9, 1), (10, 1), (19, 1), (20, 2), (784, 78)])
def test_paper_sparsity(array, inputs, left):
    """ceil(0.9 n) zeros; of 9 inputs the paper's rule would leave none."""
    np.testing.assert_array_equal(per_unit(array(SparseLecun(seed=0)((inputs, 50)))), left)


def test_rounding_makes_no_zero_too_many(array):
    assert math.ceil(0.56 * 100) == 57
    np.testing.assert_array_equal(per_unit(array(SparseLecun(0.56, seed=0)((100, 5)))), 100 - 56)


def test_equal_random_numbers_do_not_change_the_count():
    """In float32 two of n uniform numbers are equal with a chance of n² / 2²⁵, 3 in 10 000 for 100 inputs."""

    class Equal:
        xp = np

        def uniform(self, shape, *_):
            return np.full(shape, 0.5)

    np.testing.assert_array_equal(per_unit(_thinned(np.ones((7, 3)), 2, Equal())), 2)


@pytest.mark.parametrize(("initializer", "kept"), [(Sparse(15, seed=1), 15), (SparseLecun(0.625, seed=1), 15)])
def test_places_are_uniform(array, initializer, kept):
    """Rows chosen in N columns, k of n without replacement: (n-1)/n Σ (count - Np)² / (N p (1-p)) is chi²(n-1)."""
    rows, columns = 40, 4000
    chosen = array(initializer((rows, columns))) != 0
    p = kept / rows
    statistic = (rows - 1) / rows * np.sum((chosen.sum(axis=1) - columns * p) ** 2) / (columns * p * (1 - p))
    assert CHANCE < stats.chi2(rows - 1).sf(statistic) < 1 - CHANCE


def test_values(array):
    normal = array(Sparse(15, stddev=0.3, seed=2)((100, 500)))
    assert stats.kstest(normal[normal != 0], stats.norm(scale=0.3).cdf).pvalue > CHANCE
    bound = 1 / math.sqrt(100)
    uniform = array(SparseLecun(seed=2)((100, 500)))
    assert stats.kstest(uniform[uniform != 0], stats.uniform(-bound, 2 * bound).cdf).pvalue > CHANCE


def test_inputs_of_a_unit_do_not_grow_with_the_width(array):
    """Variance k · stddev² of pre-activations at any width; 2000 units, 15 weights each: 5 standard errors."""
    for width in (50, 2000):
        x = np.random.default_rng(0).standard_normal((200, width))
        variance = np.mean((x @ array(Sparse(15, seed=3)((width, 2000)))) ** 2)
        assert variance == pytest.approx(15, rel=5 * math.sqrt(2 / (15 * 2000) + 2 / (200 * 15)))


def test_convolution_layers(array):
    layer = layers.Conv2D(12, 3, kernel_initializer=Sparse(15, seed=1))
    layer.build((None, 8, 8, 5))
    np.testing.assert_array_equal(per_unit(array(layer.kernel)), 15)
    depthwise = array(Grouped(Sparse(4), "depthwise", seed=1)((3, 3, 20, 2)))
    np.testing.assert_array_equal((depthwise != 0).sum(axis=(0, 1)), 4)


def test_torch_counts_along_the_other_axis(array):
    """`sparse_` on (out, in): each input loses the same number of weights, units keep unequal numbers, some none."""
    torch = pytest.importorskip("torch")
    weights = torch.empty(200, 50)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.nn.init.sparse_(weights, sparsity=0.97)
    incoming = (weights.numpy() != 0).sum(axis=1)
    outgoing = (weights.numpy() != 0).sum(axis=0)
    assert set(outgoing) == {6}
    assert incoming.min() == 0
    assert incoming.max() > 2
    np.testing.assert_array_equal(per_unit(array(Sparse(2, seed=0)((50, 200)))), 2)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Sparse(0), "`num_inputs` to be an integer of at least 1. Received: num_inputs=0"),
        (lambda: Sparse(0.1), "`num_inputs` to be an integer"),
        (lambda: Sparse(stddev=0), "`stddev` to be a finite number above 0"),
        (lambda: Sparse()((5,)), "at least 2 axes: Sparse is not defined for vectors"),
        (lambda: SparseLecun(1.0), "below 1, so that each unit keeps a weight. Received: sparsity=1.0"),
        (lambda: SparseLecun(90), "For per cent divide by 100"),
        (lambda: SparseLecun(-0.1), "`sparsity` to be a finite number of at least 0"),
        (lambda: SparseLecun(math.nan), "`sparsity` to be a finite number"),
    ],
)
def test_bad_arguments(call, text):
    with pytest.raises(ValueError, match=text):
        call()
