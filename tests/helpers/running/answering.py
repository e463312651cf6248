"""What processes can be made to answer with that is no model: they import it from here."""

import os
import signal
import time
from pathlib import Path

DEADLY = "deadly"  # ends the process that answers it


def answer(texts: list[str]) -> bytes:
    """Each text in capital letters."""
    if DEADLY in texts:
        os.kill(os.getpid(), signal.SIGKILL)
    return "".join(text.upper() + "\n" for text in texts).encode()


def make_answer():
    return answer


class DeadlyOnce:
    """Makes what dies of the text `DEADLY` unless a file is there, which it writes before."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __call__(self):
        return self.answer

    def answer(self, texts: list[str]) -> bytes:
        if DEADLY in texts and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "".join(text.upper() + "\n" for text in texts).encode()


class StartsAtTheSecondTry(DeadlyOnce):
    """Makes nothing before a file is there, which it writes."""

    def __call__(self):
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.answer


class SlowAtFirst:
    """Makes what answers the text "slow" only once a file is there."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __call__(self):
        return self.answer

    def answer(self, texts: list[str]) -> bytes:
        while "slow" in texts and not self.mark.exists():
            time.sleep(0.01)
        return "".join(text.upper() + "\n" for text in texts).encode()


def fails():
    raise ValueError("nothing can be made")


def answers_badly():
    return bad_answer


def bad_answer(texts: list[str]) -> bytes:
    raise ValueError(f"no answer to {texts[0]}")
