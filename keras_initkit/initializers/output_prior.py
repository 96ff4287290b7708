"""Output biases with which an untrained classifier predicts the frequencies of the classes."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import check_choice, describe
from keras_initkit.initializers.base import BiasInitializer, Tensor


@keras.saving.register_keras_serializable(package="keras_initkit")
class OutputPrior(BiasInitializer):
    """Bias of the last layer such that its output, for inputs of zero, is the given probabilities.

    - sigmoid outputs: b = log(p / (1 - p)), for one probability p or one per output;
    - softmax outputs: b_c = log p_c, for frequencies p_c of the classes that sum to 1, or counts, which are divided by
      their sum.

    The first epochs of training on unbalanced classes are spent on learning the frequencies. With this bias, and a
    kernel of small values, the loss starts at the entropy of the classes: with 1 % positives at 0.056 instead of 0.693.
    The first reference uses p = 0.01 for a detector whose positives are rare, whatever their true frequency.

    What the numbers mean is never guessed: one number for one output can only be a sigmoid's; in all other cases
    `activation` must be given, since [0.3, 0.7] may be two classes of a softmax or the rates of two labels.

    Example:
        >>> head = keras.layers.Dense(1, "sigmoid", kernel_initializer="zeros", bias_initializer=OutputPrior(0.01))
        >>> print(keras.ops.convert_to_numpy(head(np.ones((1, 5)))).round(4))
        [[0.01]]
        >>> OutputPrior([900, 90, 10], "softmax").probabilities.tolist()
        [0.9, 0.09, 0.01]

    Args:
        p: a probability, or a list or array of them, all above 0 (for a sigmoid also below 1); for a softmax also whole
            numbers that sum to more than 1, which are counts.
        activation: `"sigmoid"` or `"softmax"`, the one that the layer or its loss (`from_logits=True`) applies. None
            (default) will do for one probability and one output.

    Raises:
        ValueError: if a number is out of range, the frequencies do not sum to 1 within 1e-4, `activation` is unknown or
            needed, or the layer does not have as many outputs as `p` has numbers.

    Reference:
        Tsung-Yi Lin, Priya Goyal, Ross Girshick, Kaiming He, Piotr Dollár, "Focal Loss for Dense Object Detection",
        2017, https://arxiv.org/abs/1708.02002
    """

    seeded: ClassVar[bool] = False

    def __init__(self, p: float | Sequence[float] | NDArray[Any], activation: str | None = None) -> None:
        super().__init__()
        self.p, numbers = _checked_numbers(p)
        if activation is not None:
            check_choice("activation", activation, ("sigmoid", "softmax"))
        elif numbers.ndim:
            raise ValueError(
                "Expected `activation` with several numbers. Received: activation=None and "
                f"p={describe(self.p)}. Write activation='softmax' for the frequencies or counts of classes that "
                "exclude one another, activation='sigmoid' for one rate per label."
            )
        self.activation = activation
        self.probabilities = _frequencies(numbers) if activation == "softmax" else _rates(numbers)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        probabilities = self.probabilities
        if len(shape) != 1 or (probabilities.ndim and len(probabilities) != shape[0]):
            outputs = f"({len(probabilities)},), one output for each number in `p`" if probabilities.ndim else "(n,)"
            hint = " For one sigmoid output give the probability of class 1 alone." if shape == (1,) else ""
            raise ValueError(f"Expected `shape` to be {outputs}. Received: shape={shape}, p={describe(self.p)}.{hint}")
        if self.activation is None and shape != (1,):
            raise ValueError(
                f"Expected `activation` where one probability serves several outputs. Received: activation=None, "
                f"p={self.p}, shape={shape}. Write activation='sigmoid' if each output is a sigmoid of its own; for a "
                "softmax give the frequency of every class."
            )
        if self.activation == "softmax":
            return np.log(probabilities)
        return np.broadcast_to(np.log(probabilities) - np.log1p(-probabilities), shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"p": self.p, "activation": self.activation, **super().get_config()}


def _checked_numbers(p: Any) -> tuple[Any, NDArray[np.float64]]:
    """Return `p` as plain Python numbers and as an array of at most one axis."""
    try:
        plain = np.asarray(p)
        numbers = plain.astype(np.float64) if plain.dtype.kind in "iuf" else np.asarray(math.nan)
    except (TypeError, ValueError):
        plain = numbers = np.asarray(math.nan)
    if plain.dtype.kind not in "iuf" or numbers.ndim > 1 or not numbers.size or not np.isfinite(numbers).all():
        raise ValueError(
            f"Expected `p` to be a probability, or a list of frequencies or counts. Received: p={describe(p)}."
        )
    return plain.tolist(), numbers


def _rates(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    if ((numbers <= 0.0) | (numbers >= 1.0)).any():
        raise ValueError(
            "Expected `p` to be above 0 and below 1 for sigmoid outputs. "
            f"Received: p={describe(numbers.tolist())}. Divide per cent by 100 and counts by the number of examples; a "
            "label that is always or never there has an infinite bias, so bring it to 1 / (2 * examples) from the end."
        )
    return numbers


def _frequencies(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    received = f"Received: p={describe(numbers.tolist())}."
    if not numbers.ndim or len(numbers) < 2:
        raise ValueError(f"Expected `p` to hold one frequency per class for a softmax. {received}")
    if (numbers <= 0.0).any():
        raise ValueError(
            f"Expected every number in `p` to be above 0. {received} A class that never occurs has an infinite bias: "
            "give counts and add 1 to each."
        )
    total = float(numbers.sum())
    counts = bool((numbers == np.round(numbers)).all())
    if not counts and abs(total - 1.0) > 1e-4:
        raise ValueError(
            f"Expected `p` to sum to 1, or to be whole numbers (counts). {received} The sum is {total:.6g}. For the "
            "rates of labels that do not exclude one another write activation='sigmoid'."
        )
    return numbers / total
