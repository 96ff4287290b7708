"""The folder in which the kit keeps what it may lose: files that are there whole or not at all, for a month."""

import contextlib
import os
import sys
import time
from pathlib import Path

from keras_initkit.tracking.file_lock import FileLock

_FORGOTTEN = 30 * 24 * 3600.0  # seconds after which a study is not resumed any more


def cache_folder() -> Path:
    """Return the folder `KERAS_INITKIT_CACHE`, or `keras-initkit` where the system keeps caches of a user."""
    given = os.environ.get("KERAS_INITKIT_CACHE")
    if given:
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "keras-initkit/cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/keras-initkit"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keras-initkit"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that after a crash, or without power, it has this content or that of before.

    Raises:
        OSError: if it cannot be written; then nothing has changed.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def remove_forgotten(folders: Path) -> None:
    """Remove the folders among `folders` that nobody has written to for a month or locks at the moment."""
    with contextlib.suppress(FileNotFoundError):
        for folder in folders.iterdir():
            with contextlib.suppress(OSError):
                latest = max((file.stat().st_mtime for file in folder.iterdir()), default=folder.stat().st_mtime)
                lock = FileLock(folder / "lock")
                if time.time() - latest > _FORGOTTEN and lock.acquire():
                    remove_locked(folder)
                    lock.release()
                    remove_empty(folder)


def remove_locked(folder: Path) -> None:
    """Remove a folder whose lock this process has, the lock last, so that nobody uses it meanwhile."""
    with contextlib.suppress(OSError):
        for file in sorted(folder.iterdir(), key=lambda file: file.name == "lock"):
            file.unlink()
        folder.rmdir()


def remove_empty(folder: Path) -> None:
    """Remove what `remove_locked` leaves on Windows, where a file that is open stays; to call without the lock."""
    with contextlib.suppress(OSError):
        (folder / "lock").unlink(missing_ok=True)
        folder.rmdir()
