import os
import subprocess
import sys
import time

import pytest

from keras_initkit.tracking.file_lock import FileLock

HOLDING = """
import sys
from pathlib import Path
from keras_initkit.tracking.file_lock import FileLock

print(FileLock(Path(sys.argv[1])).acquire(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def elsewhere(tmp_path):
    """A process that holds the lock on the file `lock`."""
    command = [sys.executable, "-c", HOLDING, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"True\n"
        yield process
        process.kill()


def test_one_at_a_time_in_one_process(tmp_path):
    one, other = FileLock(tmp_path / "a" / "lock"), FileLock(tmp_path / "a" / "lock")
    assert one.acquire()
    assert not other.acquire()
    assert other.holder() == f"this process ({os.getpid()})"
    assert not one.acquire(), "not even twice by the same"
    one.release()
    one.release()
    assert other.acquire()


def test_a_process_that_is_killed_holds_it_no_more(tmp_path, elsewhere):
    lock = FileLock(tmp_path / "lock")
    assert not lock.acquire()
    assert lock.holder().startswith(f"process {elsewhere.pid} on ")
    started = time.monotonic()
    assert not lock.acquire(0.3)
    assert time.monotonic() - started >= 0.3
    elsewhere.kill()
    assert lock.acquire(10.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
def test_a_fork_does_not_hold_it(tmp_path):
    code = HOLDING.replace("sys.stdin.read()", "import os, time; os.fork() or time.sleep(60)")
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    process.stdin.close()
    assert process.wait(30) == 0
    assert FileLock(tmp_path / "lock").acquire()


def test_a_file_that_its_holder_removes_is_not_taken_for_the_lock(tmp_path, monkeypatch):
    lock = FileLock(tmp_path / "lock")
    opened = os.open

    def removed(*arguments):
        file = opened(*arguments)
        (tmp_path / "lock").unlink()
        return file

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", removed)
        assert not lock.acquire()
    assert lock.acquire()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        FileLock(tmp_path / "file" / "lock").acquire()
