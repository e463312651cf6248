"""The runs of an ablation: its file, each variant as a run of its own, and what that reached.

`measure.py ablation` (scores/ablation.py) says what is read and written, and gathers them.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, write_json
from mobilebert_ja.road import SCRIPTS
from mobilebert_ja.settings import DistillSettings, PretrainSettings, reject_unknown

_KEYS = ("question", "common", "variants", "seeds")
_STARTED_BY = ("pretrain", "distill")
_FORMER_LABELS = {"shards": "shards_dir"}  # what a result's inputs were called when only two of them were known


@dataclass
class Ablation:
    """A question, the settings that all variants share, and what each of them changes."""

    name: str
    question: str
    common: dict[str, Any]
    variants: dict[str, dict[str, Any]]
    seeds: list[int]


@dataclass
class Variant:
    """One run: its name and all of its settings."""

    name: str
    settings: dict[str, Any]

    @property
    def folder_name(self) -> str:
        return re.sub(r"[^a-z0-9.]+", "-", self.name.lower()).strip("-")

    @property
    def script(self) -> str:
        """The file that runs it."""
        return f"{self.settings.get('script', 'pretrain')}.py"

    def flags(self, shared: dict[str, str], runs: Path) -> dict[str, str]:
        """What that file is given: `shared`, this variant's settings but those without a value, and folders in `runs`
        for the model and its record."""
        given = {name: value for name, value in self.settings.items() if name != "script" and value is not None}
        places = {"output_dir": runs / self.folder_name, "records_dir": runs / f"{self.folder_name}.records"}
        return shared | {name: str(value) for name, value in (given | places).items()}


def load_ablation(path: Path) -> Ablation:
    """Read and check a file of recipes/ablations. Raises `UserError` for bad YAML and unknown keys."""
    # "script" says which of the two a variant runs.
    fields = (*dataclasses.fields(PretrainSettings), *dataclasses.fields(DistillSettings))
    ablation = read_variants(path, ["script", *(each.name for each in fields)])
    for name, changes in ablation.variants.items():
        if (script := (ablation.common | changes).get("script", "pretrain")) not in _STARTED_BY:
            raise UserError(
                f"{path}, variant '{name}': script must be one of {', '.join(_STARTED_BY)}, not {script!r}."
            )
    return ablation


def read_variants(path: Path, valid: list[str]) -> Ablation:
    """Read a file with variants of the settings `valid`. Raises `UserError` for bad YAML and unknown keys."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict) or not isinstance(content.get("variants"), dict) or not content["variants"]:
        raise UserError(f"{path} must hold 'variants', a name and the changed settings for each.")
    reject_unknown(content, list(_KEYS), str(path))
    common = content.get("common") or {}
    reject_unknown(common, valid, f"{path}, common")
    variants = {str(name): changes or {} for name, changes in content["variants"].items()}
    for name, changes in variants.items():
        reject_unknown(changes, valid, f"{path}, variant '{name}'")
    return Ablation(
        path.stem,
        " ".join(str(content.get("question", "")).split()),
        common,
        variants,
        list(content.get("seeds") or [0]),
    )


def run_variant(
    variant: Variant, flags: dict[str, str], inputs: dict[str, str], folder: Path, cores: set[int]
) -> dict[str, Any]:
    """One run on the given cores, unless `folder` has its result: its record's metrics, or where it diverged, and its
    CPU seconds (of a run that was interrupted, those since it went on).

    Waits while another process is at the same variant.

    Args:
        flags: settings that say where things are, the same for all runs; a change of them does not void a result.
        inputs: what the runs read, as fingerprints; a result from other inputs is made anew.

    Raises `UserError` if the run fails for another reason than a loss that is not finite.
    """
    with open(folder / f"{variant.folder_name}.lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _run_variant(variant, flags, inputs, folder, cores, lock.fileno())


def _run_variant(
    variant: Variant, flags: dict[str, str], inputs: dict[str, str], folder: Path, cores: set[int], lock: int
) -> dict[str, Any]:
    result_file = folder / f"{variant.folder_name}.json"
    if result_file.is_file():
        known: dict[str, Any] = read_json(result_file)
        read = {_FORMER_LABELS.get(label, label): mark for label, mark in known["inputs"].items()}
        if known["settings"] == variant.settings and read == inputs:
            return known
    given = variant.flags(flags, folder) | {"overwrite": "true"}
    output, records = Path(given["output_dir"]), Path(given["records_dir"])
    command = [sys.executable, str(SCRIPTS / variant.script)]
    command += [part for name, value in given.items() for part in (f"--{name}", value)]
    with open(folder / f"{variant.folder_name}.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
            pass_fds=[lock],  # a run that outlives this process keeps its lock
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    result: dict[str, Any] = {
        "settings": variant.settings,
        "inputs": inputs,
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
    }
    not_finite = output.with_name(output.name + ".partial") / "not_finite.json"
    if process.returncode == 0:
        (record,) = records.glob("*.json")
        result |= {"finished": True, "metrics": read_json(record)["metrics"]}
    elif not_finite.is_file():
        result |= {"finished": False, "not_finite": read_json(not_finite)}
    else:
        raise UserError(f"The variant '{variant.name}' failed; its messages stand in {log.name}.")
    write_json(result_file, result)
    return result


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """What the record keeps of a run: its settings, what it reached, and its curve of training loss."""
    facts = {key: result[key] for key in ("settings", "finished", "cpu_seconds")}
    if not result["finished"]:
        return facts | {"diverged_at_step": result["not_finite"]["seen_at_step"]}
    metrics = result["metrics"]
    return facts | {
        **metrics["after"],
        "tokens_seen": metrics["tokens_seen"],
        "train_seconds": metrics["train_seconds"],
        "steps": metrics["steps"],
        "curve": [[point["step"], round(point.get("mlm_loss", point["loss"]), 4)] for point in metrics["history"]],
        "largest_grad_norm": round(max(point["grad_norm"] for point in metrics["history"]), 2),
    }
