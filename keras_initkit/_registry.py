"""The table of initializers, readable without Keras: what each one is, what it is for and where it comes from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KERAS = "keras"
KIT = "keras_initkit"


@dataclass(frozen=True)
class Row:
    """One initializer.

    Attributes:
        name: the class name.
        source: the package that defines it, `"keras"` or `"keras_initkit"`.
        formula: the values in one line. I and O are the inputs and outputs of a kernel, n_in and n_out its fans.
        use: what it is for, in one line.
        reference: author, year and link, or an empty string where nothing is to be cited.
        deterministic: True if the class takes no seed.
        example: arguments with which the class can be built.
        minimum_rank: the fewest axes a shape may have.
    """

    name: str
    source: str
    formula: str
    use: str
    reference: str = ""
    deterministic: bool = False
    example: Mapping[str, Any] = field(default_factory=dict)
    minimum_rank: int = 1

    @property
    def alias(self) -> str:
        """The name in snake case, by Keras' rule; "ZerO" keeps its own, since "zero" is Keras' `Zeros`."""
        return self.name if self.name == "ZerO" else snake_case(self.name)


def snake_case(name: str) -> str:
    """Return a class name in snake case as Keras writes it: `"GlorotUniform"` becomes `"glorot_uniform"`."""
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


_GLOROT = "Glorot and Bengio 2010, https://proceedings.mlr.press/v9/glorot10a.html"
_HE = "He et al. 2015, https://arxiv.org/abs/1502.01852"
_LECUN = "LeCun et al. 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98b.pdf"
_SAXE = "Saxe et al. 2014, https://arxiv.org/abs/1312.6120"

ROWS: tuple[Row, ...] = (
    Row(
        "ScaledOrthogonal",
        KIT,
        "gain(activation) · gain · max(1, sqrt(n_out/n_in)) · Q, Q random with orthonormal rows or columns",
        "deep networks; keeps the size of signals for any activation and any ratio of widths",
        _SAXE,
        minimum_rank=2,
    ),
    Row(
        "DeltaOrthogonal",
        KIT,
        "centre tap gain · Q, all other taps 0",
        "deep convolutional networks; every singular value of the convolution equals gain",
        "Xiao et al. 2018, https://arxiv.org/abs/1806.05393",
        minimum_rank=2,
    ),
    Row(
        "Dirac",
        KIT,
        "centre tap 1 from input channel i to output channel i of each group, else 0",
        "convolutions that start as the identity",
        "Zagoruyko and Komodakis 2017, https://arxiv.org/abs/1706.00388",
        deterministic=True,
        minimum_rank=2,
    ),
    Row(
        "ZerO",
        KIT,
        "identity if O <= I, else I × O corner of the Hadamard matrix of order 2^m · 2^(-m/2); centre tap only",
        "training without random weights, the same bits everywhere",
        "Zhao et al. 2022, https://arxiv.org/abs/2110.12661",
        deterministic=True,
        minimum_rank=2,
    ),
    Row(
        "Tiled",
        KIT,
        "unit j = unit j mod distinct of the wrapped initializer",
        "plants a chosen number of distinct units, to study or demonstrate symmetry",
        example={"distinct": 2},
    ),
    Row(
        "Perturbed",
        KIT,
        "w + scale · rms(w) · N(0, 1), w from the wrapped initializer",
        "how much noise breaks a symmetry, and how fast",
        example={"initializer": "zeros"},
    ),
    Row("Zeros", KERAS, "0", "biases; a kernel of zeros is locked or dead", deterministic=True),
    Row("Ones", KERAS, "1", "scales of normalisation layers; as a kernel it locks all units", deterministic=True),
    Row("Constant", KERAS, "value", "biases with a prior; as a kernel it locks all units", deterministic=True),
    Row(
        "Identity",
        KERAS,
        "gain · identity, rank 2 only",
        "recurrent kernels of ReLU networks",
        "Le et al. 2015, https://arxiv.org/abs/1504.00941",
        deterministic=True,
        minimum_rank=2,
    ),
    Row("STFT", KERAS, "cosines and sines of a windowed Fourier transform", "first layer on audio", deterministic=True),
    Row("RandomNormal", KERAS, "N(mean, stddev²), stddev 0.05", "embeddings; ignores the width of the layer"),
    Row("RandomUniform", KERAS, "U(minval, maxval), ±0.05", "embeddings; ignores the width of the layer"),
    Row(
        "TruncatedNormal",
        KERAS,
        "N(mean, stddev²) cut at 2 stddev; the values' own std is 0.88 stddev",
        "transformers; ignores the width of the layer",
    ),
    Row("VarianceScaling", KERAS, "variance scale / n, n one of n_in, n_out, their mean", "the general rule", _HE),
    Row("GlorotNormal", KERAS, "truncated normal, variance 2 / (n_in + n_out)", "tanh and linear layers", _GLOROT),
    Row("GlorotUniform", KERAS, "uniform, variance 2 / (n_in + n_out)", "Keras' default kernel", _GLOROT),
    Row("HeNormal", KERAS, "truncated normal, variance 2 / n_in", "ReLU layers", _HE),
    Row("HeUniform", KERAS, "uniform, variance 2 / n_in", "ReLU layers", _HE),
    Row("LecunNormal", KERAS, "truncated normal, variance 1 / n_in", "SELU and linear layers", _LECUN),
    Row("LecunUniform", KERAS, "uniform, variance 1 / n_in", "SELU and linear layers", _LECUN),
    Row(
        "Orthogonal",
        KERAS,
        "gain · Q with orthonormal rows or columns of the flattened kernel",
        "recurrent kernels; shrinks signals where O > I",
        _SAXE,
        minimum_rank=2,
    ),
)

BY_NAME: Mapping[str, Row] = {row.name: row for row in ROWS}
