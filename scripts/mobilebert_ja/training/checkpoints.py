"""Where an interrupted run goes on: checkpoints written atomically and checked before they are used."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from accelerate import Accelerator

from mobilebert_ja.common.errors import UserError, first_line
from mobilebert_ja.common.files import read_json, sha256_of, write_json

KEPT_CHECKPOINTS = 2
CHOICES = ("latest", "previous", "none")
CHECKSUMS = "checksums.json"


@dataclass
class TrainState:
    """Where a run stands: optimizer steps taken, seconds in the loop, those of them waiting for data and evaluating,
    the curve so far, and the held-out evaluations so far."""

    step: int = 0
    seconds: float = 0.0
    data_wait_seconds: float = 0.0
    heldout_seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    heldout_history: list[dict[str, float]] = field(default_factory=list)


def step_of(checkpoint: Path) -> int:
    """The steps that had been taken when a checkpoint was saved."""
    return int(checkpoint.name.removeprefix("step-"))


class Checkpoints:
    """Resume points of a run: folder/checkpoints/step-N, complete or absent, the last two kept."""

    def __init__(self, folder: Path, accelerator: Accelerator):
        self.folder = folder / "checkpoints"
        self.accelerator = accelerator
        # Tied tensors are saved once, as intended; the library warns each time.
        logging.getLogger("accelerate.utils.other").setLevel(logging.ERROR)

    def _complete(self) -> list[Path]:
        """All of them, the oldest first."""
        found = [each for each in self.folder.glob("step-*") if each.name.removeprefix("step-").isdigit()]
        return sorted(found, key=step_of)

    def latest(self) -> Path | None:
        """The checkpoint that was saved last, or None; the newest one, if that is missing.

        Raises `UserError` if one was saved and none is there.
        """
        pointer = self.folder / "latest.json"
        named = self.folder / read_json(pointer)["folder"] if pointer.is_file() else None
        if named is not None and named.is_dir():
            return named
        complete = self._complete()
        if named is not None and not complete:
            raise UserError(f"{named} is missing; give --resume_from_checkpoint none to start anew.")
        return complete[-1] if complete else None

    def find(self, which: str) -> Path | None:
        """The checkpoint to go on from; None to start anew.

        Args:
            which: "latest"; "previous", the one before it; or "none".

        Raises `UserError` for another word, if there is no previous one, or if a file of it is not what was saved.
        """
        if which not in CHOICES:
            raise UserError(f"--resume_from_checkpoint must be one of {', '.join(CHOICES)}, not '{which}'.")
        latest = self.latest() if which != "none" else None
        # Not later ones, which a run that went on from an earlier one may have left.
        earlier = [each for each in self._complete() if latest is not None and step_of(each) < step_of(latest)]
        if which == "previous" and latest is not None:  # without any, this part of a run has not begun
            if not earlier:
                raise UserError(f"{self.folder} holds no checkpoint before {latest.name}.")
            latest = earlier[-1]
        if latest is not None and (damaged := self._damaged_file(latest)):
            way_on = "none to start anew"
            if which == "latest" and earlier:
                way_on = f"previous to go on from {earlier[-1].name}, or {way_on}"
            raise UserError(f"{damaged} is missing or damaged; give --resume_from_checkpoint {way_on}.")
        return latest

    def has_ended(self, last_step: int) -> bool:
        """Whether the latest checkpoint is that of the last step, and whole."""
        latest = self.latest()
        return latest is not None and step_of(latest) == last_step and self._damaged_file(latest) is None

    @staticmethod
    def _damaged_file(path: Path) -> Path | None:
        """The first file of a checkpoint that is not what was saved; None if all are."""
        if not (path / CHECKSUMS).is_file():
            return path / CHECKSUMS
        for name, expected in read_json(path / CHECKSUMS).items():
            if not (path / name).is_file() or sha256_of(path / name) != expected:
                return path / name
        return None

    @staticmethod
    def name_of(state: TrainState) -> str:
        """The name of the checkpoint of a state."""
        return f"step-{state.step}"

    def save(self, state: TrainState) -> None:
        """Write the checkpoint of a state, and remove those before the last `KEPT_CHECKPOINTS` and all later ones."""
        path = self.folder / self.name_of(state)
        temporary = path.with_name(path.name + ".partial")
        if self.accelerator.is_main_process:
            shutil.rmtree(temporary, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(temporary))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            write_json(temporary / "train_state.json", asdict(state))
            files = sorted(each for each in temporary.rglob("*") if each.is_file())
            checksums = {str(each.relative_to(temporary)): sha256_of(each) for each in files}
            write_json(temporary / CHECKSUMS, checksums)
            shutil.rmtree(path, ignore_errors=True)
            os.rename(temporary, path)
            write_json(self.folder / "latest.json", {"folder": path.name})
            # Later ones are there if this run went on from an earlier one.
            kept = [each for each in self._complete() if step_of(each) <= state.step][-KEPT_CHECKPOINTS:]
            for each in self._complete():
                if each not in kept:
                    shutil.rmtree(each, ignore_errors=True)

    def load(self, path: Path) -> TrainState:
        """Put a checkpoint into what the accelerator has prepared. Raises `UserError` if it is of another model."""
        try:
            self.accelerator.load_state(str(path))
        except RuntimeError as error:
            raise UserError(
                f"{path} does not fit this model (perhaps it was saved by another version of these scripts); give "
                f"--resume_from_checkpoint none to start anew. ({first_line(error)})"
            ) from None
        return TrainState(**read_json(path / "train_state.json"))

    def remove(self) -> None:
        """Delete all of them; the run is complete and its output holds the weights."""
        if self.accelerator.is_main_process:
            shutil.rmtree(self.folder, ignore_errors=True)
