"""A processor of the other kind than this machine's, as the system would tell of it; and where timings stand on it."""

from pathlib import Path

import pytest

from mobilebert_ja.common import processor

WITH_VNNI, WITHOUT_VNNI = "avx2 avx512f avx512_vnni", "avx2"


def pretend(patch: pytest.MonkeyPatch, folder: Path, flags: str) -> None:
    """Let this process find a processor with these flags."""
    told = folder / "cpuinfo"
    told.write_text(
        f"processor\t: 0\nmodel name\t: A Processor @ 2 GHz\nflags\t\t: fpu {flags} sse\n\nprocessor\t: 1\n"
    )
    patch.setattr(processor, "_CPU_INFO", told)


def timings_in(folder: Path) -> Path:
    """Where on this processor the timings stand that are at `folder` on one with VNNI."""
    return folder.with_name(folder.name + processor.by_processor("").replace("_", "-"))
