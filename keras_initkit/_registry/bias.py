"""Biases, which belong to one unit each."""

from keras_initkit._registry.row import KIT, VECTORS, Row

BIAS: tuple[Row, ...] = (
    Row(
        "ChronoBias",
        KIT,
        formula="LSTM: b_f = log U(1, max_steps - 1), b_i = -b_f, else 0; GRU: b_z = log U(1, max_steps - 1), else 0",
        use="recurrent layers with long dependencies; LSTM layers need unit_forget_bias=False",
        layers=("lstm bias", "gru bias"),
        guarantee="time constants uniform from 2 to max_steps",
        reference="Tallec and Ollivier 2018, https://arxiv.org/abs/1804.11188",
        kind="bias",
        example={"max_steps": 100, "cell": "lstm"},
        shapes=((16,), (4,), (400,)),
        minimum_rank=1,
    ),
    Row(
        "OutputPrior",
        KIT,
        formula="sigmoid: log(p / (1 - p)); softmax: log p_c, p_c the frequency of class c",
        use="output layers for unbalanced classes",
        layers=("output bias",),
        guarantee="the first predictions are the frequencies, the first loss their entropy",
        reference="Lin et al. 2017, https://arxiv.org/abs/1708.02002",
        kind="bias",
        deterministic=True,
        example={"p": 0.01, "activation": "sigmoid"},
        shapes=VECTORS,
        minimum_rank=1,
    ),
)
