"""How a command ends before its work is done: a user's mistake ends it in one clear sentence, never in a traceback,
and SIGTERM together with every process that it started."""

from __future__ import annotations

import argparse
import errno
import functools
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn


class UserError(Exception):
    """Something only the user can mend. The message says which file or flag, what was expected and what to do."""


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, or its type if it says nothing: enough for a sentence of our own."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def warn(sentence: str) -> None:
    """Say on standard error what a user should know; the run goes on."""
    print(f"warning: {sentence}", file=sys.stderr)


class Parser(argparse.ArgumentParser):
    """Raises `UserError` where argparse would print its usage and end the program."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message[:1].upper()}{message[1:]} (--help lists the flags).")


# Conditions of the machine, not of our code: the sentence of the operating system says enough, and this what to do.
_FULL = (
    "Unfinished output stands in a folder ending in '.partial'; make room or choose another place for the output and "
    "run the same command again."
)
_FORBIDDEN = "Whoever runs this needs the right to it, or names another place."
_NAMED = "Choose another name."  # too long, in bytes: a kanji is three; or links in a circle
_MACHINE_ERRORS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _FORBIDDEN),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP), _NAMED),
}


def _end_progress_line() -> None:
    """A progress bar that is still being drawn has left the cursor in its own line."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is not None and getattr(tqdm.tqdm, "_instances", None):
        print(file=sys.stderr)


def _say_whatever_it_is() -> None:
    """A name that standard output cannot say, of a file that is not UTF-8 for example, is escaped as on standard error
    and ends no program."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


_PATIENCE = 60  # seconds, for a process that was asked to end; a training saves a checkpoint in a few


@contextmanager
def _ends_with_its_processes() -> Iterator[None]:
    """SIGTERM is like Ctrl-C at a terminal: each process that this one started, and theirs, is asked to end too, and
    is waited for, since a training saves a checkpoint first. Left to itself SIGTERM would end this one alone."""
    own = os.getpid()

    def end(number: int, _frame: FrameType | None) -> None:
        if os.getpid() != own:  # a fork of this process, which has its handlers
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        with suppress(ImportError):  # where models only answer; their processes end with their connection to this one
            import psutil

            asked = []
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if "multiprocessing.resource_tracker" not in " ".join(process.cmdline()):  # ends after this one
                        process.terminate()
                        asked.append(process)
            psutil.wait_procs(asked, _PATIENCE)
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, end)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def exit_on_user_error(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap an entry point: `UserError` and a full or forbidden disk print one line and exit with status 1; SIGTERM and
    SIGINT end it with status 130 and all that it started."""

    @functools.wraps(main)
    def wrapped() -> None:
        _say_whatever_it_is()
        try:
            with _ends_with_its_processes():
                main()
        except UserError as error:
            _end_progress_line()
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        except OSError as error:
            if error.errno not in _MACHINE_ERRORS:
                raise
            where = f" ({error.filename})" if error.filename else ""
            _end_progress_line()
            print(f"error: {error.strerror}{where}. {_MACHINE_ERRORS[error.errno]}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print("interrupted; run the same command again to go on", file=sys.stderr)
            sys.exit(130)

    return wrapped
