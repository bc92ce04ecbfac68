"""How much memory there is for this process, and the side of the tiles that fit into it.

Looks at what Linux tells: the machine, the limits of control groups (containers) and of the process (ulimit). Elsewhere
nothing is known, and nothing is limited.

Gotcha: the side of the tiles hangs on what the machine has, not on what is free at the moment: the same picture gives
the same bytes again.
"""

from __future__ import annotations

import os
import resource

from lic.errors import DataError
from lic.tiling import ALIGN, MARGIN

BUDGET = 5 << 29   # bytes that a tile may take: with TensorFlow, the weights and the picture this stays below 4 GiB
OF_TENSORFLOW = 5 << 29   # bytes of address space that it takes by itself
_CGROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/memory")
# Of control groups version 2 and 1: the limit, what is in use, and how much of that is cache that gives way.
_ACCOUNTS = (("memory.max", "memory.current", "inactive_file"),
             ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"))


def available() -> float:
    """Bytes that are left now; infinity where nothing is known."""
    groups = (limit - use for limit, use in map(_of_group, _groups()))
    return min([_field("/proc/meminfo", "MemAvailable:"), _address_space(), *groups])


def budget() -> float:
    """Bytes that a tile may take: a quarter of the machine's at most, for others want some, too."""
    installed = min([_field("/proc/meminfo", "MemTotal:"), *(limit for limit, _ in map(_of_group, _groups()))])
    return min(BUDGET, installed / 4, _address_space(OF_TENSORFLOW) / 2)


def tile_side(bytes_per_pixel: int, budget: float) -> int:
    """The side of the tiles, in pixels, that go with their margins into a budget of bytes."""
    side = int((budget / bytes_per_pixel) ** 0.5) - 2 * MARGIN
    return max(side // ALIGN, 1) * ALIGN


def demand(pixels: int, bytes_per_pixel: int, what: str) -> None:
    """Raises a DataError where so many pixels at once do not fit into memory."""
    need, left = pixels * bytes_per_pixel, available()
    if need > left:
        raise DataError(f"{what} takes about {need / 2 ** 30:.1f} GiB of memory, and {left / 2 ** 30:.1f} GiB are left")


def _address_space(used: float | None = None) -> float:
    """What `ulimit -v` leaves, where so much is in use; by default what is."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return float("inf")
    return max(0.0, limit - (_field("/proc/self/status", "VmSize:", 0.0) if used is None else used))


def _groups() -> list[str]:
    """The folders of the control groups that this process is in, the outer ones too."""
    try:
        with open("/proc/self/cgroup", encoding="ascii") as file:
            paths = [line.rstrip("\n").split(":", 2)[2] for line in file]
    except (OSError, IndexError, ValueError):
        return []
    inner = {root + path for root in _CGROUPS for path in paths}
    return sorted({folder for path in inner for folder in _upwards(path)})


def _upwards(path: str) -> list[str]:
    folders = []
    while path.startswith(_CGROUPS[0]):
        folders.append(path)
        path = os.path.dirname(path)
    return folders


def _of_group(folder: str) -> tuple[float, float]:
    """The limit of a control group and what is in use of it, but for cache that gives way."""
    for limit, use, cache in _ACCOUNTS:
        try:
            with open(os.path.join(folder, limit), encoding="ascii") as a, \
                    open(os.path.join(folder, use), encoding="ascii") as b:
                return float(int(a.read())), int(b.read()) - _field(os.path.join(folder, "memory.stat"), cache, 0.0)
        except (OSError, ValueError):   # no such file, or "max"
            continue
    return float("inf"), 0.0


def _field(path: str, name: str, missing: float = float("inf")) -> float:
    """What stands in a file of lines `name  number [kB]`, in bytes."""
    try:
        with open(path, encoding="ascii") as file:
            words = next(words for words in map(str.split, file) if words and words[0] == name)
        return float(words[1]) * (1024 if words[2:] == ["kB"] else 1)
    except (OSError, ValueError, IndexError, StopIteration):
        return missing
