"""A progress bar in a terminal; in a log a line now and then."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 15.0


def progress_bar(*args: Any, **options: Any) -> Any:
    """tqdm, which in a log would otherwise write ten times a second."""
    return tqdm(*args, mininterval=0.1 if sys.stderr.isatty() else SECONDS_BETWEEN_LINES, **options)


class Progress:
    """Training's: a bar in a terminal, plain lines in a log; silent on every process but the first."""

    def __init__(self, total: int, describe: str, enabled: bool, step: int):
        self.total, self.describe, self.enabled = total, describe, enabled
        self.terminal = sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=step, desc=describe, unit="step", disable=not (enabled and self.terminal))
        self.started, self.first, self.printed = time.monotonic(), step, 0.0

    def update(self, step: int, share: float, values: dict[str, float]) -> None:
        self.bar.update(step - self.bar.n)
        if not self.enabled:
            return
        shown = {key: f"{value:.4g}" for key, value in values.items() if key in ("loss", "learning_rate", "grad_norm")}
        self.bar.set_postfix(shown, refresh=False)
        now = time.monotonic()
        if not self.terminal and (now - self.printed > SECONDS_BETWEEN_LINES or share >= 1):
            self.printed = now
            rate = (step - self.first) / max(now - self.started, 1e-9)
            facts = ", ".join(f"{key} {value}" for key, value in shown.items())
            done = f"step {step}/{self.total} ({min(share, 1):.0%})"  # a clock is looked at between steps
            print(f"{self.describe}: {done}, {rate:.2f} steps/s, {facts}", flush=True)

    def note(self, text: str) -> None:
        """A line of its own, in a terminal above the bar."""
        if self.enabled and self.terminal:
            tqdm.write(text)
        elif self.enabled:
            print(text, flush=True)

    def close(self) -> None:
        self.bar.close()
