"""IB-BERT_LARGE, the teacher: inverted bottlenecks of 1024 around a stream of 512 (arXiv 2004.02984, Table 1).

transformers' MobileBERT cannot run this structure: without a bottleneck before attention it hands the 512 states to
query and key layers that expect 1024. Here the two read 512, as in Google's code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import MobileBertConfig, MobileBertForPreTraining

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import require_folder
from mobilebert_ja.model.loading import NOT_LOADED, why_not_loaded


class IBBertForPreTraining(MobileBertForPreTraining):
    """IB-BERT with the pretraining heads; an ordinary `save_pretrained` / `from_pretrained` class."""

    def __init__(self, config: MobileBertConfig):
        super().__init__(config)
        layers: Any = self.mobilebert.encoder.layer
        for layer in layers:
            attention: Any = layer.attention.self
            attention.query = nn.Linear(config.hidden_size, attention.all_head_size)
            attention.key = nn.Linear(config.hidden_size, attention.all_head_size)
        self.post_init()


def load_teacher(folder: str | Path) -> IBBertForPreTraining:
    """The teacher of a folder, in evaluation mode and float32. Raises `UserError` if the folder holds none."""
    require_folder(folder, "pretrain.py --model teacher makes it.")
    try:
        teacher = IBBertForPreTraining.from_pretrained(str(folder), dtype=torch.float32)
    except NOT_LOADED as error:
        raise UserError(f"{folder} holds no IB-BERT teacher: {why_not_loaded(folder, error)}") from None
    return teacher.eval()


def require_same_maps(teacher: MobileBertConfig, student: MobileBertConfig) -> None:
    """Raise `UserError` unless feature maps and attention maps of the two correspond one to one."""
    for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "embedding_size"):
        if getattr(teacher, name) != getattr(student, name):
            raise UserError(
                f"Teacher and student differ in {name} ({getattr(teacher, name)} and {getattr(student, name)}); "
                "layer-wise transfer needs it to be the same."
            )
