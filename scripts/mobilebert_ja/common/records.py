"""What a stage did: one `record.json` beside its output, and the output itself appears only when it is complete.

A stage works in `OUTPUT.partial` and renames it to `OUTPUT` at the end, so that a folder without `.partial` is always
whole. A stage that is run again with the same settings and inputs finds its record and has nothing to do; with other
settings it refuses, unless `--overwrite` is given. A folder that no stage made is refused in any case, and what a user
has put into one that a stage made stays there.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import list_files, read_json, sha256_of, write_json
from mobilebert_ja.common.folders import (
    IDENTITY_NAME,
    LOCK_NAME,
    RECORD_NAME,
    aside_of,
    digests,
    empty,
    hold,
    own_record,
    place_of,
    replace_folder,
    require_ours,
)
from mobilebert_ja.common.former_names import read_record
from mobilebert_ja.common.processor import described

_PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "numpy",
    "fugashi",
    "unidic-lite",
    "evaluate",
    "onnx",
    "onnxruntime",
)
# Settings that say how to run, not what to make: two runs that differ in them make the same output.
_RUN_ONLY = {"config", "overwrite", "resume_from_checkpoint", "rescore", "only"}
_RUN_ONLY |= {"work_dir", "output_dir", "records_dir", "num_workers", "dataloader_num_workers"}
_RUN_ONLY |= {"executor", "executor_options"}
_RUN_ONLY |= {"logging_steps", "save_seconds", "eval_seconds", "report_to"}
# Settings of how an output is stored in the end: a run that could not be stored so goes on with others.
_HOW_STORED = frozenset({"save_dtype", "max_shard_size"})


def fingerprint(path: str | Path, by_record: bool = True) -> str:
    """A short content hash of a file or folder; a finished stage's folder answers from its own record.

    Args:
        by_record: whether it may. A user's folder may hold a record.json of anything, which does not tell its files.
    """
    path = Path(path)
    if path.is_file():
        return sha256_of(path)[:16]
    if by_record and (path / RECORD_NAME).is_file():
        record = read_json(path / RECORD_NAME)
        if isinstance(record, dict):
            return recorded_fingerprint(record)
    return _digest({str(file.relative_to(path)): sha256_of(file) for file in list_files(path)})


def recorded_fingerprint(record: dict[str, Any]) -> str:
    """The fingerprint of the folder that a record tells of."""
    if "fingerprint" in record:  # scored anew since: what others were made from, its models, is as it was
        return record["fingerprint"]
    return _digest(record.get("files", {}))


def _digest(files: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16]


def hardware() -> dict[str, Any]:
    """What the run ran on: processor, cores, memory in GiB, accelerator if any."""
    kind = platform.machine()  # stands for the processor where the system does not tell its name, as on ARM
    facts = {"machine": kind, "cores": os.cpu_count(), "processor": kind} | described()
    if "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        facts["memory_gib"] = round(memory / 2**30, 1)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        facts["accelerator"] = torch.cuda.get_device_name(0)
    return facts


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries whose behaviour can change a number."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_commit() -> str | None:
    """The commit of the checkout that holds these scripts, marked when it has changes; None outside git."""
    root = Path(__file__).resolve().parents[3]
    try:
        run = ["git", "-C", str(root)]
        commit = subprocess.run([*run, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(
            [*run, "status", "--porcelain", "-uno"], capture_output=True, text=True
        ).stdout.strip()
        return commit + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def peak_memory_mib() -> float:
    """Largest resident memory of this process so far, in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def same_command_line() -> str:
    """The command as typed, with the interpreter left out."""
    try:
        script = os.path.relpath(sys.argv[0])
    except FileNotFoundError:  # the folder that it was started in is gone
        script = sys.argv[0]
    return " ".join([script, *sys.argv[1:]])


def command_and_time() -> dict[str, str]:
    """{"command", "finished"} of a run that ends now, as records have them."""
    finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"command": same_command_line(), "finished": finished}


def circumstances() -> dict[str, Any]:
    """{"git_commit", "versions", "hardware"} of this run, as records have them."""
    return {"git_commit": git_commit(), "versions": library_versions(), "hardware": hardware()}


def _may_have_moved(new: Any, old: Any) -> bool:
    """Whether two values of a setting that names inputs differ by paths alone. Of several, comma separated, some may
    be names of something else, which no fingerprint tells apart."""
    parts, before = ([part.strip() for part in str(value).split(",")] for value in (new, old))
    names = [part for part in parts if not Path(part).exists()] if len(parts) > 1 else []
    return len(parts) == len(before) and all(name in before for name in names)


