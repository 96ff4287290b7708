"""What machine the numbers are from, and what else it was doing."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

_PACKAGES = ("keras-initkit", "keras", "tensorflow", "jax", "torch", "numpy", "keras-tuner", "mlflow")


def machine() -> dict[str, Any]:
    """Return processor, cores, memory, load average and versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "load_average": os.getloadavg(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def header(found: dict[str, Any]) -> str:
    """Return the machine in one line."""
    load = " ".join(f"{value:.1f}" for value in found["load_average"])
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"Backend {found['backend']}; {found['cores']} cores ({found['processor']}), {found['memory_gb']} GB; "
        f"load average at start {load}; {found['system']}, Python {found['python']}, {versions}."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
