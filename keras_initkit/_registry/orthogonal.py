"""Random kernels with orthonormal rows or columns."""

from keras_initkit._registry.row import ANY_KERNEL, KIT, Row

SAXE = "Saxe et al. 2014, https://arxiv.org/abs/1312.6120"

ORTHOGONAL: tuple[Row, ...] = (
    Row(
        "ScaledOrthogonal",
        KIT,
        formula="gain(activation) · gain · max(1, sqrt(n_out/n_in)) · Q, Q random with orthonormal rows or columns",
        use="deep networks; keeps the size of signals for any activation and any ratio of widths",
        layers=ANY_KERNEL,
        guarantee="all singular values of the flattened kernel are equal",
        reference=SAXE,
    ),
    Row(
        "DeltaOrthogonal",
        KIT,
        formula="centre tap gain · Q, all other taps 0",
        use="deep convolutional networks; every singular value of the convolution equals gain",
        layers=("dense", "conv", "attention", "simple_rnn"),
        guarantee="the convolution is an isometry, with zero padding too",
        reference="Xiao et al. 2018, https://arxiv.org/abs/1806.05393",
    ),
)
