"""How much memory this machine has, and how much of it is free."""

import os
from pathlib import Path

_UNKNOWN = 4 << 30  # where the system does not tell
_CONTAINER = "/sys/fs/cgroup"


def free_memory() -> int:
    """Return the number of bytes that can be taken without swapping, within the limit of a container."""
    limits = [limit for limit in (_available(), _left_in_container()) if limit is not None]
    return min(limits, default=_UNKNOWN)


def total_memory() -> int:
    """Return the number of bytes of this machine, or of the container it is limited to."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        machine = _UNKNOWN
    limit = _container_limit()
    return machine if limit is None else min(machine, limit)


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        # macOS tells only the total, of which half is taken for free.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return None


def _left_in_container(folder: str | None = None) -> int | None:
    limit = _container_limit(folder)
    try:
        used = int(Path(folder or _CONTAINER, "memory.current").read_text("ascii"))
        return None if limit is None else max(0, limit - used)
    except (OSError, ValueError):
        return None


def _container_limit(folder: str | None = None) -> int | None:
    try:
        limit = Path(folder or _CONTAINER, "memory.max").read_text("ascii").strip()
        return None if limit == "max" else int(limit)
    except (OSError, ValueError):
        return None
