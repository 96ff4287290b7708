"""The factors of published depth rules, by hand and by what they keep."""

import math

import numpy as np
import pytest

from keras_initkit.theory import DEPTH_RULES, deepnet_alpha, depth_factor

BY_HAND = [
    (("gpt2", 24), {}, 1 / math.sqrt(48)),
    (("gpt2", 2), {}, 0.5),
    (("ds_init", 9), {"layer": 4}, 0.5),
    (("beit", 9), {"layer": 8}, 0.25),
    (("fixup", 16), {"branch_layers": 2}, 0.25),
    (("fixup", 16), {"branch_layers": 3}, 0.5),
    (("deepnet", 2), {}, 0.5),
    (("deepnet_encoder", 16), {"decoder_layers": 16}, 0.87 * 16 ** (-5 / 16)),
    (("deepnet_encoder", 1), {"decoder_layers": 1}, 0.87),
    (("deepnet_decoder", 108), {}, 1 / 6),
    (("tfixup_encoder", 16), {}, 0.335),
    (("tfixup_decoder", 9), {}, 1 / 3),
]


@pytest.mark.parametrize(("arguments", "keywords", "expected"), BY_HAND)
def test_factors(arguments, keywords, expected):
    assert depth_factor(*arguments, **keywords) == pytest.approx(expected, rel=1e-12)


def test_every_rule_is_tested_and_cited():
    assert {arguments[0] for arguments, _, _ in BY_HAND} == set(DEPTH_RULES)
    for rule in DEPTH_RULES.values():
        assert rule.reference.split(", ")[-1].startswith("https://")


def test_deepnet_alpha():
    assert deepnet_alpha("deepnet", 8) == pytest.approx(2.0)
    assert deepnet_alpha("deepnet_decoder", 27) == pytest.approx(3.0)
    assert deepnet_alpha("deepnet_encoder", 16, decoder_layers=16) == pytest.approx(0.81 * 16 ** (5 / 16))


@pytest.mark.parametrize("layers", [6, 18, 100])
def test_deepnet_bounds_the_update(layers):
    """Both are made so that 2 N sublayers, each with an update of (β / α)² twice over, change the output by a constant.

    The paper asks for 2 N (v² + w²) / α² = O(1) with v = w = β: here it is 4 N (8 N)^(-1/2) / (2 N)^(1/2) = 1.
    """
    beta, alpha = depth_factor("deepnet", layers), deepnet_alpha("deepnet", layers)
    assert 2 * layers * 2 * beta**2 / alpha**2 == pytest.approx(1.0, rel=1e-12)


def test_stream_of_gpt2():
    """48 branches of unit variance: the stream grows to 49, scaled to 2 (24 layers).

    Each branch is a random matrix of width n = 400 on the normalised stream. What a branch adds is not quite orthogonal
    to the stream: over 25 seeds the results spread by 0.9 % (unscaled) and 0.6 %; five of these are allowed.
    """

    def stream(factor):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((100, 400))
        for _ in range(48):
            branch = x / np.sqrt(np.mean(x**2, axis=1, keepdims=True)) @ rng.normal(0, 400**-0.5, (400, 400))
            x = x + factor * branch
        return float(np.mean(x**2))

    assert stream(1.0) == pytest.approx(49.0, rel=0.045)
    assert stream(depth_factor("gpt2", 24)) == pytest.approx(2.0, rel=0.03)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: depth_factor("gpt3", 2), "Did you mean 'gpt2'"),
        (lambda: depth_factor("gpt2", 0), "`num_layers` to be an integer of at least 1"),
        (
            lambda: depth_factor("beit", 4),
            r"Expected `layer` for rule='beit'. Received: layer=None. .*\(2 l\)",
        ),
        (lambda: depth_factor("gpt2", 4, layer=1), "Expected no `layer` for rule='gpt2'. Received: layer=1"),
        (lambda: depth_factor("ds_init", 4, layer=5), "`layer` to be at most num_layers=4; the first layer is 1"),
        (lambda: depth_factor("ds_init", 4, layer=0), "`layer` to be an integer of at least 1"),
        (lambda: depth_factor("fixup", 4), "Expected `branch_layers`"),
        (lambda: depth_factor("fixup", 4, branch_layers=1), "`branch_layers` to be an integer of at least 2"),
        (lambda: depth_factor("deepnet_encoder", 4), "Expected `decoder_layers`"),
        (lambda: deepnet_alpha("gpt2", 4), "`rule` to be one of 'deepnet'"),
        (lambda: deepnet_alpha("deepnet", 4, decoder_layers=2), "Expected no `decoder_layers`"),
        (lambda: deepnet_alpha("deepnet_encoder", 4), "Expected `decoder_layers`"),
    ],
)
def test_bad_arguments(call, text):
    with pytest.raises(ValueError, match=text):
        call()
