"""When layers unlock, collapse, die: events, warnings that come once, and the sentences about them."""

import dataclasses
import math

import keras
import numpy as np
import pytest

from keras_initkit import InitializationError, SymmetryMonitor
from keras_initkit.callbacks.lock_gaps import LockedUnits
from keras_initkit.callbacks.symmetry_events import EVENTS, SymmetryEvent, layer_events
from keras_initkit.callbacks.symmetry_summary import describe_lock
from keras_initkit.inspection.finding import VERDICTS

L = keras.layers


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    layers = [L.Dense(6, "tanh", name="one"), L.Dense(5, "relu", name="two"), L.Dense(3, name="out")]
    return keras.Sequential([keras.Input((8,)), *layers], name="net")


@pytest.fixture
def states(model):
    """Weights of the model by what they make of its two hidden layers."""
    rng = np.random.default_rng(1)
    shapes = [weight.shape for weight in model.get_weights()]
    sound = [0.5 * rng.standard_normal(shape).astype("float32") for shape in shapes]
    locked = [np.full(shape, 0.3, "float32") for shape in shapes]
    pair = [weight.copy() for weight in sound]
    pair[0][:, 4], pair[1][4], pair[2][4] = sound[0][:, 1], sound[1][1], sound[2][1]
    dead = [np.zeros_like(weight) for weight in sound]
    broken = [weight * math.nan for weight in sound]
    alike = [locked[0] / 2, locked[1] / 2, *sound[2:]]  # the first layer only, and different outgoing weights
    return {"sound": sound, "locked": locked, "pair": pair, "dead": dead, "broken": broken, "alike": alike}


def watch(model, states, story, **options):
    """Return a monitor that saw the model in these states, one after the other."""
    monitor = SymmetryMonitor(**{"on_locked": "ignore", **options})
    for time, name in enumerate(story):
        model.set_weights(states[name])
        monitor.measure(model, time)
    return monitor


def told(monitor, layer="one"):
    return [(e.epoch, e.what, e.before, e.after) for e in monitor.events if e.layer == layer]


def test_what_happens_to_a_layer_is_an_event_at_its_measurement(model, states):
    story = ["locked", "locked", "sound", "sound", "locked", "dead", "sound", "pair", "sound", "broken", "broken"]
    monitor = watch(model, states, story)
    assert told(monitor) == [
        (2, "unlocked", 6, 0), (4, "collapsed", 0, 6), (5, "died", 0, 6),
        (6, "unlocked", 6, 0), (6, "revived", 6, 0), (7, "collapsed", 0, 2), (8, "unlocked", 2, 0),
        (9, "exploded", 0, 6),
    ]  # fmt: skip
    assert {event.layer for event in monitor.events} == {"one", "two"}
    assert monitor.verdicts == {"one": "exploding", "two": "exploding"}


def test_a_collapse_is_one_also_if_the_units_were_equal_incoming_before_they_locked(model, states):
    assert told(watch(model, states, ["alike", "locked"])) == [(1, "locked", 0, 6)]
    monitor = watch(model, states, ["sound", "alike", "locked"])
    assert told(monitor) == [(1, "collapsed", 0, 5), (2, "collapsed", 0, 6)]


def test_a_model_that_stays_as_it_is_has_no_events(model, states):
    for name in states:
        assert watch(model, states, [name] * 3).events == []


def row(verdict, *, distinct=8, locked=0, dead=0, epoch=3):
    counts = {"units": 8, "distinct": distinct, "locked": locked, "dead": dead}
    return {"epoch": epoch, "layer": "x", "verdict": verdict, **counts}


@pytest.mark.parametrize(
    ("before", "after", "most_distinct", "expected"),
    [
        (row("transient", distinct=1), row("healthy"), 1, [("separated", 7, 0)]),
        (row("plateau"), row("healthy"), 8, [("escaped", 0, 0)]),
        (row("healthy"), row("plateau"), 8, [("condensed", 0, 0)]),
        (row("healthy"), row("redundant", distinct=2), 8, [("collapsed", 0, 6)]),
        (row("transient", distinct=1), row("locked", distinct=1, locked=8), 1, [("locked", 0, 8)]),
        (row("locked", distinct=7, locked=2), row("locked", distinct=1, locked=8), 7, [("collapsed", 2, 8)]),
        (row("locked", distinct=1, locked=8), row("locked", distinct=5, locked=4), 1, [("unlocked", 8, 4)]),
        (row("healthy"), row("dead", dead=2), 8, [("died", 0, 2)]),
        (row("transient", distinct=1), row("dead", distinct=1, dead=8), 1, [("died", 0, 8)]),
        (row("healthy"), row("uninformative"), 8, []),
        (row("healthy", distinct=8), row("healthy", distinct=7), 8, []),
    ],
)
def test_every_kind_of_event(before, after, most_distinct, expected):
    events = layer_events(before, after, most_distinct)
    assert [(e.what, e.before, e.after) for e in events] == expected
    assert all((e.epoch, e.layer) == (3, "x") and e.what in EVENTS for e in events)


