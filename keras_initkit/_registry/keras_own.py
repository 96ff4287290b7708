"""The initializers that Keras brings."""

from keras_initkit._registry.orthogonal import SAXE
from keras_initkit._registry.row import ANY_KERNEL, KERAS, UNITS, Row

_GLOROT = "Glorot and Bengio 2010, https://proceedings.mlr.press/v9/glorot10a.html"
_HE = "He et al. 2015, https://arxiv.org/abs/1502.01852"
_LECUN = "LeCun et al. 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98b.pdf"
_ANY = (*ANY_KERNEL, "bias")


def _row(
    name: str, formula: str, use: str, layers: tuple[str, ...], prop: str, reference: str = "", rank: int = 0
) -> Row:
    deterministic = name in ("Zeros", "Ones", "Constant", "Identity", "STFT")
    return Row(name, KERAS, formula, use, layers, prop, reference, deterministic=deterministic, minimum_rank=rank)


KERAS_OWN: tuple[Row, ...] = (
    _row("Zeros", "0", "biases; a kernel of zeros is locked or dead", _ANY, "all units equal"),
    _row("Ones", "1", "scales of normalisation layers; as a kernel it locks all units", _ANY, "all units equal"),
    _row("Constant", "value", "biases with a prior; as a kernel it locks all units", _ANY, "all units equal"),
    _row(
        "Identity",
        "gain · identity, rank 2 only",
        "recurrent kernels of ReLU networks",
        ("dense", "simple_rnn"),
        "returns its input",
        "Le et al. 2015, https://arxiv.org/abs/1504.00941",
        2,
    ),
    _row(
        "STFT",
        "cosines and sines of a windowed Fourier transform",
        "first layer on audio",
        ("conv",),
        "short-time Fourier transform",
    ),
    _row("RandomNormal", "N(mean, stddev²), stddev 0.05", "embeddings; ignores the width", _ANY, "std = stddev"),
    _row("RandomUniform", "U(minval, maxval), ±0.05", "embeddings; ignores the width", _ANY, "within the bounds"),
    _row(
        "TruncatedNormal",
        "N(mean, stddev²) cut at 2 stddev; the values' own std is 0.88 stddev",
        "transformers; ignores the width of the layer",
        _ANY,
        "within 2 stddev",
    ),
    _row(
        "VarianceScaling",
        "variance scale / n, n one of n_in, n_out, their mean",
        "the general rule",
        UNITS,
        "variance scale / n",
        _HE,
    ),
    _row(
        "GlorotNormal",
        "truncated normal, variance 2 / (n_in + n_out)",
        "tanh and linear layers",
        UNITS,
        "variance 2 / (n_in + n_out)",
        _GLOROT,
    ),
    _row(
        "GlorotUniform",
        "uniform, variance 2 / (n_in + n_out)",
        "Keras' default kernel",
        UNITS,
        "variance 2 / (n_in + n_out)",
        _GLOROT,
    ),
    _row("HeNormal", "truncated normal, variance 2 / n_in", "ReLU layers", UNITS, "variance 2 / n_in", _HE),
    _row("HeUniform", "uniform, variance 2 / n_in", "ReLU layers", UNITS, "variance 2 / n_in", _HE),
    _row(
        "LecunNormal",
        "truncated normal, variance 1 / n_in",
        "SELU and linear layers",
        UNITS,
        "variance 1 / n_in",
        _LECUN,
    ),
    _row("LecunUniform", "uniform, variance 1 / n_in", "SELU and linear layers", UNITS, "variance 1 / n_in", _LECUN),
    _row(
        "Orthogonal",
        "gain · Q with orthonormal rows or columns of the flattened kernel",
        "recurrent kernels; shrinks signals where O > I",
        ("dense", "simple_rnn"),
        "singular values of the flattened kernel equal gain",
        SAXE,
        2,
    ),
)
