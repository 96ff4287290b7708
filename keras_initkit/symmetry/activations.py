"""What an activation cannot see of the weights into a unit."""

# f(-z) = -f(z): a unit (w, b) with outgoing weights v computes the same as (-w, -b) with -v.
ODD = frozenset(
    {
        "arctan",
        "erf",
        "hard_shrink",
        "hard_tanh",
        "linear",
        "sin",
        "soft_shrink",
        "softsign",
        "tanh",
        "tanh_shrink",
    }
)

# f(tz) = t f(z) for every t > 0: a unit (w, b) with v computes the same as (tw, tb) with v/t.
POSITIVELY_HOMOGENEOUS = frozenset({"leaky_relu", "linear", "relu"})


def is_odd(activation: str | None) -> bool:
    """Return whether the activation of this Keras name is an odd function."""
    return activation in ODD


def is_positively_homogeneous(activation: str | None) -> bool:
    """Return whether the activation of this Keras name commutes with multiplication by positive numbers."""
    return activation in POSITIVELY_HOMOGENEOUS
