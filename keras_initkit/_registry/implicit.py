"""Kernels of networks that represent a signal by its coordinates."""

from keras_initkit._registry.row import KIT, Row

IMPLICIT: tuple[Row, ...] = (
    Row(
        "SIREN",
        KIT,
        formula="first layer U(±1/n_in), others U(±sqrt(c/n_in)/omega), c = 6 (paper) or 6.939 (exact)",
        use="layers that compute sin(omega · (x W + b))",
        layers=("dense", "conv"),
        guarantee="pre-activations of variance 0.797 (paper) or 1 (exact) at every depth",
        reference="Sitzmann et al. 2020, https://arxiv.org/abs/2006.09661",
    ),
)
