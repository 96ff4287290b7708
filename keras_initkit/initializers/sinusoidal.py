"""Kernels whose units are sine waves of different frequency and phase."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np

from keras_initkit._checks import check_choice, check_number
from keras_initkit.initializers.base import KernelInitializer, Tensor
from keras_initkit.initializers.idinit import from_patches, inputs_per_unit

_MODES = ("fan_in", "fan_avg", "fan_out")


@keras.saving.register_keras_serializable(package="keras_initkit")
class Sinusoidal(KernelInitializer):
    """Each unit a sine wave over its inputs, without random numbers.

    With n inputs per unit and O units, W[j, o] = a · sin(2π f_o j / n + φ_o) for j = 0 ... n - 1, where

    - f_o = 1 + o mod F, with F = ⌊(n - 1) / 2⌋ frequencies: whole numbers of periods, below n / 2;
    - φ_o = π ⌊o / F⌋ / N_o, N_o being the number of units with the frequency f_o: phases spread over half a turn;
    - a = sqrt(2 v), where v = scale / n for `mode="fan_in"`, scale / n_out for `"fan_out"` and 2 · scale / (n + n_out)
      for `"fan_avg"`, n_out = ∏k · O.

    Each unit sums to 0 and has exactly the variance v. All units differ, and no two are opposite. Where O <= 2 F they
    are orthogonal. In general the frequency of N units gives the singular value a · sqrt(n / 2) once if N = 1, and
    a · sqrt(n N) / 2 twice if N >= 2.

    What the waves do not see is lost: the mean of a unit's inputs, and for even n their alternating sum. The rank is
    at most 2 F, so n - 1 or n - 2. Narrow layers suffer most: of 4 inputs 2 directions are left.

    A convolution kernel (*k, I, O) has n = ∏k · I inputs, taps running fastest. In `EinsumDense` and attention, n and O
    are the flattened input and output axes.

    The paper numbers frequencies and phases by the unit, f = i and φ = 2π i / O, also beyond n / 2. Such waves have the
    samples of a lower frequency again, and for i = n those of a constant. Frequencies here stop below n / 2, as in the
    authors' later package, which agrees in all values where F divides O or O <= 2 F.

    Example:
        >>> kernel = keras.ops.convert_to_numpy(Sinusoidal()((8, 4)))
        >>> print(f"{abs(kernel.sum(axis=0)).max():.6f}", kernel.var(axis=0).round(4))
        0.000000 [0.1667 0.1667 0.1667 0.1667]

    Args:
        scale: factor of the variance, above 0. Default 1; 2 with `mode="fan_in"` is He's variance.
        mode: one of `"fan_in"`, `"fan_avg"` (default, Glorot's variance) and `"fan_out"`.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if an argument is out of range, the shape has less than 2 axes, or a unit has less than 3 inputs.

    Reference:
        Alberto Fernández-Hernández et al., "Sinusoidal Initialization, Time for a New Start", 2025,
        https://arxiv.org/abs/2505.12909
    """

    seeded: ClassVar[bool] = False

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_avg",
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(input_axes=input_axes, output_axes=output_axes)
        self.scale = check_number("scale", scale, minimum=0.0, exclusive=True)
        self.mode = check_choice("mode", mode, _MODES)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        layout = self._layout(shape)
        n, units = inputs_per_unit(layout), layout.outputs
        if n < 3:
            raise ValueError(
                "Expected `shape` to give each unit at least 3 inputs: Sinusoidal has no wave of a whole period that "
                f"fits {n}. Received: shape={shape}, with {n} input{'s' * (n > 1)} per unit. Use DCT, Hadamard or a "
                "random scheme for this layer."
            )
        frequencies = (n - 1) // 2
        turn, frequency = np.divmod(np.arange(units), frequencies)
        sharing = np.bincount(frequency)[frequency]
        steps = np.arange(n)[:, None] * (frequency + 1) % n  # whole turns taken off in integers
        waves = np.sin(2.0 * math.pi / n * steps + math.pi * turn / sharing)
        return from_patches(math.sqrt(2.0 * self._variance(n, math.prod(layout.spatial) * units)) * waves, layout)

    def _variance(self, fan_in: int, fan_out: int) -> float:
        return self.scale / {"fan_in": fan_in, "fan_avg": (fan_in + fan_out) / 2, "fan_out": fan_out}[self.mode]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"scale": self.scale, "mode": self.mode, **super().get_config()}
