"""Whose a folder is, what its record lists, and how a new one takes its place: what is the user's is not removed."""

from __future__ import annotations

import errno
import fcntl
import filecmp
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import list_files, sha256_of
from mobilebert_ja.common.former_names import read_record

RECORD_NAME = "record.json"
IDENTITY_NAME = "identity.json"  # of a stage at work: what it is made from
LOCK_NAME = "stage.lock"  # held by the process that is at work in the folder
_MARKS = {RECORD_NAME, IDENTITY_NAME, LOCK_NAME}
_DYING_SECONDS = 3.0  # that a run which was killed may still hold its folder
_LISTED_FILES = 20  # of more files of one kind, a record holds one checksum


def by_a_name(folder: str | Path) -> Path:
    """The same folder by a path that ends in its name, which "." and ".." do not: others are made beside it.

    Raises `UserError` for the root of the file system.
    """
    path = Path(folder)
    if path.name in ("", ".."):
        path = path.resolve()
    if not path.name:
        raise UserError(f"{folder} is no folder that a stage can make.")
    return path


def place_of(folder: str | Path) -> Path:
    """Where a folder really stands, behind a link to another disk perhaps: what is beside it can be renamed to it."""
    path = by_a_name(folder)
    return path.resolve() if path.is_symlink() else path


def _kinds(folder: Path) -> dict[str, list[str]]:
    """The files below a folder by kind: subfolder and ending. A stage's own marks at its top are left out."""
    kinds: dict[str, list[str]] = {}
    for file in list_files(folder):
        name = file.relative_to(folder)
        if str(name) not in _MARKS:
            kinds.setdefault(str(name.parent / f"*{file.suffix}"), []).append(str(name))
    return kinds


def _group(folder: Path, kind: str, names: list[str]) -> tuple[str, str]:
    """What a record calls all files of a kind, and their one checksum."""
    checksums = {name: sha256_of(folder / name) for name in names}
    combined = hashlib.sha256(json.dumps(checksums, sort_keys=True).encode()).hexdigest()
    return f"{kind} ({len(names)} files)", combined


def digests(folder: Path) -> dict[str, str]:
    """Checksum of each file of a folder; of one subfolder or kind of many files, one checksum of all of theirs."""
    listed = {}
    for kind, names in _kinds(folder).items():
        if len(names) > _LISTED_FILES:
            name, combined = _group(folder, kind, names)
            listed[name] = combined
        else:
            listed |= {name: sha256_of(folder / name) for name in names}
    return listed


def own_record(folder: Path) -> dict[str, Any] | None:
    """The record of a folder that a stage made; None if none did. Raises `UserError` if it is no JSON."""
    path = folder / RECORD_NAME
    record = read_record(path) if path.is_file() else None
    ours = isinstance(record, dict) and isinstance(record.get("stage"), str) and isinstance(record.get("files"), dict)
    return record if ours else None


def aside_of(folder: Path) -> Path:
    """Where a folder stands while another takes its place."""
    return folder.with_name(folder.name + ".replaced")


def require_ours(folder: Path, at_work: bool = False, remedy: str = "Move it, or name another --output_dir.") -> None:
    """Raise `UserError` unless there is nothing at `folder`, or nothing in it, or what a stage made; with `at_work`,
    what a stage was making."""
    if folder.is_dir():
        nothing = all(each.name == LOCK_NAME for each in folder.iterdir())
        if nothing or (at_work and (folder / IDENTITY_NAME).is_file()) or own_record(folder):
            return
        raise UserError(f"{folder} exists and was not made by this stage; it is left alone. {remedy}")
    lowest = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    if not lowest.is_dir():
        raise UserError(f"{lowest} is a file, a folder was expected. {remedy}")


def hold(folder: Path) -> IO[bytes]:
    """Make a folder if need be, and keep every other process from working in it until what is returned is closed.

    Raises `UserError` if another one is working there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    busy = UserError(f"Another run is working in {folder}; wait for it to end, or name another --output_dir.")
    try:
        lock = open(folder / LOCK_NAME, "ab")  # noqa: SIM115 - who holds it closes it
    except FileNotFoundError:  # it has just been finished
        raise busy from None
    given_up = time.monotonic() + _DYING_SECONDS
    while not take(lock):
        if time.monotonic() > given_up:
            lock.close()
            raise busy
        time.sleep(0.05)
    return lock


def take(lock: IO[bytes]) -> bool:
    """Lock an open file until it is closed; False if another process has it. Where a file system knows no locks, every
    process gets it."""
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike flock's, not shared with forked processes
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    return True


def empty(folder: Path) -> None:
    """Remove what is in a folder, but for the lock on it."""
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        elif each.name != LOCK_NAME:
            each.unlink()


def replace_folder(new: Path, old: Path) -> None:
    """Put folder `new` in the place of `old`; at every moment one of the two is complete on disk.

    Of `old`, what its record lists is removed. What else stands there moves over; where the new one has that name
    already, with ".kept" behind it. Raises `UserError` before anything is touched if no stage made `old`.
    """
    aside = aside_of(old)
    for folder in (old, aside):
        require_ours(folder)
    if old.exists():
        _move_over(aside, old)  # what an interruption left
        os.rename(old, aside)
    os.rename(new, old)
    _move_over(aside, old)


def _move_over(aside: Path, folder: Path) -> None:
    """Remove from `aside` what its record lists, move all else to `folder`, and remove it. The record goes last."""
    if not aside.is_dir():
        return
    listed = _listed(aside, (own_record(aside) or {"files": {}})["files"])
    for place, folders, names in os.walk(aside, topdown=False):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for path in (Path(place) / name for name in sorted((*names, *links), reverse=True)):
            name = path.relative_to(aside)
            if str(name) not in listed:
                _move(path, folder, name)
            elif str(name) != RECORD_NAME:
                path.unlink()
        if Path(place) != aside:
            os.rmdir(place)
    (aside / RECORD_NAME).unlink(missing_ok=True)
    aside.rmdir()


def _listed(folder: Path, files: dict[str, str]) -> set[str]:
    """The files of a folder that its record lists, and a stage's own marks. Of many under one checksum: all if it is
    still right, and none if it is not, because then nobody knows which of them came later."""
    listed = {*_MARKS, *files}
    for kind, names in _kinds(folder).items():
        if f"{kind} ({len(names)} files)" in files:
            name, combined = _group(folder, kind, names)
            listed |= set(names) if files[name] == combined else set()
    return listed


def _move(path: Path, folder: Path, name: Path) -> None:
    """Move a file to its name in `folder`. What is there stays; if it is the same, that is all that is needed."""
    target = folder
    for part in name.parts[:-1]:
        target = _free(target / part, Path.is_dir)
        target.mkdir(exist_ok=True)
    target = _free(target / name.name, lambda there: path.is_file() and there.is_file() and _same(path, there))
    if os.path.lexists(target):
        path.unlink()
    else:
        os.rename(path, target)


def _same(first: Path, second: Path) -> bool:
    return filecmp.cmp(first, second, shallow=False)


def _free(path: Path, suits: Callable[[Path], bool]) -> Path:
    """`path`, or the same with ".kept" behind it, where nothing stands or what stands there suits."""
    while os.path.lexists(path) and not suits(path):
        path = path.with_name(path.name + ".kept")
    return path
