"""Random kernels with orthonormal rows or columns."""

from keras_initkit._registry.row import ANY_KERNEL, KIT, Row

XIAO = "Xiao et al. 2018, https://arxiv.org/abs/1806.05393"
SQUARE = ((8, 8), (7, 7), (2, 2), (1, 1))
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
        reference=XIAO,
    ),
    Row(
        "ConvOrthogonal",
        KIT,
        formula="gain · Q · ∏ (P + (1 - P) z) over axes and steps; P random projections, z the shift along the axis",
        use="deep convolutional networks that start with spatial structure; images with circular borders",
        layers=("dense", "conv", "attention", "simple_rnn"),
        guarantee="the convolution is an isometry with circular padding, and no tap is empty",
        reference=XIAO,
    ),
    Row(
        "ConvolutionAware",
        KIT,
        formula="inverse Fourier transform of random orthogonal spectra, plus noise, scaled to variance 2 / n_in",
        use="image recognition with small kernels",
        layers=("conv",),
        guarantee="filters of one unit for different channels are orthogonal in Fourier space, but for the noise",
        reference="Aghajanyan 2017, https://arxiv.org/abs/1702.06295",
        shapes=((3, 4, 6), (3, 3, 7, 5), (2, 4, 6), (1, 3, 2), (3, 1, 1), (1, 1, 1, 1), (2, 3, 2, 4, 6)),
        minimum_rank=3,
    ),
    Row(
        "NormalizedPositive",
        KIT,
        formula="(A + 1) / λ_max(A + 1), A = RᵀR / U, entries of R (U, U) from N(0, 1)",
        use="recurrent kernels of ReLU networks; in PerGate also of LSTM and GRU",
        layers=("recurrent",),
        guarantee="symmetric and positive definite, the largest eigenvalue is 1",
        reference="Talathi and Vartak 2015, https://arxiv.org/abs/1511.03771",
        shapes=SQUARE,
    ),
    Row(
        "BlockRotation",
        KIT,
        formula="rotations in planes of two units by θ ~ U(-π, π)",
        use="recurrent kernels that keep the norm of the state over long times",
        layers=("recurrent",),
        guarantee="orthogonal, block diagonal, with eigenvalues exp(±iθ)",
        reference="Henaff et al. 2016, https://arxiv.org/abs/1602.06662",
        shapes=SQUARE,
    ),
)
