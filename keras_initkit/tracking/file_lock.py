"""A lock on a file, which the system takes back when the process ends, however it ends."""

import os
import platform
import sys
import threading
import time
from pathlib import Path

_held: set[str] = set()  # by this process, whose own locks the system does not keep apart
_holding = threading.Lock()
_PLACE = 1 << 30  # of the byte that is locked on Windows, where nobody can read what is locked


class FileLock:
    """One process at a time holds the lock on a path; no fork of it does, and no process that is dead.

    Args:
        path: file to lock. It is created, with its folder, and says who holds it.
    """

    def __init__(self, path: Path):
        self._path = path
        self._name = os.path.realpath(path)
        self._file: int | None = None

    def acquire(self, patience: float = 0.0) -> bool:
        """Return whether the lock could be had within so many seconds.

        Raises:
            OSError: if the file cannot be created or the file system knows no locks.
        """
        deadline = time.monotonic() + patience
        while not self._try():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)
        return True

    def _try(self) -> bool:
        with _holding:
            if self._name in _held:
                return False
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                is_mine = _locked(file) and self._is_still_there(file)
                if is_mine:
                    os.ftruncate(file, 0)
                    os.write(file, f"process {os.getpid()} on {platform.node()}".encode())
            except BaseException:
                os.close(file)
                raise
            if not is_mine:
                os.close(file)
                return False
            self._file = file
            _held.add(self._name)
            return True

    def _is_still_there(self, file: int) -> bool:
        """Return whether the file was not removed by the one who held the lock before."""
        try:
            return os.path.samestat(os.fstat(file), os.stat(self._path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give the lock back; nothing if it is not held."""
        with _holding:
            if self._file is not None:
                os.close(self._file)
                self._file = None
                _held.discard(self._name)

    def holder(self) -> str:
        """Return who holds the lock, as a text."""
        with _holding:
            # To close a file gives back the lock that this process has on it, through whatever it was opened.
            if self._name in _held:
                return f"this process ({os.getpid()})"
            try:
                return self._path.read_text() or "another process"
            except OSError:
                return "another process"


def _locked(file: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(file, _PLACE, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