@dataclass
class Stage:
    """One stage of the road at work.

    Args:
        name: what the record is called in `records_dir`, for example "corpus" or "livedoor".
        settings: the resolved settings as a flat dictionary.
        output_dir: the folder the stage makes.
        inputs: paths the stage reads; their fingerprints go into the record. A missing one raises `UserError`.
        records_dir: where a copy of the record goes, for the card.
        left_out: the settings that are not in `settings` because they say nothing about this run: what was made with
            another value of one, when it did say something, was made otherwise.
        users_folders: labels of inputs that are folders of a user's own files, whose fingerprint no record tells.
    """

    name: str
    settings: dict[str, Any]
    output_dir: Path
    inputs: dict[str, Path]
    records_dir: Path | None = None
    left_out: dict[str, Any] = field(default_factory=dict)
    users_folders: tuple[str, ...] = ()
    started: float = field(default_factory=time.time)
    _lock: IO[bytes] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.output_dir = place_of(self.output_dir)
        for label, path in self.inputs.items():
            if not Path(path).exists():
                raise UserError(f"{path} ({label}, needed by this stage) does not exist.")
            if Path(path).resolve().is_relative_to(self.output_dir.resolve()):
                raise UserError(
                    f"{path} ({label}) stands where this stage is to write, {self.output_dir}, which would take its "
                    "place; name another --output_dir."
                )

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        """Of the inputs as they were when they were first asked for, which `is_done` or `begin` does."""
        return {label: fingerprint(path, label not in self.users_folders) for label, path in self.inputs.items()}

    @property
    def folder(self) -> Path:
        """Where the stage writes until it is complete."""
        return self.output_dir.with_name(self.output_dir.name + ".partial")

    def _identity(self) -> dict[str, Any]:
        relevant = {key: value for key, value in self.settings.items() if key not in _RUN_ONLY}
        return json.loads(json.dumps({"settings": relevant, "inputs": self._fingerprints}, default=str))

    def _difference(self, theirs: dict[str, Any], besides: frozenset[str] = frozenset()) -> str:
        """What makes an identity or a record another one than this stage's, in words; "" if nothing does.

        Args:
            besides: settings that do not.
        """
        mine = self._identity()
        for part, left_out in (("settings", self.left_out), ("inputs", {})):
            known, now = theirs.get(part, {}), left_out | mine[part]
            # A setting that this stage no longer has does not void what was made when it had it.
            former = known.keys() if part == "inputs" else known.keys() & left_out.keys()
            for key in sorted(mine[part].keys() | former):
                new, old = now.get(key), known.get(key)
                # What a path holds is compared by its fingerprint under "inputs". A stage that has nothing of data_dir
                # there, training for example, does not read it.
                moved = key == "data_dir" or (key in mine["inputs"] and _may_have_moved(new, old))
                if new != old and not (part == "settings" and (moved or key in besides)):
                    return f"{key} was {old!r}, is now {new!r}"
        return ""

    def was_made_otherwise(self) -> bool:
        """Whether the output stands, a stage's, but made from other settings or inputs."""
        record = own_record(self.output_dir)
        return record is not None and bool(self._difference(record))

    def is_done(self, overwrite: bool = False) -> bool:
        """True if the output stands already, made from the same settings and inputs.

        Raises `UserError` if it stands but was made otherwise and `overwrite` is not given, or if no stage made it.
        """
        require_ours(self.output_dir)
        record = None if overwrite else own_record(self.output_dir)
        if record is None:
            return False
        difference = self._difference(record)
        if difference:
            raise UserError(f"{self.output_dir} was made otherwise ({difference}); --overwrite makes it anew.")
        if self.records_dir is not None and not (self.records_dir / f"{self.name}.json").exists():
            write_json(self.records_dir / f"{self.name}.json", record)
        print(f"{self.output_dir} is already there, nothing to do (--overwrite makes it anew)")
        return True

    def begin(self, resume: bool = False, overwrite: bool = False) -> bool:
        """Make the working folder. Returns True if it holds an interrupted run that can be continued.

        With `resume` false an interrupted run's leftovers are removed. With `resume` true they are kept if they come
        from the same settings (but for how the output is stored) and inputs, else `UserError` is raised unless
        `overwrite` is given. It is raised too if something that is no stage's stands where this one works or where its
        output will, and if another process is at work there.
        """
        require_ours(self.folder, at_work=True)
        for each in (self.output_dir, aside_of(self.output_dir)):
            require_ours(each)
        self._lock = hold(self.folder)
        identity_file = self.folder / IDENTITY_NAME
        if resume and identity_file.is_file():
            difference = self._difference(read_record(identity_file), _HOW_STORED)
            if not difference:
                return True
            if not overwrite:
                raise UserError(
                    f"{self.folder} holds an interrupted run with other settings ({difference}); "
                    "--overwrite discards it, or run it again with its own settings."
                )
        empty(self.folder)
        write_json(identity_file, self._identity())
        return False

    def finish(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """Write the record, give the output its final name and return the record."""
        record = {
            "stage": self.name,
            **command_and_time(),
            "wall_seconds": round(time.time() - self.started, 2),
            "peak_memory_mib": peak_memory_mib(),
            **self._identity(),
            "metrics": metrics,
            **circumstances(),
            "files": digests(self.folder),
        }
        write_json(self.folder / RECORD_NAME, record)
        replace_folder(self.folder, self.output_dir)
        (self.output_dir / IDENTITY_NAME).unlink(missing_ok=True)  # last: until here the run could go on
        (self.output_dir / LOCK_NAME).unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
        if self.records_dir is not None:
            write_json(self.records_dir / f"{self.name}.json", record)
        return record
