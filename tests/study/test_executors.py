import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import CancelledError, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

import pytest

from keras_initkit.study.executors import RayExecutor, check_executor, processes
from keras_initkit.study.process_executor import ProcessDied
from tests.study.clusters import (
    cluster,  # noqa: F401
    die,
    environment,
    fail,
    is_gone,
    not_picklable,
    note_process_and_sleep,
    noted_processes,
    process_id,
)

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def two():
    with processes(2) as executor:
        yield executor


@pytest.fixture
def ray_executor(cluster):  # noqa: F811
    return cluster("ray")


def test_calls_go_to_as_many_processes_as_there_are_workers_and_back(two):
    found = [two.submit(process_id, 1.0) for _ in range(2)]
    again = [two.submit(process_id) for _ in range(4)]
    ids = {future.result(30) for future in found}
    assert len(ids) == 2
    assert os.getpid() not in ids
    assert {future.result(30) for future in again} <= ids
    assert two.submit(int, "12", base=3).result(30) == 5


def test_errors_come_back_as_they_are(two):
    with pytest.raises(ArithmeticError, match="^too much$"):
        two.submit(fail, "too much").result(30)
    with pytest.raises(TypeError, match="cannot be pickled"):
        two.submit(not_picklable).result(30)
    with pytest.raises(AttributeError, match="lambda"):
        two.submit(print, lambda: 0).result(30)


def test_a_process_that_dies_costs_one_call(two):
    calls = [two.submit(process_id, 0.2), two.submit(die), *(two.submit(process_id, 0.2) for _ in range(4))]
    wait(calls, 60)
    with pytest.raises(ProcessDied, match="by signal SIGKILL"):
        calls[1].result()
    assert all(call.exception() is None for call in calls if call is not calls[1])


def test_to_cancel_a_running_call_ends_its_process(two, tmp_path):
    running = two.submit(note_process_and_sleep, str(tmp_path))
    (process,) = noted_processes(tmp_path)
    assert running.cancel()
    assert is_gone(process, 5)
    assert two.submit(process_id).result(30) != process
    assert wait([running], 5).done == {running}
    with pytest.raises(CancelledError):
        running.result()


def test_ctrl_c_in_a_terminal_leaves_the_processes_to_the_driver(two, tmp_path):
    running = two.submit(note_process_and_sleep, str(tmp_path), 1.0)
    (process,) = noted_processes(tmp_path)
    os.kill(process, signal.SIGINT)
    assert running.result(30) is None


def test_calls_that_wait_can_be_cancelled():
    with processes(1) as one:
        first, second, third = (one.submit(process_id, 0.5) for _ in range(3))
        assert second.cancel()
        assert third.result(30) == first.result()


def test_leaving_by_an_error_does_not_wait_for_calls(tmp_path):
    started = time.monotonic()
    with pytest.raises(KeyError), processes(1) as one:  # noqa: PT012
        one.submit(note_process_and_sleep, str(tmp_path))
        (process,) = noted_processes(tmp_path)
        raise KeyError("x")
    assert time.monotonic() - started < 30
    assert is_gone(process, 1)


def test_leaving_without_error_waits_and_ends_the_processes():
    with processes(1) as one:
        call = one.submit(process_id, 0.5)
    assert is_gone(call.result(0), 1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        one.submit(process_id)


def test_cores_are_shared_out(two, monkeypatch):
    cores = len(os.sched_getaffinity(0))
    assert two.submit(environment, "TF_NUM_INTRAOP_THREADS").result(30) == str(max(1, cores // 2))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with processes(1) as one:
        assert one.submit(environment, "OMP_NUM_THREADS").result(30) == "7"
        assert one.submit(environment, "TF_NUM_INTRAOP_THREADS").result(30) == str(cores)
    assert "TF_NUM_INTRAOP_THREADS" not in os.environ


def test_processes_end_with_one_that_is_killed(tmp_path):
    script = _script(
        tmp_path,
        f"""
        if __name__ == "__main__":
            executor = processes(2)
            calls = [executor.submit(note_process_and_sleep, {str(tmp_path / "ids")!r}) for _ in range(2)]
            calls[0].result()
        """,
    )
    driver = subprocess.Popen([sys.executable, script], start_new_session=True)
    found = noted_processes(tmp_path / "ids", 2)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert all(is_gone(process) for process in found)


def test_a_driver_that_forgets_to_shut_down_ends(tmp_path):
    script = _script(
        tmp_path,
        """
        if __name__ == "__main__":
            executor = processes(1)
            print(executor.submit(process_id).result())
        """,
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=30, check=True)
    assert is_gone(int(ended.stdout), 1)


def test_a_script_without_guard_is_told_so(tmp_path):
    script = _script(
        tmp_path,
        """
        with processes(2) as executor:
            calls = [executor.submit(process_id) for _ in range(20)]
            print({type(call.exception()).__name__ for call in calls})
            calls[0].result()
        """,
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "{'WorkersDoNotStart'}" in ended.stdout
    last = ended.stderr.strip().splitlines()[-1]
    assert "Expected worker processes that start" in last
    assert 'under `if __name__ == "__main__":`' in last
    # Those that were being started say so too, and are few.
    assert 1 <= ended.stderr.count("one that starts workers while it is imported") <= 4


def _script(folder, body):
    (folder / "ids").mkdir()
    path = folder / "script.py"
    head = f"""
    import sys
    sys.path.insert(0, {str(REPOSITORY)!r})
    from keras_initkit.study.executors import processes
    from tests.study.clusters import note_process_and_sleep, process_id
    """
    path.write_text(textwrap.dedent(head) + textwrap.dedent(body))
    return str(path)


def test_forks_are_refused():
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as executor:
        with pytest.raises(ValueError, match="Expected an executor that starts fresh processes") as raised:
            check_executor(executor)
        assert "processes(n)" in str(raised.value)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        check_executor(executor)


@pytest.mark.parametrize("given", [4, "processes", object()])
def test_what_is_no_executor_is_refused(given):
    with pytest.raises(TypeError, match="Expected `executor` to be a concurrent.futures.Executor. Received: executor="):
        check_executor(given)


@pytest.mark.parametrize("workers", [0, 1.5, True])
def test_numbers_of_workers_are_checked(workers):
    with pytest.raises(ValueError, match="Expected `workers` to be an integer of at least 1"):
        processes(workers)


def test_ray_runs_calls_and_gives_errors_back(ray_executor):
    check_executor(ray_executor)
    assert ray_executor.submit(int, "12", base=3).result(60) == 5
    with pytest.raises(ArithmeticError, match="too much"):
        ray_executor.submit(fail, "too much").result(60)


def test_ray_tries_a_call_that_killed_its_worker_only_once(ray_executor):
    import ray

    started = time.monotonic()
    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray_executor.submit(die).result(60)
    assert time.monotonic() - started < 30
    assert ray_executor.submit(process_id).result(60)


def test_ray_calls_can_be_cancelled_while_they_run(ray_executor, tmp_path):
    running = [ray_executor.submit(note_process_and_sleep, str(tmp_path)) for _ in range(2)]
    noted_processes(tmp_path, 2)
    assert all(call.cancel() for call in running)
    assert ray_executor.submit(process_id).result(20)


@pytest.mark.usefixtures("ray_executor")
def test_shutdown_of_ray_waits_and_leaves_the_cluster_alone():
    import ray

    with RayExecutor(num_cpus=1) as executor:
        call = executor.submit(process_id, 0.5)
    assert call.done()
    assert ray.is_initialized()
    late = executor.submit(process_id, 30.0)
    executor.shutdown(cancel_futures=True)
    assert late.cancelled()
