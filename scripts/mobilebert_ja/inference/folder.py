"""Folders of sped-up models: compressed.json is the one place that says what such a folder holds and how to run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import (
    is_git_lfs_pointer,
    read_json,
    require_file,
    require_folder,
    sha256_of,
    without_git_lfs,
    write_json,
)
from mobilebert_ja.common.former_names import with_todays_keys
from mobilebert_ja.inference.decoding import Decoder, decoder_from_json
from mobilebert_ja.inference.kinds import STORED_KINDS

FACTS_NAME = "compressed.json"
FORMAT = 1  # of compressed.json; a folder of before it was counted has none and is read as 1
TORCHSCRIPT, ONNX = "torchscript", "onnx"
_MODEL_NAMES = {TORCHSCRIPT: "model.pt", ONNX: "model.onnx"}
_KEYS = ("task", "labels", "max_seq_length", "description", "parameters", "sha256")
_HINT = "compress.py makes it."
ANEW = "compress.py --overwrite makes it anew."
_DEFAULT_TREATMENT = "onnx"


def model_path(folder: Path, runs_with: str) -> Path:
    """Where the model of a folder stands. `runs_with`: TORCHSCRIPT or ONNX."""
    return folder / _MODEL_NAMES[runs_with]


def write_facts(folder: Path, runs_with: str, facts: dict[str, Any]) -> int:
    """Write compressed.json beside model and vocab.txt, with their checksums; returns the model's size in bytes."""
    path = model_path(folder, runs_with)
    size = path.stat().st_size
    checked = {"sha256": sha256_of(path), "bytes": size, "vocab_sha256": sha256_of(folder / "vocab.txt")}
    write_json(folder / FACTS_NAME, {"format": FORMAT, "runs_with": runs_with, **facts, **checked})
    return size


def with_default_treatment(folder: str | Path) -> Path:
    """The folder itself, or, of one with one for each treatment in it (compressed/TASK), that of the default one."""
    folder = Path(folder)
    within = folder / _DEFAULT_TREATMENT
    return within if (within / FACTS_NAME).is_file() and not (folder / FACTS_NAME).is_file() else folder


def _no_artefact(folder: Path) -> UserError:
    within = sorted(path.parent.name for path in folder.glob(f"*/{FACTS_NAME}"))
    if within:
        return UserError(f"{folder} is no sped-up model; it holds {', '.join(f'{folder / name}' for name in within)}.")
    return UserError(f"{folder} is no sped-up model: {folder / FACTS_NAME} does not exist. {_HINT}")


def _require_sound(facts: dict[str, Any], path: Path) -> None:
    """Raise `UserError` if what a compressed.json says makes no sense, as after a slip in editing it."""
    labels, length, positions = facts["labels"], facts["max_seq_length"], facts.get("positions")
    if (
        not isinstance(labels, list)
        or not labels
        or not all(isinstance(each, str) for each in labels)
        or len(set(labels)) < len(labels)
    ):
        raise UserError(f"{path}: labels must be a list of different names, not {labels!r}; {ANEW}")
    if type(length) is not int or length < 3:
        raise UserError(f"{path}: max_seq_length must be a whole number of at least 3, not {length!r}; {ANEW}")
    if isinstance(positions, int) and length > positions:
        raise UserError(f"{path}: max_seq_length {length} is more than the model's {positions} positions; {ANEW}")
    if "kind" in facts and facts["kind"] not in list(STORED_KINDS):
        raise UserError(f"{path}: kind must be {' or '.join(STORED_KINDS)}, not {facts['kind']!r}; {ANEW}")


def read_facts(folder: str | Path, runs_with: str | None = None) -> dict[str, Any]:
    """What compressed.json says; the files it speaks of are there, and the vocabulary is the one it speaks of.

    Args:
        runs_with: TORCHSCRIPT or ONNX, if only such a model can be used.

    Raises `UserError` if the folder is no such folder, is of a later format or of the other kind, lacks something, or
    says what makes no sense.
    The model's own checksum is left to the one who reads the model, by `require_unchanged`.
    """
    folder = require_folder(folder, _HINT)
    if not (folder / FACTS_NAME).is_file():
        raise _no_artefact(folder)
    facts = read_json(folder / FACTS_NAME)
    if not isinstance(facts, dict):
        raise UserError(f"{folder / FACTS_NAME} must hold keys; {ANEW}")
    facts = {"format": 1, "runs_with": TORCHSCRIPT, **with_todays_keys(facts)}
    if facts["format"] != FORMAT:
        raise UserError(
            f"{folder} is of format {facts['format']!r}, these scripts know format {FORMAT}: take scripts of the "
            "version that made it, or make it anew with compress.py."
        )
    missing = [key for key in _KEYS if key not in facts]
    if missing:
        raise UserError(f"{folder / FACTS_NAME} lacks {', '.join(missing)}; {ANEW}")
    _require_sound(facts, folder / FACTS_NAME)
    if facts["runs_with"] not in _MODEL_NAMES or runs_with not in (None, facts["runs_with"]):
        wanted = runs_with or " or ".join(_MODEL_NAMES)
        raise UserError(
            f"{folder} holds a model for {facts['runs_with']}, not for {wanted}; "
            f"compress.py --treatment {'card' if wanted == TORCHSCRIPT else 'onnx'} makes one."
        )
    require_file(model_path(folder, facts["runs_with"]), _HINT)
    vocabulary = require_file(folder / "vocab.txt", _HINT)
    if facts.get("vocab_sha256", "") not in ("", sha256_of(vocabulary)):
        raise UserError(f"{vocabulary} is not the vocabulary that the model was made with; {_HINT}")
    return facts


def require_unchanged(path: Path, facts: dict[str, Any]) -> None:
    """Raise `UserError` unless a model file is the one that its compressed.json speaks of."""
    if is_git_lfs_pointer(path):
        raise UserError(f"{without_git_lfs(path)}.")
    if sha256_of(path) != facts["sha256"]:
        raise UserError(f"{path} is damaged (SHA-256 is not {FACTS_NAME}'s); {ANEW}")


def decoder_of(facts: dict[str, Any], folder: Path) -> Decoder | None:
    """How the model of a folder chooses a sequence of tags; None: the best tag of each token by itself."""
    stored = facts.get("decoding")
    return decoder_from_json(stored, facts["labels"], folder / FACTS_NAME) if stored else None
