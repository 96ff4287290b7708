"""Published rules for how weights on the branches of a residual network shrink with its depth."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from keras_initkit._checks import check_choice, check_integer


class DepthRule(NamedTuple):
    """One published rule.

    Attributes:
        formula: the factor on the standard deviation, with N the number of layers, l, m and M the arguments below.
        takes: names of the further arguments of `depth_factor` that the rule needs.
        reference: author, year and link.
        factor: the formula, as a function of N and what the rule takes.
    """

    formula: str
    takes: tuple[str, ...]
    reference: str
    factor: Callable[..., float]


_DEEPNET = "Wang et al. 2022, https://arxiv.org/abs/2203.00555"
_TFIXUP = "Huang et al. 2020, https://proceedings.mlr.press/v119/huang20f.html"

DEPTH_RULES: Mapping[str, DepthRule] = MappingProxyType(
    {
        "gpt2": DepthRule(
            "1 / sqrt(2 N)",
            (),
            "Radford et al. 2019, https://cdn.openai.com/better-language-models/language_models_are_unsupervised_"
            "multitask_learners.pdf",
            lambda n: (2.0 * n) ** -0.5,
        ),
        "ds_init": DepthRule(
            "1 / sqrt(l)",
            ("layer",),
            "Zhang et al. 2019, https://arxiv.org/abs/1908.11365",
            lambda _, layer: layer**-0.5,
        ),
        "beit": DepthRule(
            "1 / sqrt(2 l)",
            ("layer",),
            "Bao et al. 2021, https://arxiv.org/abs/2106.08254",
            lambda _, layer: (2.0 * layer) ** -0.5,
        ),
        "fixup": DepthRule(
            "N^(-1 / (2 m - 2))",
            ("branch_layers",),
            "Zhang et al. 2019, https://arxiv.org/abs/1901.09321",
            lambda n, branch_layers: float(n) ** (-1.0 / (2 * branch_layers - 2)),
        ),
        "deepnet": DepthRule("(8 N)^(-1/4)", (), _DEEPNET, lambda n: (8.0 * n) ** -0.25),
        "deepnet_encoder": DepthRule(
            "0.87 (N⁴ M)^(-1/16)",
            ("decoder_layers",),
            _DEEPNET,
            lambda n, decoder_layers: 0.87 * (float(n) ** 4 * decoder_layers) ** -0.0625,
        ),
        "deepnet_decoder": DepthRule("(12 N)^(-1/4)", (), _DEEPNET, lambda n: (12.0 * n) ** -0.25),
        "tfixup_encoder": DepthRule("0.67 N^(-1/4)", (), _TFIXUP, lambda n: 0.67 * float(n) ** -0.25),
        "tfixup_decoder": DepthRule("(9 N)^(-1/4)", (), _TFIXUP, lambda n: (9.0 * n) ** -0.25),
    }
)

_ALPHAS: Mapping[str, Callable[..., float]] = MappingProxyType(
    {
        "deepnet": lambda n: (2.0 * n) ** 0.25,
        "deepnet_encoder": lambda n, decoder_layers: 0.81 * (float(n) ** 4 * decoder_layers) ** 0.0625,
        "deepnet_decoder": lambda n: (3.0 * n) ** 0.25,
    }
)
_LEAST = {"layer": 1, "branch_layers": 2, "decoder_layers": 1}


def depth_factor(
    rule: str,
    num_layers: int,
    *,
    layer: int | None = None,
    branch_layers: int | None = None,
    decoder_layers: int | None = None,
) -> float:
    """Compute the factor on the standard deviation of weights that a published rule for residual branches asks for.

    With N = `num_layers`, l = `layer`, m = `branch_layers` and M = `decoder_layers`:

    | rule | factor | N counts | applies to, and drawn by |
    |---|---|---|---|
    | `gpt2` | 1 / sqrt(2 N) | blocks, of two branches each | last kernel of each branch, N(0, 0.02²) |
    | `ds_init` | 1 / sqrt(l) | layers, l = 1 first | all kernels of layer l, Glorot uniform |
    | `beit` | 1 / sqrt(2 l) | layers, l = 1 first | last kernel of each branch, N(0, 0.02²) truncated |
    | `fixup` | N^(-1 / (2 m - 2)) | branches of m layers | all kernels of a branch but the last, He; the last is 0 |
    | `deepnet` | (8 N)^(-1/4) | layers of an encoder or a decoder alone | value, output and feed-forward, Glorot |
    | `deepnet_encoder` | 0.87 (N⁴ M)^(-1/16) | encoder layers, before M decoder layers | the same |
    | `deepnet_decoder` | (12 N)^(-1/4) | decoder layers, after an encoder | the same |
    | `tfixup_encoder` | 0.67 N^(-1/4) | encoder layers | value, output, feed-forward, Glorot; embeddings N(0, 1/d) |
    | `tfixup_decoder` | (9 N)^(-1/4) | decoder layers | the same |

    Some methods change the forward pass as well: DeepNet multiplies the skip connection by `deepnet_alpha`, Fixup adds
    scalar biases and multipliers, Fixup and T-Fixup leave normalisation out.

    Args:
        rule: one of `DEPTH_RULES`.
        num_layers: N, at least 1.
        layer: l, from 1 to N; for `ds_init` and `beit`.
        branch_layers: m, at least 2; for `fixup`.
        decoder_layers: M, at least 1; for `deepnet_encoder`.

    Returns:
        A positive float.

    Raises:
        ValueError: if the rule is unknown, a number is out of range, one that the rule needs is missing, or one that it
            does not use is given.

    Example:
        >>> depth_factor("gpt2", 8)
        0.25
        >>> depth_factor("fixup", 16, branch_layers=3)
        0.5
    """
    chosen = DEPTH_RULES[check_choice("rule", rule, DEPTH_RULES)]
    given = {"layer": layer, "branch_layers": branch_layers, "decoder_layers": decoder_layers}
    num_layers = check_integer("num_layers", num_layers, 1)
    return chosen.factor(num_layers, **_checked(rule, chosen.takes, given, num_layers))


def deepnet_alpha(rule: str, num_layers: int, *, decoder_layers: int | None = None) -> float:
    """Compute the factor alpha on the skip connections of DeepNet: layers compute LayerNorm(alpha x + branch(x)).

    Args:
        rule: `"deepnet"` for an encoder or a decoder alone, alpha = (2 N)^(1/4); in a network of both
            `"deepnet_encoder"`, 0.81 (N⁴ M)^(1/16), and `"deepnet_decoder"`, (3 N)^(1/4).
        num_layers: N, at least 1: the layers of that part.
        decoder_layers: M, at least 1; for `"deepnet_encoder"`.

    Raises:
        ValueError: as `depth_factor`.

    Example:
        >>> deepnet_alpha("deepnet", 8)
        2.0

    Reference:
        Hongyu Wang, Shuming Ma, Li Dong, Shaohan Huang, Dongdong Zhang, Furu Wei, "DeepNet: Scaling Transformers to
        1,000 Layers", 2022, https://arxiv.org/abs/2203.00555
    """
    takes = DEPTH_RULES[check_choice("rule", rule, _ALPHAS)].takes
    num_layers = check_integer("num_layers", num_layers, 1)
    return _ALPHAS[rule](num_layers, **_checked(rule, takes, {"decoder_layers": decoder_layers}, num_layers))


def _checked(rule: str, takes: tuple[str, ...], given: Mapping[str, int | None], num_layers: int) -> dict[str, int]:
    """Return the arguments that a rule takes; it must get all of these and none else."""
    for name, value in given.items():
        if (name in takes) == (value is None):
            need = f"`{name}` for rule={rule!r}" if name in takes else f"no `{name}` for rule={rule!r}"
            raise ValueError(
                f"Expected {need}. Received: {name}={value!r}. Its formula is {DEPTH_RULES[rule].formula}."
            )
    numbers = {name: check_integer(name, given[name], _LEAST[name]) for name in takes}
    if numbers.get("layer", 1) > num_layers:
        raise ValueError(
            f"Expected `layer` to be at most num_layers={num_layers}; the first layer is 1. "
            f"Received: layer={numbers['layer']}."
        )
    return numbers
