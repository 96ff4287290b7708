"""What other libraries call the schemes of the table, and where to look whether they still do.

Keras' own rows name themselves. A name is what a user of that library types; what stands in brackets restricts it.
"""

PEERS: dict[str, dict[str, str]] = {
    "torch.nn.init": {
        "Zeros": "zeros_",
        "Ones": "ones_",
        "Constant": "constant_",
        "Identity": "eye_",
        "Dirac": "dirac_",
        "RandomNormal": "normal_",
        "RandomUniform": "uniform_",
        "TruncatedNormal": "trunc_normal_",
        "GlorotNormal": "xavier_normal_",
        "GlorotUniform": "xavier_uniform_",
        "HeNormal": "kaiming_normal_",
        "HeUniform": "kaiming_uniform_",
        "Orthogonal": "orthogonal_",
        "Sparse": "sparse_ (per input)",
        "TorchDefault": "kaiming_uniform_ (a=√5)",
        "ActivationScaled": "calculate_gain (12 names)",
    },
    "jax.nn.initializers": {
        "Zeros": "zeros",
        "Ones": "ones",
        "Constant": "constant",
        "RandomNormal": "normal",
        "RandomUniform": "uniform",
        "TruncatedNormal": "truncated_normal",
        "VarianceScaling": "variance_scaling",
        "GlorotNormal": "glorot_normal",
        "GlorotUniform": "glorot_uniform",
        "HeNormal": "he_normal",
        "HeUniform": "he_uniform",
        "LecunNormal": "lecun_normal",
        "LecunUniform": "lecun_uniform",
        "Orthogonal": "orthogonal",
        "DeltaOrthogonal": "delta_orthogonal (I ≤ O)",
    },
    "timm.layers": {
        "TruncatedNormal": "trunc_normal_tf_",
        "VarianceScaling": "variance_scaling_",
        "LecunNormal": "lecun_normal_",
    },
    "anyinit": {
        "ActivationScaled": "gain (any activation)",
        "Sinusoidal": "initialize (distribution)",
        "LayerFans": "initialize (no recurrence, no attention)",
        "Portable": "initialize (whole models)",
    },
}


def comparison() -> str:
    """Return a Markdown table: one line per scheme that some library has, a column per library, and the counts."""
    from keras_initkit._registry import KERAS, ROWS

    head = ["scheme", "keras-initkit", "keras", *PEERS]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    counts = [len(ROWS), sum(row.source == KERAS for row in ROWS), *map(len, PEERS.values())]
    for row in ROWS:
        theirs = [f"`{names[row.name]}`" if row.name in names else "" for names in PEERS.values()]
        keras = f"`{row.name}`" if row.source == KERAS else ""
        lines.append(f"| `{row.name}` | yes | {keras} | {' | '.join(theirs)} |")
    lines.append(f"| schemes | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)
