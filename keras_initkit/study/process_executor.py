"""Fresh processes on this machine that train groups of replicas, and end when they are no longer wanted."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import BrokenExecutor, Executor, Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import process, util
from multiprocessing.connection import Connection
from typing import Any

from keras_initkit._checks import check_integer

_context = multiprocessing.get_context("spawn")
_THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")
GUARD = 'Put what the script does under `if __name__ == "__main__":`, since every worker process imports it anew'


class WorkersDoNotStart(BrokenExecutor):
    """No process can be started, mostly since the script that starts it would start others in turn."""


class ProcessDied(RuntimeError):
    """A worker process ended while it was working."""


class ProcessExecutor(Executor):
    """An executor with fresh processes on this machine, one for each worker, started when they are needed.

    It differs from `ProcessPoolExecutor(mp_context="spawn")` in what happens when things go wrong: a process that dies
    costs only the call it was working on, and is replaced; to cancel a call that is running ends its process; and
    processes end with the one that started them, even if that is killed. The cores are shared out among the workers.

    Args:
        workers: number of processes.

    Attributes:
        workers: number of processes.
    """

    def __init__(self, workers: int) -> None:
        self.workers = check_integer("workers", workers, 1)
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="keras-initkit")
        self._idle: list[_Worker] = []
        self._futures: set[Future[Any]] = set()
        self._unable: WorkersDoNotStart | None = None

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Schedule `fn(*args, **kwargs)` in one of the processes."""
        refuse_while_starting()
        future: Future[Any] = Future()
        self._threads.submit(self._run, future, (fn, args, kwargs))
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def _run(self, future: "Future[Any]", call: Any) -> None:
        # It stays pending until it is done, so that it can be cancelled at any time.
        worker: _Worker | None = None
        if not future.cancelled():
            try:
                worker = self._free_worker()
                future.add_done_callback(worker.kill_if_cancelled)
                succeeded, value = worker.call(call)
            except Exception as error:
                if isinstance(error, WorkersDoNotStart) and not future.cancelled():
                    self._unable = error  # the others would not start either
                succeeded, value = False, error
            with suppress(InvalidStateError):  # if it was cancelled
                future.set_result(value) if succeeded else future.set_exception(value)
        if future.cancelled():
            future.set_running_or_notify_cancel()
            if worker:
                worker.kill()
        elif worker and worker.alive:
            self._idle.append(worker)

    def _free_worker(self) -> "_Worker":
        if self._unable:
            raise self._unable
        return self._idle.pop() if self._idle else _Worker(max(1, _cores() // self.workers))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes.

        Args:
            wait: whether to wait until they are ended. Defaults to `True`.
            cancel_futures: whether to cancel calls that are not finished, running ones too, rather than to let them
                finish. Defaults to `False`.
        """
        if cancel_futures:
            for future in list(self._futures):
                future.cancel()
        ending = threading.Thread(target=self._end)
        ending.start()
        if wait:
            ending.join()

    def _end(self) -> None:
        self._threads.shutdown()
        while self._idle:
            self._idle.pop().end()

    def __exit__(self, kind: Any, error: Any, tb: Any) -> None:
        self.shutdown(cancel_futures=kind is not None)


class _Worker:
    """A worker process and the connection to it."""

    def __init__(self, threads: int) -> None:
        self._connection, other = _context.Pipe()
        self._process = _context.Process(target=_serve, args=(other, threads))
        self._process.start()
        other.close()
        # Before those of multiprocessing, which would wait for the process.
        self._finalize = util.Finalize(self, self._process.kill, exitpriority=10)
        self._started = False

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def call(self, call: Any) -> tuple[bool, Any]:
        """Return whether the call succeeded, and its value or exception."""
        try:
            if not self._started:
                self._started = bool(self._connection.recv())
            self._connection.send(call)
            answer: tuple[bool, Any] = self._connection.recv()
            return answer
        except (EOFError, OSError):
            self._process.join()
        code = self._process.exitcode or 0
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        if not self._started:
            raise WorkersDoNotStart(
                f"Expected worker processes that start. Received: one that ended {how} before it could work; what it "
                f"has printed says why. {GUARD}."
            )
        raise ProcessDied(f"a worker process that ended {how}")

    def kill_if_cancelled(self, future: "Future[Any]") -> None:
        if future.cancelled():
            self._process.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def end(self) -> None:
        self._connection.close()
        self._process.join(timeout=5)
        self.kill()


def _serve(connection: Connection, threads: int) -> None:
    """Answer calls until the connection ends, or the process at its other end does."""
    # Ctrl-C in a terminal reaches all processes; the one that started this decides what comes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for name in _THREADS:
        os.environ.setdefault(name, str(threads))
    connection.send(True)
    while True:
        try:
            function, args, kwargs = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = True, function(*args, **kwargs)
        except Exception as error:
            answer = False, error
        try:
            connection.send(answer)
        except Exception as error:
            connection.send((False, TypeError(f"What the call gave cannot be pickled: {error}")))


def _end_with_parent() -> None:
    parent = process.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def refuse_while_starting() -> None:
    """Raise WorkersDoNotStart in a process that is being started, and imports a script for that."""
    if getattr(process.current_process(), "_inheriting", False):
        raise WorkersDoNotStart(
            f"Expected a script that can be imported. Received: one that starts workers while it is imported. {GUARD}."
        )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
