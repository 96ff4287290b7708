"""The truth table of initialisations: what inspect says before the first step is what a hundred real steps do."""

import numpy as np
import pytest

import keras_initkit as ik
from tests.physics.restarting import Restarting
from tests.physics.rings_net import (
    LAYERS,
    WIDTH,
    build,
    constant,
    incoming,
    joint,
    positive,
    random_weights,
    tiled,
    train,
    with_company,
)

ZERO = dict.fromkeys(range(3), 0.0)
EQUAL = dict.fromkeys(range(3), 0.5)
# Initialisation: weights, verdicts on both hidden layers for tanh, and for relu where they differ.
TRUTH = {
    "random": (random_weights(), ("uninformative", "healthy"), None),
    "all constant": (constant(EQUAL), ("locked", "locked"), None),
    "all zeros": (constant(ZERO), ("dead", "dead"), None),
    "first constant": (constant({0: 0.5}), ("transient", "healthy"), None),
    "first zeros": (constant({0: 0.0}), ("transient", "healthy"), ("dead", "dead")),
    "second constant": (constant({1: 0.5}), ("uninformative", "transient"), None),
    "output constant": (constant({2: 0.5}), ("uninformative", "healthy"), None),
    "output zeros": (constant({2: 0.0}), ("uninformative", "healthy"), None),
    "second and output constant": (constant({1: 0.5, 2: 0.5}), ("uninformative", "locked"), None),
    "first and second constant": (constant({0: 0.5, 1: 0.5}), ("locked", "transient"), None),
    "second and output zeros": (constant({1: 0.0, 2: 0.0}), ("dead", "dead"), None),
    "tiled": (tiled(), ("locked", "healthy"), None),
    "constant, random biases": (constant(EQUAL, bias_std=0.1), ("uninformative", "plateau"), None),
    "positive": (positive(), ("uninformative", "healthy"), None),
}


@pytest.fixture(scope="module")
def nets():
    return {activation: Restarting(build(activation)) for activation in ("tanh", "relu")}


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("name", TRUTH)
def test_the_forecast_is_what_a_hundred_steps_do(nets, name, activation):
    weights, verdicts, relu_verdicts = TRUTH[name]
    verdicts = relu_verdicts if relu_verdicts and activation == "relu" else verdicts
    inspection = ik.inspect(nets[activation].start(weights))
    assert tuple(row["verdict"] for row in inspection.rows) == verdicts
    before, after = nets[activation].model.get_weights(), train(nets[activation], weights)
    for layer, row in enumerate(inspection.rows):
        # Units that are locked, and no others, still have their likes; incoming weights part wherever they can.
        assert with_company(joint(after, layer)) == row["locked"]
        if row["verdict"] == "transient":
            assert with_company(incoming(before, layer), tolerance=0) == WIDTH
            assert with_company(incoming(after, layer)) == 0
        moved = not np.array_equal(incoming(before, layer), incoming(after, layer))
        assert moved == (row["verdict"] != "dead")
        assert row["dead"] == (0 if moved else WIDTH)
    cannot_learn = {name for name, verdict in zip(LAYERS, verdicts, strict=True) if verdict in ("locked", "dead")}
    assert {finding.layer for finding in inspection.findings if finding.severity == "error"} == cannot_learn
    # After training the weights tell the same.
    trained = ik.inspect(nets[activation].model)
    assert [row["locked"] for row in trained.rows] == [row["locked"] for row in inspection.rows]
    assert [row["dead"] for row in trained.rows] == [row["dead"] for row in inspection.rows]
