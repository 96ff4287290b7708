"""The MLflow UI on the store in use: start its server, wait for it, stop it; links to the views of the kit."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keras_initkit._checks import describe
from keras_initkit.tracking.errors import TrackingError
from keras_initkit.tracking.store import connect, store_uri
from keras_initkit.tracking.views import VIEW_PREFIX, view_url

if TYPE_CHECKING:
    from mlflow import MlflowClient

_START_SECONDS = 180.0  # importing MLflow's server takes 10 s on an idle machine and far more on a busy one
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Link:
    """A link that opens an experiment with one of our views."""

    experiment: str
    view: str
    url: str


@contextmanager
def serve(tracking_uri: str | None = None, host: str = "127.0.0.1", port: int = 5000) -> Iterator[str]:
    """Serve the MLflow UI on a store while the block runs.

    A store that is a server already is used as it is; nothing is started then.

    Args:
        tracking_uri: address of the store. Defaults to MLflow's own choice.
        host: address to listen on. The default is reachable from this machine only.
        port: port to listen on, from 1 to 65535.

    Yields:
        The address of the UI, for example `"http://127.0.0.1:5000"`.

    Raises:
        ValueError: if `port` is none.
        TrackingError: if the store cannot be used, the port is taken, or the server does not come up.

    Example:

    ```python
    with serve("sqlite:///mlflow.db") as url:
        print(url)
        input("Press Enter to stop.")
    ```
    """
    _check_port(port)
    uri = store_uri(tracking_uri)
    connect(uri)
    if uri.startswith(("http://", "https://")):
        yield uri.rstrip("/")
        return
    _check_free(host, port)
    with tempfile.TemporaryDirectory(prefix="initkit-server-") as folder:
        log = Path(folder) / "server.log"
        process = _start(uri, host, port, log)
        try:
            url = f"http://{host}:{port}"
            _wait(process, url, log)
            yield url
        finally:
            _stop(process)


def comparison_links(client: "MlflowClient", base_url: str) -> list[Link]:
    """Return links to all views of the kit, newest experiments first.

    Args:
        client: client of the store.
        base_url: address of the UI.
    """
    tag = f"mlflow.sharedViewState.{VIEW_PREFIX}"
    links = []
    token = None
    while True:
        page = client.search_experiments(order_by=["last_update_time DESC"], page_token=token)
        for experiment in page:
            views = sorted(
                key.removeprefix("mlflow.sharedViewState.") for key in experiment.tags if key.startswith(tag)
            )
            links += [Link(experiment.name, view, view_url(base_url, experiment.experiment_id, view)) for view in views]
        token = page.token
        if not token:
            return links


def _check_port(port: int) -> None:
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise ValueError(f"Expected `port` to be an integer from 1 to 65535. Received: port={describe(port)}.")


def _check_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        if os.name == "posix":  # elsewhere this option would let the probe share a port in use
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise TrackingError(
                f"Expected a free port on {host}. Received: port={port}, which cannot be used ({error}). "
                f"Stop what uses it, or choose another one, for example `--port {port + 1 if port < 65535 else 5000}`."
            ) from error


def _start(uri: str, host: str, port: int, log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--host", host, "--port", str(port), "--workers", "1"]
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with log.open("wb") as output:
        # A session of its own: the server starts workers, which are stopped with it as one group.
        return subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    ended = process.poll()
    came = f"no answer in {_START_SECONDS:g} s" if ended is None else f"a process that ended with code {ended}"
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise TrackingError(
        f"Expected MLflow's server to come up at {url}. Received: {came}. The end of its log says why:\n{tail}"
    )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    _signal(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()


def _signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    """Send a signal to the server and all it started."""
    with suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, number)
        else:
            process.terminate()
