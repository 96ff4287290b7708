"""The README: its code runs and prints what it shows, its commands, links and tables exist."""

import contextlib
import importlib.metadata
import io
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from keras_initkit.cli import main
from keras_initkit.inspection.worst import STATISTICS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def _runs():
    """Return pairs of a python block and the text block right behind it, or None."""
    following = [*BLOCKS[1:], ("", "")]
    pieces = re.split(r"^```\w*\n.*?^```\n", README, flags=re.MULTILINE | re.DOTALL)[1:]
    return [
        (code, then[1] if then[0] == "text" and not between.strip() else None)
        for (kind, code), then, between in zip(BLOCKS, following, pieces, strict=True)
        if kind == "python"
    ]


def test_the_code_runs_and_prints_what_is_shown():
    namespace = {}
    runs = _runs()
    assert len(runs) >= 5
    for code, shown in runs:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), namespace)
        if shown is not None:
            assert printed.getvalue().strip() == shown.strip()
    plt.close("all")


def test_commands_exist_with_their_options():
    commands = re.findall(r"keras-initkit (compare|inspect|list|ui)(?: [\w.]+)?((?: --[\w-]+)*)", README)
    assert {name for name, _ in commands} == {"compare", "inspect", "list", "ui"}
    for name, options in commands:
        known = {flag for parameter in main.commands[name].params for flag in parameter.opts}
        assert set(options.split()) <= known
    for flag in re.findall(r"keras-initkit compare (--.*)", README)[0].split():
        if flag.startswith("--"):
            assert flag in {option for parameter in main.commands["compare"].params for option in parameter.opts}


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_links_lead_to_files(link):
    assert (ROOT / link).exists()


def test_every_statistic_and_extra_is_explained():
    table = re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)
    assert list(STATISTICS) == table[: len(STATISTICS)]
    for extra in importlib.metadata.metadata("keras-initkit").get_all("Provides-Extra"):
        assert f"`{extra}`" in README
