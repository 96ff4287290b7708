"""Fans and canonical layouts of kernels."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_initkit.theory import KernelLayout, fans


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((), (1, 1)),
        ((5,), (5, 5)),
        ((3, 4), (3, 4)),
        ((5, 3, 4), (15, 20)),
        ((3, 3, 16, 32), (144, 288)),
        ((2, 3, 4, 5, 6), (120, 144)),
        ((0, 4), (0, 4)),
    ],
)
def test_plain_reading(shape, expected):
    assert fans(shape) == expected


def test_axes():
    assert fans((64, 4, 8), [0], [1, 2]) == (64, 32)
    assert fans((4, 8, 64), [0, 1], [-1]) == (32, 64)
    assert fans((7, 5, 6), [1], [2]) == (5, 6)
    assert fans((9,), [], [0]) == (1, 9)


@st.composite
def kernels_with_axes(draw):
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=5)))
    axes = draw(st.permutations(range(len(shape))))
    first, second = sorted(draw(st.tuples(st.integers(0, len(shape)), st.integers(0, len(shape)))))
    return shape, axes[:first], axes[first:second]


@given(kernels_with_axes())
def test_canonical_form_keeps_every_entry_and_comes_back(case):
    shape, inputs, outputs = case
    kernel = np.arange(math.prod(shape)).reshape(shape)
    layout = KernelLayout.of(shape, inputs, outputs)
    canonical = kernel.transpose(layout.order).reshape(layout.canonical)
    assert canonical.shape == (layout.blocks, layout.inputs, layout.outputs)
    np.testing.assert_array_equal(canonical.reshape(layout.ordered).transpose(layout.inverse), kernel)
    position = tuple(size - 1 for size in shape)
    rest = [axis for axis in range(len(shape)) if axis not in (*inputs, *outputs)]
    where = tuple(
        int(np.ravel_multi_index([position[a] for a in group], [shape[a] for a in group])) if group else 0
        for group in (rest, inputs, outputs)
    )
    assert canonical[where] == kernel[position]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (((3, 4), [0], None), "given together"),
        (((3, 4), [0], [2]), "different axes of a kernel with 2 axes"),
        (((3, 4), [0], [-2]), "different axes"),
    ],
)
def test_bad_axes(arguments, text):
    with pytest.raises(ValueError, match=text):
        fans(*arguments)


def test_layout_of_a_vector_needs_axes():
    with pytest.raises(ValueError, match="at least 2 axes"):
        KernelLayout.of((3,))
