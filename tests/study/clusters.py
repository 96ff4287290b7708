"""Executors to train in, one of a kind for the whole session, and plain functions for their workers; no Keras here."""

import os
import signal
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keras_initkit.study.executors import RayExecutor, processes

_started = {}  # kind -> executor and what stops it; every test module that imports the fixture has its own of it
KINDS = ("processes", "threads", "ray", "dask")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Return a function from a kind to an executor with two workers, started when it is first asked for."""

    def executor(kind):
        if kind not in _started:
            # Workers keep the folder they were started in; that of a test is gone before they are.
            folder, own = tmp_path_factory.getbasetemp(), Path.cwd()
            os.chdir(folder)
            try:
                _started[kind] = _START[kind]()
            finally:
                os.chdir(own)
        return _started[kind][0]

    yield executor
    while _started:
        _started.popitem()[1][1]()


def _processes():
    executor = processes(2)
    return executor, lambda: executor.shutdown(cancel_futures=True)


def _threads():
    executor = ThreadPoolExecutor(2)
    return executor, executor.shutdown


def _ray():
    ray = pytest.importorskip("ray")
    with warnings.catch_warnings():
        # Ray announces how later versions will treat machines without accelerators.
        warnings.filterwarnings("ignore", "Tip: In future versions of Ray", FutureWarning)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    return RayExecutor(), ray.shutdown


def _dask():
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    # By default a group that kills its worker is given to three others.
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50)
    client = distributed.Client(cluster)

    def stop():
        client.close()
        cluster.close()

    return client.get_executor(pure=False, retries=0), stop


_START = {"processes": _processes, "threads": _threads, "ray": _ray, "dask": _dask}


def process_id(seconds=0.0):
    time.sleep(seconds)
    return os.getpid()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def fail(text):
    raise ArithmeticError(text)


def not_picklable():
    return lambda: None


def environment(name):
    return os.environ.get(name)


def note_process_and_sleep(folder, seconds=60.0):
    Path(folder, str(os.getpid())).touch()
    time.sleep(seconds)


def noted_processes(folder, count=1, seconds=60.0):
    """Wait until so many processes have noted themselves in a folder, and return their numbers."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = [int(path.name) for path in Path(folder).iterdir()]
        if len(found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{found} of {count} processes in {folder} after {seconds} s")


def is_gone(process, seconds=10.0):
    """Return whether a process ends within some time; one that nobody has waited for counts as ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False
