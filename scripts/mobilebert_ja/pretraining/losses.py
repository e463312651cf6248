"""The losses of pretraining and of knowledge transfer (MobileBERT, arXiv 2004.02984, section 3.4).

Pure functions of tensors. Where the original TensorFlow code differs from the paper by what looks like an oversight,
the paper is followed: teacher statistics are those of the same layer (the code broadcasts over all layers). Packed
rows are full, so there is no padding to leave out.
"""

from __future__ import annotations

import torch.nn.functional as functional
from torch import Tensor

from mobilebert_ja.pretraining.masking.whole_words import IGNORED


def feature_map_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the feature maps [B, L, H], each token normalized to mean 0 and variance 1.

    The normalization has no parameters, so the loss says nothing about scale; `mean_loss` and `variance_loss` do.
    """
    size = student.shape[-1:]
    difference = functional.layer_norm(student.float(), size) - functional.layer_norm(teacher.float(), size)
    return difference.square().mean(-1).mean()


def mean_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the per-token means over the H features; inputs [B, L, H]."""
    return (student.float().mean(-1) - teacher.float().mean(-1)).square().mean()


def variance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean absolute difference of the per-token (biased) variances over the H features; inputs [B, L, H]."""
    difference = student.float().var(-1, unbiased=False) - teacher.float().var(-1, unbiased=False)
    return difference.abs().mean()


def attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy of the student's attention against the teacher's, mean over heads and query positions.

    Args:
        student, teacher: attention probabilities [B, heads, L, L], each row summing to 1.
    """
    log_student = student.float().clamp(min=1e-9).log()
    cross_entropy = -(teacher.float() * log_student).sum(-1)  # [B, heads, L]
    return cross_entropy.mean(1).mean()


def masked_lm_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy at the masked positions. logits [B, K, V], targets [B, K] with `IGNORED` in unused slots."""
    return functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED)


def soft_target_loss(logits: Tensor, teacher_logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the student's softmax against the teacher's at the masked positions; logits [B, K, V]."""
    used = (targets != IGNORED).flatten()
    student = functional.log_softmax(logits.float().flatten(0, 1)[used], dim=-1)
    teacher = functional.softmax(teacher_logits.float().flatten(0, 1)[used], dim=-1)
    return -(teacher * student).sum(-1).mean()


def next_sentence_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of next-sentence prediction. logits [B, 2], labels [B], 0 where B follows A."""
    return functional.cross_entropy(logits.float(), labels)


def distillation_loss(logits: Tensor, teacher_logits: Tensor, targets: Tensor, ground_truth_ratio: float) -> Tensor:
    """alpha x MLM + (1 - alpha) x KD, alpha being `ground_truth_ratio` (section 3.4, pre-training distillation)."""
    hard = masked_lm_loss(logits, targets)
    soft = soft_target_loss(logits, teacher_logits, targets)
    return ground_truth_ratio * hard + (1 - ground_truth_ratio) * soft
