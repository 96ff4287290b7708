"""Real parts for tests of tracking: an MLflow store per test, a free port, Chromium."""

import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


@pytest.fixture(scope="session")
def migrated_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One SQLite file with all tables: creating them takes seconds, copying the file none."""
    import mlflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def sqlite_store(migrated_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A store of its own, which MLflow uses by default; artifacts go below `tmp_path` too."""
    import mlflow

    path = tmp_path / "mlflow.db"
    shutil.copy(migrated_store, path)
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    yield f"sqlite:///{path}"
    while mlflow.active_run() is not None:  # a failed test must not disturb the next one
        mlflow.end_run("KILLED")


@pytest.fixture(scope="session")
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


SWITCHES = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    "--window-size=1600,1900",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Chrome"]:
    """Headless Chromium with an empty profile."""
    if not Path("/usr/bin/chromium").exists():
        pytest.skip("Chromium is not installed: /usr/bin/chromium is missing")
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for switch in SWITCHES:
        options.add_argument(switch)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    driver = Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()


def page_text(browser, url, wanted, seconds=60.0):
    """Open `url` and return its text once all `wanted` words are there, or whatever is there in the end."""
    browser.get("about:blank")  # links differ only behind the #, which alone would not load the page anew
    browser.get(url)
    deadline = time.monotonic() + seconds
    while True:
        text = " ".join(browser.execute_script("return document.body.innerText").split())
        if all(word in text for word in wanted) or time.monotonic() > deadline:
            return text
        time.sleep(0.25)
