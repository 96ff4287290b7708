"""How much memory is free on this machine."""

import os
from pathlib import Path

_UNKNOWN = 4 << 30  # where the system does not tell


def free_memory() -> int:
    """Return the number of bytes that can be taken without swapping, within the limit of a container."""
    limits = [limit for limit in (_available(), _left_in_container()) if limit is not None]
    return min(limits, default=_UNKNOWN)


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


def _left_in_container(folder: str = "/sys/fs/cgroup") -> int | None:
    try:
        limit = Path(folder, "memory.max").read_text("ascii").strip()
        used = int(Path(folder, "memory.current").read_text("ascii"))
        return None if limit == "max" else max(0, int(limit) - used)
    except (OSError, ValueError):
        return None
