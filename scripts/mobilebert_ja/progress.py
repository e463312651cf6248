"""A progress bar in a terminal; in a log a line now and then."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 15.0


def progress_bar(*args: Any, **options: Any) -> Any:
    """tqdm, which in a log would otherwise write ten times a second."""
    return tqdm(*args, mininterval=0.1 if sys.stderr.isatty() else SECONDS_BETWEEN_LINES, **options)
