"""Kernels that are mostly zeros."""

from keras_initkit._registry.row import KIT, Row

_WHOLE_UNITS = ("dense", "conv", "attention", "simple_rnn", "lstm", "gru", "conv_lstm")

SPARSE: tuple[Row, ...] = (
    Row(
        "Sparse",
        KIT,
        formula="num_inputs weights N(0, stddev²) per unit, at random places, all others 0",
        use="wide layers of sigmoid units; units that differ much, inputs of a size that ignores the width",
        layers=_WHOLE_UNITS,
        guarantee="exactly min(num_inputs, n_in) non-zero weights in every unit",
        reference="Martens 2010, https://www.cs.toronto.edu/~jmartens/docs/Deep_HessianFree.pdf",
    ),
    Row(
        "SparseLecun",
        KIT,
        formula="U(±1/sqrt(n_in)), then ceil(sparsity · n_in) weights of each unit 0, at random places",
        use="learning from one sample at a time, with layer normalisation",
        layers=_WHOLE_UNITS,
        guarantee="the same number of zeros in every unit, and no unit without weights",
        reference="Elsayed et al. 2024, https://arxiv.org/abs/2410.14606",
        shapes=((20, 7), (7, 5), (1, 1), (3, 4, 6), (3, 3, 4, 6)),
    ),
)
