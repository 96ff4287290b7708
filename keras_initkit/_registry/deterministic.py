"""Kernels without random numbers: identities, orthogonal bases and interpolations."""

from keras_initkit._registry.row import KIT, Row

_MATRICES = ("dense", "conv", "attention", "simple_rnn")

DETERMINISTIC: tuple[Row, ...] = (
    Row(
        "Dirac",
        KIT,
        formula="centre tap 1 from input channel i to output channel i of each group, else 0",
        use="convolutions that start as the identity",
        layers=_MATRICES,
        guarantee="the convolution returns its input",
        reference="Zagoruyko and Komodakis 2017, https://arxiv.org/abs/1706.00388",
        deterministic=True,
    ),
    Row(
        "ZerO",
        KIT,
        formula="identity if O <= I, else I × O corner of the Hadamard matrix of order 2^m · 2^(-m/2); centre tap only",
        use="training without random weights, the same bits everywhere",
        layers=_MATRICES,
        guarantee="entries 0, 1 and ± 2^(-m/2), full rank",
        reference="Zhao et al. 2022, https://arxiv.org/abs/2110.12661",
        deterministic=True,
    ),
)
