"""Biases that give the gates of a recurrent layer the time scales of its task."""

from typing import Any

import keras

from keras_initkit._checks import check_choice, check_number
from keras_initkit.initializers.base import BiasInitializer, Seed, Tensor

_REMEDY = "Set `unit_forget_bias=False` in the LSTM layer: otherwise it writes ones over the forget gate."


@keras.saving.register_keras_serializable(package="keras_initkit")
class ChronoBias(BiasInitializer):
    """Gate biases with which a recurrent unit remembers for 2 to T steps.

    A forget gate that stays at f forgets with the time constant 1 / (1 - f) = 1 + exp(b_f). With r ~ U(1, T - 1), one
    number per unit, in the order in which Keras stores the gates:

    - `cell="lstm"`, bias (4U,), gates i, f, c, o: b_f = log r, b_i = -log r, the others 0;
    - `cell="gru"`, bias (3U,) or, with `reset_after=True` (default), (2, 3U), gates z, r, h: b_z = log r, the others 0.
      In the second case the first row, the bias of the input, has the values and the second, of the recurrent input,
      zeros.

    Time constants are then uniform between 2 and T. Keras' GRU computes h = z · h_before + (1 - z) · candidate, so that
    z keeps; papers that write 1 - z there have -log r.

    **LSTM layers need `unit_forget_bias=False`.** With True, Keras' default, the layer asks for the parts (U,) and
    (2U,) and puts ones between them. `ConvLSTM` layers have the bias of an LSTM.

    This is refused, wherever U is a multiple of 4 by the order of the two shapes.

    The shape does not tell the cells apart, 24 entries being 6 units of an LSTM or 8 of a GRU.

    Example:
        >>> bias = ChronoBias(100, seed=0)
        >>> layer = keras.layers.LSTM(64, bias_initializer=bias, unit_forget_bias=False)
        >>> layer.build((None, 10, 1))
        >>> times = 1 + keras.ops.exp(layer.cell.bias[64:128])
        >>> bool(keras.ops.min(times) >= 2), bool(keras.ops.max(times) <= 100)
        (True, True)

    Args:
        max_steps: T, the longest time over which to remember, in steps, above 2: the length of the sequences, or of the
            longest dependency in them.
        cell: `"lstm"` (default) or `"gru"`.
        seed: see `CheckedInitializer`.

    Raises:
        ValueError: if `max_steps` is not above 2, `cell` is unknown, or the shape is not that of the cell's whole bias.

    Reference:
        Corentin Tallec, Yann Ollivier, "Can recurrent neural networks warp time?", 2018,
        https://arxiv.org/abs/1804.11188
    """

    def __init__(self, max_steps: float, cell: str = "lstm", seed: Seed = None) -> None:
        super().__init__(seed=seed)
        self.max_steps = check_number("max_steps", max_steps, minimum=2.0, exclusive=True)
        self.cell = check_choice("cell", cell, ("lstm", "gru"))
        self._asked: list[tuple[int, ...]] = []  # the shape before; shared with the copies that wrappers draw with

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        self._check(shape)
        draws = self._draws(dtype)
        xp = draws.xp
        gates = 4 if self.cell == "lstm" else 3
        keep = xp.log(draws.uniform((shape[-1] // gates,), 1.0, self.max_steps - 1.0))
        none = xp.zeros_like(keep)
        bias = xp.concatenate([-keep, keep, none, none] if self.cell == "lstm" else [keep, none, none], axis=0)
        return xp.stack([bias, xp.zeros_like(bias)]) if len(shape) == 2 else bias

    def _check(self, shape: tuple[int, ...]) -> None:
        """Refuse what is not the whole bias of the cell, above all the parts that an LSTM asks for."""
        before = self._asked[-1] if self._asked else None
        self._asked[:] = [shape]
        if self.cell == "gru":
            if len(shape) > 2 or shape[-1] % 3 or (len(shape) == 2 and shape[0] != 2):
                raise ValueError(
                    "Expected `shape` to be the bias of a GRU, (3 * units,) or (2, 3 * units). "
                    f"Received: shape={shape} for ChronoBias(cell='gru'). For an LSTM write cell='lstm'."
                )
            return
        if len(shape) != 1 or shape[0] % 4:
            hint = "For a GRU write cell='gru'." if len(shape) == 2 or shape[0] % 3 == 0 else ""
            raise ValueError(
                "Expected `shape` to be the whole bias of an LSTM, (4 * units,). "
                f"Received: shape={shape} for ChronoBias(cell='lstm'). {_REMEDY} {hint}".rstrip()
            )
        if before == (shape[0] // 2,):
            raise ValueError(
                "Expected `shape` to be the whole bias of an LSTM, (4 * units,). "
                f"Received: shape={shape} right after shape={before}, as an LSTM of {before[0]} units asks for parts "
                f"of its bias. {_REMEDY} If one ChronoBias serves two layers, of {before[0] // 4} and {shape[0] // 4} "
                "units, give each its own."
            )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"max_steps": self.max_steps, "cell": self.cell, **super().get_config()}
