"""Where groups of replicas can be trained: processes of this machine, Ray; whatever else is an `Executor`."""

from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any

from keras_initkit._checks import describe
from keras_initkit.study.process_executor import ProcessExecutor, refuse_while_starting


def check_executor(executor: Any) -> None:
    """Refuse what groups of replicas cannot be trained with.

    Raises:
        TypeError: if it is no `concurrent.futures.Executor`.
        ValueError: if its processes are forks of this one, which has threads of Keras' backend.
        WorkersDoNotStart: in a process that is being started, and imports a script for that.
    """
    refuse_while_starting()
    if not isinstance(executor, Executor):
        raise TypeError(
            f"Expected `executor` to be a concurrent.futures.Executor. Received: executor={describe(executor)}. Take "
            "`processes(n)` for processes of this machine, `RayExecutor()`, or `client.get_executor(pure=False)` of a "
            "Dask client."
        )
    context = getattr(executor, "_mp_context", None)
    if isinstance(executor, ProcessPoolExecutor) and context and context.get_start_method() == "fork":
        raise ValueError(
            "Expected an executor that starts fresh processes. Received: a ProcessPoolExecutor that forks this one, "
            "whose copies wait for ever for the threads that the backend of Keras has here. Take `processes(n)`, or "
            'ProcessPoolExecutor(n, mp_context=multiprocessing.get_context("spawn")).'
        )


def processes(workers: int) -> ProcessExecutor:
    """Return an executor with fresh processes on this machine, to use in a `with` statement.

    Every process imports Keras, and the script that is run: what the script does has to stand under
    `if __name__ == "__main__":`.

    Example:

    ```python
    if __name__ == "__main__":
        with processes(4) as workers:
            results = ik.compare(build_model, x, y, initializers=["he_normal", "zeros"], seeds=512, executor=workers)
    ```

    Args:
        workers: number of processes.
    """
    return ProcessExecutor(workers)


class RayExecutor(Executor):
    """An executor on Ray: every call is a Ray task. To cancel a call that is running ends its worker.

    Args:
        **options: options of the tasks, such as `num_cpus=2` or `num_gpus=1`, see `ray.remote`. A task whose worker
            died is not tried again, unless `max_retries` says so.
    """

    def __init__(self, **options: Any) -> None:
        try:
            import ray
        except ImportError as error:
            raise ImportError(
                'Expected Ray to be installed. Install it by pip install "keras-initkit[ray]".'
            ) from error
        self._ray = ray
        self._task = ray.remote(**{"max_retries": 0, **options})(_called)
        self._futures: set[Future[Any]] = set()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Schedule `fn(*args, **kwargs)` as a task."""
        reference = self._task.remote(fn, args, kwargs)
        future: Future[Any] = reference.future()
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        # An interrupt alone would wait for the end of a compiled program.
        future.add_done_callback(lambda done: self._ray.cancel(reference, force=True) if done.cancelled() else None)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel or wait for calls that are not finished; the cluster goes on."""
        for future in list(self._futures):
            if cancel_futures:
                future.cancel()
            elif wait:
                future.exception()


def _called(function: Any, args: Any, kwargs: Any) -> Any:
    return function(*args, **kwargs)
