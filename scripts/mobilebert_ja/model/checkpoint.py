"""Model folders: loading pretrained weights, saving them with their tokenizer, and the repository's own root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, MobileBertConfig, MobileBertForPreTraining
from transformers.utils import logging as transformers_logging

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, require_file, write_json
from mobilebert_ja.common.paths import WEIGHTS_NAME as WEIGHTS_NAME
from mobilebert_ja.model.loading import NOT_LOADED, why_not_loaded
from mobilebert_ja.model.mobilebert import PRESETS
from mobilebert_ja.tokenization.encoder import copy_tokenizer

RELEASED_FILES = ("config.json", WEIGHTS_NAME, "tokenizer_config.json", "vocab.txt")
_NSP_PARTS = ("mobilebert.pooler.", "cls.seq_relationship.")
SAVED_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def load_pretrained(name_or_path: str | Path, **extra: Any) -> MobileBertForPreTraining:
    """A MobileBERT with its pretraining heads, in float32. Raises `UserError` if there is none."""
    try:
        return MobileBertForPreTraining.from_pretrained(str(name_or_path), dtype=torch.float32, **extra)
    except NOT_LOADED as error:
        raise UserError(f"No MobileBERT at {name_or_path}: {why_not_loaded(name_or_path, error)}") from None


def load_to_go_on(name_or_path: str | Path) -> MobileBertForPreTraining:
    """A MobileBERT whose pretraining can go on: its backbone and its MLM head are its own, none is made up.

    A pooler and an NSP head that are not there (of a `MobileBertForMaskedLM`, for example) start at random.

    Raises `UserError` for a model of another kind, and for one that has lost its MLM head.
    """
    try:
        config = AutoConfig.from_pretrained(str(name_or_path))
    except NOT_LOADED as error:
        raise UserError(f"No MobileBERT at {name_or_path}: {why_not_loaded(name_or_path, error)}") from None
    if config.model_type != MobileBertConfig.model_type:
        raise UserError(f"{name_or_path} is no MobileBERT, it is of the type '{config.model_type}'.")
    transformers_logging.disable_progress_bar()
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # it would report at length what is told here in one sentence
    try:
        loaded: Any = load_pretrained(name_or_path, output_loading_info=True)
    finally:
        transformers_logging.set_verbosity(level)
    model, found = loaded
    missing = sorted(name for name in found["missing_keys"] if not name.startswith(_NSP_PARTS))
    if any(name.startswith("cls.predictions.") for name in missing):
        kind = next(iter(config.architectures or []), "of an unknown kind")
        raise UserError(
            f"{name_or_path} ({kind}) has no MLM head: fine-tuning has put another in its place. Name the pretrained "
            "model that it was made from."
        )
    if missing:
        raise UserError(f"{name_or_path} lacks weights of a MobileBERT: {missing[0]} is not in it.")
    return model


def save_model(
    model: Any, tokenizer: str | Path, folder: Path, dtype: str = "float32", max_shard_size: str | None = None
) -> None:
    """Write an ordinary `save_pretrained` folder with its tokenizer. The model is left in `dtype`.

    Args:
        dtype: one of `SAVED_DTYPES`; config.json says float32 all the same, in which alone it is safe to compute.
        max_shard_size: files of at most this size, for example "16MB", as far as the largest tensor allows; None: one
            file.

    Raises `UserError` if a weight does not fit into `dtype`.
    """
    transformers_logging.disable_progress_bar()
    model.to(SAVED_DTYPES[dtype])
    for name, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise UserError(f"{name} holds values that {dtype} cannot store; use --save_dtype float32.")
    model.save_pretrained(str(folder), **({} if max_shard_size is None else {"max_shard_size": max_shard_size}))
    if dtype != "float32":
        write_json(folder / "config.json", read_json(folder / "config.json") | {"dtype": "float32"})
    copy_tokenizer(tokenizer, folder)


def released_config(config: MobileBertConfig) -> dict[str, Any]:
    """config.json of the root: what transformers 4 and 5 both read, without what either would add by itself.

    The tensors are stored as float16 to halve the file; "dtype" float32 makes both lines compute in float32, in which
    alone MobileBERT does not overflow.
    """
    keys = [*PRESETS["mobilebert"], "vocab_size", "initializer_range", "layer_norm_eps"]
    values = {key: getattr(config, key) for key in keys}
    return {
        "architectures": ["MobileBertForPreTraining"],
        "model_type": "mobilebert",
        **dict(sorted(values.items())),
        "tokenizer_class": "BertJapaneseTokenizer",
        "dtype": "float32",
        "torch_dtype": "float32",
    }


def export_checkpoint(student: Path, root: Path) -> dict[str, Any]:
    """Put the student of a folder into the root: `RELEASED_FILES`.

    Tied tensors are written once; a weight that float16 cannot hold raises `UserError`. Returns facts for the record.
    """
    require_file(student / "config.json", "pretrain.py --model student makes it.")
    model = load_pretrained(student)
    tensors: dict[str, torch.Tensor] = {}
    seen: dict[int, str] = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() in seen:  # the decoder is tied to the word embeddings and its bias to the head's
            continue
        seen[tensor.data_ptr()] = name
        half = tensor.to(torch.float16)
        if not torch.isfinite(half).all():
            raise UserError(f"{name} holds values that float16 cannot store.")
        tensors[name] = half.clone()
    temporary = root / (WEIGHTS_NAME + ".partial")
    torch.save(tensors, temporary)
    os.replace(temporary, root / WEIGHTS_NAME)
    write_json(root / "config.json", released_config(model.config))
    copy_tokenizer(student, root)
    return {"bytes": (root / WEIGHTS_NAME).stat().st_size, "tensors": len(tensors)}


def fill_mask_examples(root: Path, sentences: list[str], top_k: int = 5) -> list[dict[str, Any]]:
    """What the checkpoint answers in transformers' own fill-mask pipeline, for the card."""
    from transformers import pipeline

    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # it would report the NSP head, which filling a mask does not use
    answer = pipeline("fill-mask", model=str(root), device="cpu")
    transformers_logging.set_verbosity(level)
    return [
        {
            "text": sentence,
            "predictions": [
                {"token": each["token_str"], "score": each["score"]} for each in answer(sentence, top_k=top_k)
            ],
        }
        for sentence in sentences
    ]
