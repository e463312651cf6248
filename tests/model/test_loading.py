"""What is said of weights that cannot be loaded."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.paths import ROOT
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.finetuning.folder import load_finetuned
from mobilebert_ja.finetuning.modelling.heads import make_model, model_config
from mobilebert_ja.inference.folder import require_unchanged
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.model.checkpoint import load_pretrained, load_to_go_on
from mobilebert_ja.model.ib_bert import load_teacher
from mobilebert_ja.pretraining.vectors.encoder import load_encoder
from mobilebert_ja.publishing.upload_folder import write_safetensors
from mobilebert_ja.settings import FinetuneSettings
from mobilebert_ja.tasks.base import Task

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 75880554\n"
WEIGHTS = ("pytorch_model.bin", "model.safetensors")


def fine_tuned_from(folder: Path) -> None:
    settings = FinetuneSettings(model_name_or_path=str(folder), max_seq_length=16)
    make_model(settings, model_config(settings, 1), Task("", Kind.CLASSES, ["a", "b"], [], []))


LOADERS: list[Callable[[Path], object]] = [
    load_pretrained,
    load_to_go_on,
    load_teacher,
    fine_tuned_from,
    lambda folder: load_finetuned(folder, "livedoor", 16),
    lambda folder: load_encoder(str(folder)),
    lambda folder: write_safetensors(folder / "pytorch_model.bin", folder / "new.safetensors"),
]


def folder_with(tmp_path: Path, content: bytes, name: str) -> Path:
    for part in ("config.json", "vocab.txt", "tokenizer_config.json"):
        shutil.copy(ROOT / part, tmp_path)
    (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("loads", LOADERS)
@pytest.mark.parametrize("name", WEIGHTS)
def test_a_clone_without_git_lfs(tmp_path, loads, name):
    folder = folder_with(tmp_path, POINTER.encode(), name)
    (folder / "pytorch_model.bin").touch()
    with pytest.raises(UserError, match=rf"{name} is a git-lfs pointer, not the file itself; install git-lfs"):
        loads(folder)


@pytest.mark.parametrize("loads", LOADERS)
@pytest.mark.parametrize("content", [b"", b"no weights\n", b"PK\3\4"])
def test_weights_that_are_none(tmp_path, loads, content):
    with pytest.raises(UserError, match=r"damaged|PytorchStreamReader|[Ii]nvalid"):
        loads(folder_with(tmp_path, content, "pytorch_model.bin"))


def test_a_fast_model_whose_file_was_not_fetched(tmp_path):
    (tmp_path / "model.onnx").write_text(POINTER, encoding="utf-8")
    with pytest.raises(UserError, match="git lfs pull"):
        require_unchanged(tmp_path / "model.onnx", {"sha256": "0"})
