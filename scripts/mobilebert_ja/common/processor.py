"""What this process runs on: of which kind the processor is, and how many cores of the machine it may use."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_CPU_INFO = Path("/proc/cpuinfo")
_VNNI = {"avx512_vnni", "avx_vnni"}
_BF16 = {"avx512_bf16", "amx_bf16"}
_NOTED = {"avx2", "avx512f", "amx_int8"} | _BF16 | _VNNI
AVX2 = "_avx2"  # behind the name of a record of int8 products on a processor that has no VNNI
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def described() -> dict[str, Any]:
    """{"processor", "instructions"} of this machine if the system tells; of the latter those that change numbers."""
    found: dict[str, Any] = {}
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                found["processor"] = line.split(":", 1)[1].strip()
            elif line.startswith("flags"):
                found["instructions"] = sorted(_NOTED & set(line.split(":", 1)[1].split()))
                break
    return found


def has_vnni(hardware: Mapping[str, Any]) -> bool | None:
    """Whether a processor has instructions (VNNI) that make products in int8 faster; None if nobody knows.

    Args:
        hardware: as `described` tells it, or a record.
    """
    known = hardware.get("instructions")
    return None if known is None else bool(_VNNI & set(known))


def multiplies_in_bf16() -> bool | None:
    """Whether this x86 processor has instructions for products in bf16; others emulate them, at a tenth of float32's
    speed. None if that cannot be told."""
    known = described().get("instructions")
    return None if known is None else bool(_BF16 & set(known))


def by_processor(record: str, hardware: Mapping[str, Any] | None = None) -> str:
    """What a record of int8 timings is called: "speed_ner", and "speed_ner_avx2" on a processor without VNNI.

    Args:
        hardware: a record's; none: this machine's.
    """
    return record + AVX2 if has_vnni(described() if hardware is None else hardware) is False else record


def usable_cores() -> int:
    """Processors that this process may use by its affinity and by its container's quota, whichever is less."""
    known = hasattr(os, "sched_getaffinity")  # not everywhere
    cores = float(len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1)
    if (quota := cpu_quota()) is not None:
        cores = min(cores, quota)
    return max(1, int(cores))


def cpu_quota() -> float | None:
    """Processors' worth of time that the control groups of this process (either version) allow; None: no limit."""
    if not _OWN_CGROUP.is_file():
        return None
    lines = _OWN_CGROUP.read_text().split("\n")
    return min((quota for line in lines if line.count(":") >= 2 for quota in _quotas(line)), default=None)


def _quotas(line: str) -> Iterator[float]:
    """The limits of one hierarchy, "0::PATH" of version 2 or "NUMBER:CONTROLLERS:PATH" of version 1: of a group and of
    those that it is in. A container may see its own group as the root, whatever the path says."""
    _, controllers, own = line.split(":", 2)
    if controllers and "cpu" not in controllers.split(","):
        return
    root = _CGROUPS / controllers
    folder = root / own.lstrip("/")
    for each in (folder, *folder.parents):
        if each.is_relative_to(root):
            limit = _limit_of_version_1(each) if controllers else _limit_of_version_2(each)
            if limit is not None:
                yield limit


def _limit_of_version_1(folder: Path) -> float | None:
    files = [folder / f"cpu.cfs_{name}_us" for name in ("quota", "period")]
    if not all(file.is_file() for file in files):
        return None
    quota, period = (int(file.read_text()) for file in files)
    return quota / period if quota > 0 else None


def _limit_of_version_2(folder: Path) -> float | None:
    if not (folder / "cpu.max").is_file():
        return None
    allowed, period = (folder / "cpu.max").read_text().split()
    return None if allowed == "max" else int(allowed) / int(period)
