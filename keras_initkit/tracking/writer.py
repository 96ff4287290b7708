"""Writer: calls functions about MLflow one after another in a process of its own, while this one goes on.

Writing a run is Python work of MLflow's (its database layer makes an object of every point), so a thread of this
process would take the time from building and tracing models; another process takes it from an idle core. It imports
MLflow, creates the tables of a new database and finds earlier replicas while TensorFlow is busy here.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from keras_initkit.tracking.errors import TrackingError

_PATIENCE = 20.0  # seconds that a process gets to end after its last call
_MAIN = "from keras_initkit.tracking.writer_process import serve; serve()"
_ready: list["_Process"] = []


class Writer:
    """Calls functions in order, and gives a future for each result.

    The functions are those of modules, since they are named to the other process; arguments and results are plain data.
    Where no process can be started, the functions are called here and now.
    """

    def __init__(self) -> None:
        self._process = _take()
        self._pool = ThreadPoolExecutor(1, "initkit-writer") if self._process else None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Call the function once those before it are done. Futures among the arguments stand for their results."""
        if self._pool is not None:
            return self._pool.submit(self._call, function, arguments)
        future: Future[Any] = Future()
        try:
            future.set_result(function(*_values(arguments)))
        except Exception as error:
            future.set_exception(error)
        return future

    def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        values = _values(arguments)
        if self._process is not None and not self._process.alive:
            self._process.end()
            self._process = None
        # What a process was doing when it died is lost; what comes after it need not be.
        self._process = self._process or _Process()
        return self._process.call(function, *values)

    def close(self) -> None:
        """Wait until all is done, and end the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        if self._process is not None:
            self._process.end()
        self._pool = self._process = None


def _values(arguments: tuple[Any, ...]) -> list[Any]:
    return [argument.result() if isinstance(argument, Future) else argument for argument in arguments]


def start_early() -> None:
    """Start the process of the next writer now, so that MLflow is loaded while this process loads something else."""
    if not _ready:
        process = _start()
        _ready.extend([process] if process else [])


def _take() -> "_Process | None":
    process = _ready.pop() if _ready else None
    return process if process is not None and process.alive else _start()


def _start() -> "_Process | None":
    # Some stores are for this process only: those in memory, and those whose credentials a notebook of Databricks has.
    own = ":memory:" in os.environ.get("MLFLOW_TRACKING_URI", "") or "DATABRICKS_RUNTIME_VERSION" in os.environ
    if own or not sys.executable or getattr(sys, "frozen", False):
        return None
    try:
        return _Process()
    except OSError:
        return None


class _Process:
    """A process that serves calls, see `writer_process`.

    It is none of `multiprocessing`'s, which would run the user's script anew, and it is in a session of its own, so
    that Ctrl-C ends the training and not what is being written.
    """

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        environment = {
            "MLFLOW_LOGGING_LEVEL": "WARNING",
            **os.environ,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        }
        # MLflow names the script as the source of a run, and its plugins may lie beside the script.
        code = f"import sys; sys.path[:] = {sys.path!r}; sys.argv[:] = {sys.argv!r}; {_MAIN}"
        self._popen = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        try:
            self._popen.stdin.write(pickle.dumps((function, arguments)))
            self._popen.stdin.flush()
            error, answer = pickle.load(self._popen.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            raise TrackingError(self._obituary()) from None
        if error is not None:
            raise error
        return answer

    def end(self) -> None:
        """Let the process end: at the end of its input it ends the runs that are still open."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        with contextlib.suppress(OSError):  # it died with something unread
            self._popen.stdin.close()
        try:
            self._popen.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._popen.stdout.close()
        self._log.close()

    def _obituary(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(1.0)
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        ended = "no answer" if self._popen.returncode is None else f"an end with code {self._popen.returncode}"
        return (
            f"Expected the process that writes to MLflow to go on. Received: {ended}"
            f"{f' ({lines[-1].strip()})' if lines else ''}. Check that `import mlflow` works in a new process."
        )