def test_events_are_small_frozen_records():
    event = SymmetryEvent(3, "x", "unlocked", 8, 0)
    assert dataclasses.astuple(event) == (3, "x", "unlocked", 8, 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.what = "collapsed"


# ------------------------------------------------------------------------------------------------------------- warnings


def test_a_late_collapse_is_reported_once(model, states):
    with pytest.warns(UserWarning, match="lost units during training, measured after step 2") as caught:
        watch(model, states, ["sound", "sound", "locked", "locked", "sound", "locked"], on_locked="warn")
    [warning] = caught
    text = str(warning.message)
    assert text.startswith("2 hidden layer(s)")
    assert "one: its units collapsed: 1 of 6 are distinct now (6 of 6 units are locked); they differed before" in text
    assert "learning rate" in text
    assert "kernel_initializer" not in text  # the initial weights are not to blame


def test_one_layer_is_reported_once_per_kind(model, states):
    with pytest.warns(UserWarning, match="hidden layer") as caught:
        watch(model, states, ["locked", "sound", "locked", "sound", "locked"], on_locked="warn")
    assert ["cannot learn" in str(w.message) for w in caught] == [True, False]


def test_units_that_die_late_are_reported(model, states):
    with pytest.warns(UserWarning, match="two: 5 of 5 units died: they learned before"):
        watch(model, states, ["sound", "dead"], on_locked="warn", layers=["two"])


def test_a_collapse_raises_where_asked_and_keeps_the_record(model, states):
    monitor = SymmetryMonitor(on_locked="raise")
    model.set_weights(states["sound"])
    monitor.measure(model, 0)
    model.set_weights(states["pair"])
    with pytest.raises(InitializationError, match="one: its units collapsed: 5 of 6 are distinct now"):
        monitor.measure(model, 1)
    assert len(monitor.rows) == 4
    assert monitor.measure(model, 2)[0]["locked"] == 2  # said once


def test_a_collapse_without_a_lock_is_a_warning_at_most(model, states):
    frozen = keras.models.clone_model(model)
    frozen.get_layer("one").trainable = False
    monitor = SymmetryMonitor(on_locked="raise")
    frozen.set_weights(states["sound"])
    monitor.measure(frozen, 0)
    frozen.set_weights(states["pair"])
    with pytest.warns(UserWarning, match="5 of 6 are distinct now \\(not locked\\)"):
        monitor.measure(frozen, 1)
    assert monitor.verdicts["one"] == "redundant"


def test_a_collapse_in_fit_is_seen_and_stops_it(model, states):
    model.compile("sgd", "mse", run_eagerly=True)
    model.set_weights(states["sound"])
    spoil = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, _: model.set_weights(states["locked"]) if epoch == 1 else None
    )
    x, y = np.ones((4, 8), "float32"), np.zeros((4, 3), "float32")
    monitor = SymmetryMonitor(on_locked="stop")
    with pytest.warns(UserWarning, match="lost units during training, measured after epoch 2"):
        history = model.fit(x, y, epochs=9, verbose=0, callbacks=[spoil, monitor])
    assert len(history.epoch) == 2
    assert told(monitor) == [(2, "collapsed", 0, 6)]


# ------------------------------------------------------------------------------------------------------------ sentences


def test_the_summary_tells_the_story_of_each_layer(model, states):
    assert SymmetryMonitor().summary() == "Nothing was measured yet."
    assert watch(model, states, ["sound"]).summary() == "one: healthy at step 0\ntwo: healthy at step 0"
    one, two = watch(model, states, ["locked", "locked", "sound", "sound", "pair"]).summary().splitlines()
    assert one == (
        "one: locked at step 0 (6 of 6 units), unlocked at step 2 (6 -> 0 units), collapsed at step 4 (0 -> 2 units), "
        "still locked at step 4 (2 of 6 units); apart since step 2"
    )
    assert two == (
        "two: locked at step 0 (5 of 5 units), unlocked at step 2 (5 -> 0 units), healthy at step 4; apart since step 2"
    )
    assert watch(model, states, ["locked"] * 13).summary().splitlines()[0] == (
        "one: locked from step 0 to 12 (6 of 6 units); exact: bit-equal for 12 steps"
    )
    assert watch(model, states, ["dead"] * 2).summary().splitlines()[0] == "one: dead from step 0 to 1 (6 of 6 units)"


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ([0.0], ""),
        ([0.0, 0.0], "exact: bit-equal for 1 epoch"),
        ([0.0, 2e-7], "held up to rounding: gap 2e-07"),
        ([0.0, 1e-6, 1e-4], "held up to rounding: gap 1e-04, grows 100-fold per epoch, apart in about 2 epochs"),
        (
            [1e-6, 1.5e-6, 2.25e-6],
            "held up to rounding: gap 2e-06, grows twofold in 2 epochs, apart in about 32 epochs",
        ),
        ([2e-7, 1e-7], "held up to rounding: gap 1e-07, not growing"),
        ([0.0, 1.4e-6, 2.1e-4, 3e-2, 0.7], "apart since epoch 4; before, the gap grew 150-fold per epoch"),
        ([0.0, 0.7], "apart since epoch 1"),
    ],
)
def test_how_a_lock_holds_in_words(gaps, expected):
    times = list(range(len(gaps)))
    assert describe_lock(LockedUnits(np.zeros(2, int), np.ones(2), 2, times, gaps), "epoch") == expected


def test_events_name_verdicts_that_exist(model, states):
    monitor = watch(model, states, ["locked", "sound", "dead", "broken"])
    assert {row["verdict"] for row in monitor.rows} <= set(VERDICTS)
