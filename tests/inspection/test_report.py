"""The report as an object: order, severity, plain values, and the error that test suites see."""

import json
import math

import numpy as np
import pytest

from keras_initkit import InitializationError
from keras_initkit.inspection.finding import Finding
from keras_initkit.inspection.report import Inspection
from keras_initkit.inspection.report_groups import grouped


def row(layer, **other):
    """Return the row of a healthy layer of 8 units and 16 inputs, with what differs."""
    numbers = {"mean": 0.0, "rms": 0.25, "mean_abs": 0.2, "max_abs": 0.6, "participation": 5.6, "null_z": 0.0}
    counts = {"units": 8, "inputs": 16, "distinct": 8, "locked": 0, "dead": 0}
    return {"layer": layer, **counts, **numbers, "verdict": "healthy", "severity": "", **other}


def finding(layer, severity="error", *, verdict="locked", units=(), cause="Units are equal.", fix="change(it)"):
    return Finding(layer, verdict, severity, units, cause, fix)


def report(rows=None, findings=(), notes=()):
    return Inspection("net", tuple(findings), [row("dense_1")] if rows is None else rows, tuple(notes))


def test_the_worst_comes_first_then_the_order_of_the_layers():
    given = [finding("c", "info"), finding("b", "error"), finding("a", "warning"), finding("a", "error")]
    shown = report([row("a"), row("b"), row("c")], [finding("elsewhere", "error"), *given]).findings
    assert [(found.layer, found.severity) for found in shown] == [
        ("a", "error"),
        ("b", "error"),
        ("elsewhere", "error"),
        ("a", "warning"),
        ("c", "info"),
    ]


@pytest.mark.parametrize(("severity", "ok"), [("error", False), ("warning", True), ("info", True)])
def test_only_errors_are_not_ok(severity, ok):
    assert report(findings=[finding("a", severity)]).ok is ok


def test_a_report_without_findings_is_ok():
    assert report().ok
    report().assert_healthy("info")


@pytest.mark.parametrize(
    ("severity", "raising"), [("error", "error"), ("warning", "error warning"), ("info", "error warning info")]
)
def test_assert_healthy_raises_from_the_severity_on(severity, raising):
    for found in ("error", "warning", "info"):
        inspected = report(findings=[finding("dense_1", found)])
        if found in raising.split():
            with pytest.raises(InitializationError, match="Expected a model without findings"):
                inspected.assert_healthy(severity)
        else:
            inspected.assert_healthy(severity)


def test_the_error_has_the_table_and_the_fix():
    inspected = report([row("dense_1", locked=8)], [finding("dense_1", fix='kernel_initializer="he_normal"')])
    with pytest.raises(InitializationError) as raised:
        inspected.assert_healthy()
    message = str(raised.value)
    assert "Received: 'net' with 1 error." in message
    assert 'kernel_initializer="he_normal"' in message
    assert "layer    units  inputs  distinct  locked  dead  verdict  severity" in message


def test_an_unknown_severity_is_refused():
    with pytest.raises(ValueError, match=r"Expected `severity` to be one of 'error', 'warning', 'info'.*'warning'\?"):
        report().assert_healthy("warnings")


def test_to_dict_is_plain_json_without_nan():
    evidence = {
        "gap": np.float32(0.5),
        "classes": np.arange(3),
        "open": math.inf,
        "odd": np.bool_(True),
        "shape": (2, 3),
        "dtype": np.dtype("float32"),
        1: None,
    }
    measured = row("a", distinct=math.nan, units=np.int64(8), extra=[math.nan, 1.0])
    inspected = Inspection("net", (Finding("a", "locked", "error", (0, 1), "c", "f", evidence),), [measured], ("n",))
    read = json.loads(json.dumps(inspected.to_dict(), allow_nan=False))
    assert set(read) == {"model", "ok", "findings", "rows", "notes"}
    assert read["ok"] is False
    assert read["notes"] == ["n"]
    assert read["rows"][0]["distinct"] is None
    assert read["rows"][0]["units"] == 8
    assert read["rows"][0]["extra"] == [None, 1.0]
    assert read["findings"][0]["units"] == [0, 1]
    assert read["findings"][0]["evidence"] == {
        "gap": 0.5,
        "classes": [0, 1, 2],
        "open": None,
        "odd": True,
        "shape": [2, 3],
        "dtype": "float32",
        "1": None,
    }


def test_findings_that_say_the_same_are_one_group():
    same = [finding(f"layer_{n}", "warning") for n in range(20)]
    other = finding("layer_3", "warning", fix="another")
    groups = grouped(report(findings=[*same, other]).findings)
    assert [len(group.findings) for group in groups] == [20, 1]
    assert groups[0].layers == [f"layer_{n}" for n in range(8)]
    assert groups[0].further == " and 12 more layers"


def test_fixes_that_differ_in_the_name_of_the_layer_are_one_group_with_a_line_each():
    def fixed(layer, code='.kernel.assign("he_normal")'):
        reached = "".join(f'.get_layer("{part}")' for part in layer.split("/"))
        return finding(layer, cause=f"Units of {layer} are equal.", fix=f"model{reached}{code}")

    (group,) = grouped([fixed("block/a"), fixed("block/b")])
    assert group.layers == ["block/a", "block/b"]
    assert group.fix.splitlines() == [fixed("block/a").fix, fixed("block/b").fix]
    (many,) = grouped([fixed(f"block/{n}") for n in range(20)])
    assert many.fix.splitlines()[7:] == [fixed("block/7").fix, "# and the same for 12 more"]
    assert len(grouped([fixed("a"), fixed("b", ".other")])) == 2
    assert grouped([finding("a"), finding("b")])[0].fix == "change(it)"


@pytest.mark.parametrize(
    ("units", "text"),
    [
        ((), ""),
        ((7,), " (unit 7)"),
        ((3, 4, 5), " (3 units: 3 to 5)"),
        ((1, 2, 5), " (3 units: 1, 2, 5)"),
        (tuple(range(0, 20, 2)), " (10 units: 0, 2, 4, 6, 8, 10, 12, 14 and 2 more)"),
    ],
)
def test_the_units_of_a_single_finding_are_named(units, text):
    assert grouped([finding("a", units=units)])[0].further == text


def test_repr_is_one_short_line():
    inspected = report([row("a"), row("b")], [finding("a"), finding("b"), finding("b", "info")])
    assert repr(inspected) == "Inspection('net', 2 layers, 2 errors, 1 info)"
