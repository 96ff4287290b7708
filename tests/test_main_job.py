"""The main job as a user does it: compare on the digits, open the MLflow UI, look at the comparison."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from keras_initkit.cli import main
from tests.mlflow_fixtures import page_text


@pytest.mark.browser
@pytest.mark.usefixtures("sqlite_store")
def test_compare_on_the_digits_and_open_it_in_the_ui(free_port, browser, tmp_path):
    arguments = ["compare", "--seeds", "2", "--epochs", "4", "--initializers", "zeros,ones,he_normal"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    table = {line.split()[1]: line for line in done.output.splitlines() if line.strip()[:1].isdigit()}
    assert next(iter(table)) == "he_normal"
    assert "healthy" in table["he_normal"]
    assert "locked" in table["zeros"]
    assert "locked" in table["ones"]
    assert "Open the comparison:  keras-initkit ui" in done.output
    printed_view = done.output.split("viewStateShareKey=")[1].split("&")[0]

    command = [str(Path(sys.executable).with_name("keras-initkit")), "ui", "--port", str(free_port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        links = []
        for line in server.stdout:
            links += [line.strip()] if "viewStateShareKey=" in line else []
            if "Press Ctrl-C" in line:
                break
        assert [printed_view in link for link in links] == [True]
        wanted = [
            *(
                "Convergence (4)",
                "Symmetry (3)",
                "convergence/epochs_to_target_capped",
                "train/loss",
                "symmetry/locked",
            ),
            *("Group: he_normal", "Group: ones", "Group: zeros", "6 matching runs"),
        ]
        browser.set_window_size(2000, 3200)  # charts below the edge are not drawn
        text = page_text(browser, links[0], wanted)
        browser.save_screenshot(str(tmp_path / "comparison.png"))
        assert [word for word in wanted if word not in text] == []
    finally:
        server.send_signal(signal.SIGINT)
        rest = server.communicate(timeout=60)[0]
    assert server.returncode == 0
    assert "Stopped." in rest
