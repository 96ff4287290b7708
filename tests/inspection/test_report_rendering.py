"""The report as text, Markdown, HTML and picture: complete, escaped, and to be copied from."""

import math
from html.parser import HTMLParser

import matplotlib.colors
import pytest

from keras_initkit.inspection.report_markdown import markdown
from keras_initkit.inspection.report_text import text
from tests.inspection.test_report import finding, report, row

NASTY = "block/<img src=x onerror=alert(1)>|`a`&*b*[red]λ\x1b[31m\n"
SHOWN = r"block/<img src=x onerror=alert(1)>|`a`&*b*[red]λ\x1b[31m\n"
LONG_FIX = 'model.get_layer("hidden").kernel.assign(keras.random.normal((64, 32), stddev=0.1))  # ' + "and so on " * 20


class Page(HTMLParser):
    """The text of the cells and code of a page, and every tag that was opened."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.cells, self.code, self.styles = [], [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.styles += [value for name, value in attrs if name == "style"]
        if tag != "meta":
            self.open.append(tag)
        if tag in ("td", "code"):
            (self.cells if tag == "td" else self.code).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "code"):
            (self.cells if self.open[-1] == "td" else self.code)[-1] += data


def markdown_cells(line):
    """Split a line of a table where GitHub does: at bars that no backslash precedes."""
    assert line.startswith("| ")
    assert line.endswith(" |")
    return [cell.strip().replace("\0", "|") for cell in line.replace(r"\|", "\0")[1:-1].split("|")]


def test_the_terminal_shows_every_layer_and_number():
    measured = row("hidden", units=32, inputs=64, distinct=30, locked=2, dead=0, verdict="locked", severity="error")
    lines = text(report([row("first"), measured], [finding("hidden", units=(4, 9))])).splitlines()
    assert lines[0] == "net cannot learn as built: 2 layers, 1 error."
    assert lines[2].split() == ["layer", "units", "inputs", "distinct", "locked", "dead", "verdict", "severity"]
    assert lines[4].split() == ["first", "8", "16", "8", "0", "0", "healthy"]
    assert lines[5].split() == ["hidden", "32", "64", "30", "2", "0", "locked", "error"]
    assert lines[7:] == [
        "error: locked: hidden (2 units: 4, 9)",
        "  Units are equal.",
        "  fix:",
        "    change(it)",
    ]


def test_a_model_without_findings_is_said_so():
    assert str(report()).splitlines()[0] == "net: 1 layer, no findings."


def test_the_width_is_that_of_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    inspected = report(findings=[finding("a", cause="word " * 40)], notes=["note " * 40])
    assert max(len(line) for line in str(inspected).splitlines()) <= 90
    assert str(inspected) == text(inspected, width=90)


def test_fixes_are_never_broken_however_narrow_the_terminal():
    for fix in (LONG_FIX, "first(line)\nsecond(line)"):
        lines = text(report(findings=[finding("a", fix=fix)]), width=40).splitlines()
        at = lines.index("  fix:") + 1
        assert [line.removeprefix("    ") for line in lines[at:]] == [line.rstrip() for line in fix.splitlines()]


def test_names_and_numbers_are_whole_however_narrow_the_terminal():
    counts = {"units": 1234567, "distinct": 1234567, "locked": 1234567}
    long = row("block/hidden_layer_with_a_long_name", **counts, verdict="uninformative", severity="warning")
    lines = text(report([long]), width=40).splitlines()
    assert lines[2].split()[-2:] == ["verdict", "severity"]
    assert lines[4].split()[1:] == ["1234567", "16", "1234567", "1234567", "0", "uninformative", "warning"]
    first_column = [line.split()[0] for line in lines[4:] if line.strip()]
    assert len(first_column) > 1
    assert "".join(first_column) == "block/hidden_layer_with_a_long_name"


def test_the_terminal_is_not_steered_by_names_and_texts():
    nasty = report([row(NASTY)], [finding(NASTY, cause=NASTY, fix=NASTY)], [NASTY])
    shown = text(nasty, width=200)
    assert "\x1b" not in shown
    assert shown.count(SHOWN) == 4  # the fix ends at the line break
    assert f"    {SHOWN[:-2]}\n" in shown


def test_the_terminal_is_not_flooded():
    many = [finding(f"layer_{n}", "warning", cause=f"Cause {n}.") for n in range(300)]
    shown = text(report(findings=many))
    assert len(shown.splitlines()) < 100
    assert "... and 288 more findings" in shown
    equal = [finding(f"layer_{n}", "warning") for n in range(300)]
    assert len(text(report(findings=equal)).splitlines()) < 15


def test_rows_may_lack_values_and_have_others():
    bare = {"layer": "a", "units": 3, "distinct": math.nan, "scale": [1, 2], "severity": ""}
    for inspected in (report([bare]), report([bare], notes=["why"])):
        assert text(inspected).splitlines()[4].split() == ["a", "3", "-"]
        assert "| `a` | 3 |  | - |" in inspected.to_markdown()
        assert Page(inspected.to_html()).cells[:4] == ["a", "3", "", "-"]


def test_a_report_without_layers_has_no_table():
    empty = report([], notes=["The model has no hidden layer."])
    assert str(empty) == "net: 0 layers, no findings.\nnote: The model has no hidden layer."
    assert "| layer" not in empty.to_markdown()
    assert "<table" not in empty.to_html()


def test_markdown_is_a_valid_table():
    lines = markdown(report([row("first"), row(NASTY, verdict="locked")], [finding(NASTY)])).splitlines()
    table = [markdown_cells(line) for line in lines if line.startswith("| ")]
    assert {len(cells) for cells in table} == {8}
    assert table[0][:3] == ["layer", "units", "inputs"]
    assert all(set(cell) <= set("-:") for cell in table[1])
    assert table[3][0] == f"``{SHOWN}``"


def test_markdown_shows_texts_as_they_are_and_fixes_as_code():
    fix = "a = '''```'''"
    shown = markdown(report([], [finding("my_layer", cause="<b> *c* my_layer _d_ `e`", fix=fix)], ["x | y"]))
    assert r"&lt;b&gt; \*c\* my_layer \_d\_ \`e\`" in shown
    assert f"````python\n{fix}\n````\n" in shown
    assert "**error: locked**: `my_layer`" in shown
    assert r"- x \| y" in shown


def test_html_is_escaped_and_closed():
    nasty = report([row(NASTY)], [finding(NASTY, cause=NASTY, fix=NASTY)], [NASTY])
    for page in (nasty.to_html(), nasty._repr_html_()):
        read = Page(page)
        assert read.open == []
        assert not {"img", "script", "link"} & set(read.tags)
        assert read.cells[0] == SHOWN
        assert read.code == [SHOWN, NASTY]
        assert "http" not in page


def test_html_is_readable_on_light_and_dark_pages():
    """Nothing sets the colour of text or background, so those of the page hold."""
    read = Page(report(findings=[finding("a"), finding("a", "info")])._repr_html_())
    properties = [part.split(":")[0].strip() for style in read.styles for part in style.split(";")]
    assert "border-left" in properties
    assert not {"color", "background", "background-color"} & set(properties)
    page = report().to_html()
    assert page.startswith("<!DOCTYPE html>")
    assert '<meta charset="utf-8">' in page
    assert '<meta name="color-scheme" content="light dark">' in page


def test_the_picture_shows_shares_and_chance():
    rows = [
        row("a", distinct=2, locked=6, dead=4, rms=0.9, verdict="locked"),
        row("$b$", distinct=math.nan, rms=math.nan),
    ]
    units, alike = report(rows).plot().axes
    widths = {bars.get_label(): [bar.get_width() for bar in bars] for bars in units.containers}
    assert widths["distinct"][0] == 0.25
    assert widths["locked"] == [0.75, 0]
    assert widths["dead"] == [0.5, 0]
    assert [label.get_text() for label in units.get_yticklabels()] == ["a\nlocked", r"\$b\$" + "\nhealthy"]
    assert [line.get_text() for line in units.texts] == ["not measured"]
    chance, measured = (line.get_xdata() for line in alike.lines)
    assert list(chance) == pytest.approx([0.25, 0.25])
    assert measured[0] == 0.9
    colours = [matplotlib.colors.to_hex(bars[0].get_facecolor()).upper() for bars in units.containers]
    assert colours == ["#56B4E9", "#D55E00", "#000000"]
    # The first layer is at the top, as in the table.
    assert units.get_ylim()[0] > units.get_ylim()[1]


def test_a_report_without_layers_cannot_be_drawn():
    with pytest.raises(ValueError, match=r"Expected a report with layers to draw. Received: none"):
        report([]).plot()
