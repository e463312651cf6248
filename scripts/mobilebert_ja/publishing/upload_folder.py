"""What goes to the Hub, as a folder: the repository's own files and what is derived from its weights, nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import torch
from safetensors.torch import save_file

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import require_file, require_folder
from mobilebert_ja.inference.decoding import DECODING_NAME
from mobilebert_ja.inference.folder import FACTS_NAME, ONNX, model_path, read_facts, require_unchanged
from mobilebert_ja.model.checkpoint import WEIGHTS_NAME
from mobilebert_ja.model.loading import NOT_LOADED, why_not_loaded
from mobilebert_ja.tokenization.encoders import tokenizer_file

SAFETENSORS_NAME = "model.safetensors"
ONNX_NAME, QUANTIZED_NAME = "onnx/model.onnx", "onnx/model_quantized.onnx"  # where Hub tools look for them
NEEDED = ("README.md", "config.json", "tokenizer_config.json", "vocab.txt", WEIGHTS_NAME)
LEFT_OUT = (".ci/",)  # tracked, but of no use to who downloads the model
ATTRIBUTES = "".join(
    f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in ("*.bin", "*.safetensors", "*.onnx", "*.png")
)
# Keys as their issuers write them. Whatever looks like one stops the upload.
_SECRETS = {
    "a Hub token": r"\bhf_[A-Za-z0-9]{30,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "an AWS key": r"\bAKIA[0-9A-Z]{16}\b",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})",
    "an API key": r"\bsk-[A-Za-z0-9_-]{32,}",
}
_SECRET_NAMES = re.compile(r"(^|/)(\.env(\..*)?|\.netrc|id_[a-z0-9]+|.*\.(pem|p12|key)|token|credentials)$")


def tracked_files(root: Path) -> list[str]:
    """What git tracks below `root`, which must be the top of a checkout without uncommitted changes.

    Raises `UserError` otherwise: what is published shall be what a commit says.
    """

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
        except FileNotFoundError:
            raise UserError("publish.py uploads what git tracks, and git is not installed.") from None
        if done.returncode:
            raise UserError(f"{root} is no git checkout, from which publish.py takes what it uploads.")
        return done.stdout

    if Path(git("rev-parse", "--show-toplevel").strip()).resolve() != root.resolve():
        raise UserError(f"{root} is not the top of a git checkout, from which publish.py takes what it uploads.")
    changed = [line[3:] for line in git("status", "--porcelain", "--untracked-files=no").splitlines()]
    if changed:
        raise UserError(f"{len(changed)} files differ from the last commit, for example {changed[0]}; commit them.")
    return [name for name in git("ls-files", "-z").split("\0") if name]


def require_no_secrets(folder: Path) -> None:
    """Raise `UserError` naming the first file of a folder that looks like a secret, or holds one."""
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name = path.relative_to(folder).as_posix()
        if _SECRET_NAMES.search(name):
            raise UserError(f"{name} looks like a file of secrets; nothing was uploaded.")
        content = path.read_bytes()
        if b"\0" in content[:8192]:  # weights and images
            continue
        text = content.decode("utf-8", errors="replace")
        for what, pattern in _SECRETS.items():
            if re.search(pattern, text):
                raise UserError(f"{name} holds what looks like {what}; nothing was uploaded.")


def write_safetensors(weights: Path, target: Path) -> None:
    """The tensors of a pytorch_model.bin as safetensors, equal to the bit."""
    try:
        tensors = torch.load(weights, map_location="cpu", weights_only=True)
    except NOT_LOADED as error:
        raise UserError(f"The weights {weights} cannot be loaded: {why_not_loaded(weights.parent, error)}") from None
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, target, metadata={"format": "pt"})


def write_fill_mask_onnx(root: Path, folder: Path) -> None:
    """ONNX models that fill masks, in float32 (checked against the model) and in int8."""
    # Here, so that publishing a finished model folder needs neither onnx nor a model in memory.
    from transformers import MobileBertForMaskedLM

    from mobilebert_ja.compression.onnx.export import require_same_logits
    from mobilebert_ja.compression.onnx.models import to_onnx

    model = MobileBertForMaskedLM.from_pretrained(str(root), dtype=torch.float32).eval()
    graph = to_onnx(model)
    require_same_logits(model, graph)
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    (folder / ONNX_NAME).write_bytes(graph.SerializeToString())
    (folder / QUANTIZED_NAME).write_bytes(to_onnx(model, "int8", reduce_range=True).SerializeToString())


def build_root(root: Path, folder: Path) -> None:
    """The upload of the repository itself: what git tracks, with safetensors and ONNX beside the weights."""
    for name in NEEDED:
        require_file(root / name, "It is part of the published model.")
    for name in tracked_files(root):
        if not name.startswith(LEFT_OUT):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, folder / name)
    (folder / ".gitattributes").write_text(ATTRIBUTES, encoding="utf-8")
    write_safetensors(folder / WEIGHTS_NAME, folder / SAFETENSORS_NAME)
    write_fill_mask_onnx(folder, folder)


def files_of_model(source: Path) -> list[str]:
    """The files that a fine-tuned or sped-up model of this repository consists of.

    Raises `UserError` if the folder is neither, or lacks one.
    """
    require_folder(source, "finetune.py and compress.py make such folders.")
    if (source / FACTS_NAME).is_file():
        facts = read_facts(source, ONNX)  # TorchScript has no future, and ties a model to a version of torch
        model = model_path(source, ONNX)
        require_unchanged(model, facts)
        names = [model.name, FACTS_NAME]
    elif (source / "config.json").is_file():
        names = ["config.json", SAFETENSORS_NAME]
        names += [DECODING_NAME] if (source / DECODING_NAME).is_file() else []
    else:
        raise UserError(f"{source} holds neither a fine-tuned nor a sped-up model.")
    names += [tokenizer_file(source).name, "tokenizer_config.json"]
    for name in names:
        require_file(source / name, "The folder is not whole.")
    return names


def build_model(source: Path, card: str, folder: Path) -> None:
    """The upload of a fine-tuned or sped-up model: its own files, and its card."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in files_of_model(source):
        shutil.copyfile(source / name, folder / name)
    (folder / "README.md").write_text(card, encoding="utf-8")
    (folder / ".gitattributes").write_text(ATTRIBUTES, encoding="utf-8")
