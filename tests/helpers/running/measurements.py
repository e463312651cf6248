"""Running measure.py in the test's own process."""

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import measure


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one sentence of a user's mistake."""
        (line,) = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert self.status == 1 and "Traceback" not in self.err
        return line


def run_measurement(capture, name: str, *flags: object, work: Path | None = None, data: Path | None = None) -> Said:
    """`measure.py NAME`, in the folder `work` and with it as --work_dir if it is given.

    Args:
        capture: pytest's `capsys`, or `capfd` where the measurement starts processes whose words count.
    """
    arguments = ["measure.py", name]
    arguments += ["--work_dir", str(work)] if work else []
    arguments += ["--data_dir", str(data)] if data else []
    arguments += map(str, flags)
    status = 0
    with mock.patch.object(sys, "argv", arguments), contextlib.chdir(work or os.curdir):
        try:
            measure.main()
        except SystemExit as end:
            status = int(end.code or 0)
    said = capture.readouterr()
    return Said(status, said.out, said.err)
