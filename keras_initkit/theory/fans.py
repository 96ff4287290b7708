"""Which axes of a kernel are inputs and which are outputs, and how many connections that makes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Axes = Sequence[int] | None


def fans(shape: Sequence[int], input_axes: Axes = None, output_axes: Axes = None) -> tuple[int, int]:
    """Count the inputs of a unit and the units an input reaches, for a kernel shape.

    Without axes the shape is read as Keras reads it: (I, O) for a dense kernel, (..., I, O) for a convolution whose
    leading axes are spatial (their product K multiplies both fans), (n,) for a vector, which counts as n and n, and ()
    as 1 and 1. With axes, the fans are the products of the sizes of those axes.

    The shape alone cannot tell a depthwise kernel, a transposed or a grouped convolution from a plain one, so the fans
    of these follow the plain reading; `layer_fans` counts those of the layer.

    Args:
        shape: sizes of the kernel's axes.
        input_axes: axes summed over by the layer, or None.
        output_axes: axes that index the layer's units, or None. Given with `input_axes` or not at all.

    Returns:
        `(fan_in, fan_out)`, two non-negative integers.

    Raises:
        ValueError: if only one of the two axes arguments is given, an axis does not exist or is used twice.

    Example:
        >>> fans((3, 3, 16, 32))
        (144, 288)
        >>> fans((64, 4, 8), input_axes=[0], output_axes=[1, 2])
        (64, 32)
    """
    shape = tuple(shape)
    if input_axes is None and output_axes is None and len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    layout = KernelLayout.of(shape, input_axes, output_axes)
    window = math.prod(layout.spatial)
    return window * layout.inputs, window * layout.outputs


@dataclass(frozen=True)
class KernelLayout:
    """A kernel's axes sorted into the canonical shape (B, *k, I, O).

    B counts independent matrices (axes that are neither input nor output), k are the sizes of the spatial axes, I and O
    the flattened inputs and outputs. An array of the kernel's shape becomes canonical by transposing with `order` and
    reshaping to `canonical`; the way back is a reshape to `ordered` and a transposition with `inverse`.

    Attributes:
        order: the permutation of the kernel's axes.
        inverse: the permutation that undoes `order`.
        ordered: the kernel's shape after `order`.
        spatial: the sizes k; empty if the axes were given or the kernel has two axes.
        blocks: B.
        inputs: I.
        outputs: O.
    """

    order: tuple[int, ...]
    inverse: tuple[int, ...]
    ordered: tuple[int, ...]
    spatial: tuple[int, ...]
    blocks: int
    inputs: int
    outputs: int

    @property
    def canonical(self) -> tuple[int, ...]:
        """The shape (B, *k, I, O)."""
        return (self.blocks, *self.spatial, self.inputs, self.outputs)

    @classmethod
    def of(cls, shape: Sequence[int], input_axes: Axes = None, output_axes: Axes = None) -> "KernelLayout":
        """Sort the axes of `shape` (at least two of them, unless the axes are given); see `fans` for the reading."""
        shape = tuple(shape)
        rank = len(shape)
        rest: tuple[int, ...]
        spatial: tuple[int, ...]
        inputs: tuple[int, ...]
        outputs: tuple[int, ...]
        if (input_axes is None) != (output_axes is None):
            raise ValueError(
                "Expected `input_axes` and `output_axes` to be given together. "
                f"Received: input_axes={input_axes}, output_axes={output_axes}."
            )
        if input_axes is None or output_axes is None:
            if rank < 2:
                raise ValueError(f"Expected `shape` to have at least 2 axes. Received: shape={shape}.")
            rest = ()
            spatial, inputs, outputs = tuple(range(rank - 2)), (rank - 2,), (rank - 1,)
        else:
            inputs, outputs = _normalised(input_axes, output_axes, shape)
            spatial, rest = (), tuple(axis for axis in range(rank) if axis not in inputs + outputs)
        order = rest + spatial + inputs + outputs
        return cls(
            order=order,
            inverse=tuple(order.index(axis) for axis in range(rank)),
            ordered=tuple(shape[axis] for axis in order),
            spatial=tuple(shape[axis] for axis in spatial),
            blocks=math.prod(shape[axis] for axis in rest),
            inputs=math.prod(shape[axis] for axis in inputs),
            outputs=math.prod(shape[axis] for axis in outputs),
        )


def _normalised(
    input_axes: Sequence[int], output_axes: Sequence[int], shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    rank = len(shape)
    given = (*input_axes, *output_axes)
    axes = tuple(axis + rank if axis < 0 else axis for axis in given)
    if any(not 0 <= axis < rank for axis in axes) or len(set(axes)) < len(axes):
        raise ValueError(
            f"Expected `input_axes` and `output_axes` to name different axes of a kernel with {rank} axes. "
            f"Received: input_axes={list(input_axes)}, output_axes={list(output_axes)}, shape={shape}."
        )
    return axes[: len(input_axes)], axes[len(input_axes) :]
