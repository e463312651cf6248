"""Knowledge transfer from the teacher: what is copied, what is matched, in which order (arXiv 2004.02984, 3.4-3.5).

akt: layer losses and prediction losses together. jkt: all layers together, then predictions. pkt: one layer after the
other from the bottom, the layers below at a small rate, then predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

import torch
from torch import Tensor, nn
from transformers import MobileBertForPreTraining

from mobilebert_ja.pretraining import losses
from mobilebert_ja.pretraining.masked_lm import PretrainingModel
from mobilebert_ja.settings import DistillSettings
from mobilebert_ja.training.optimizers import Part, optimizers_over

WARMUP_SHARE = 0.1  # of every phase, then a slow decay to FINAL_FACTOR, as in Google's code
FINAL_FACTOR = 0.9


class TransferModel(PretrainingModel):
    """The student with everything that a transfer loss looks at, from one forward pass."""

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        positions: Tensor,
        layers: int | None,
        heads: bool,
        maps_of: Container[int] | None = None,
    ) -> dict[str, Any]:
        """Features of the first `layers` blocks, attentions of those in `maps_of` (all of them if None); with `heads`,
        MLM and NSP logits too."""
        maps_of = range(len(self.model.mobilebert.encoder.layer)) if maps_of is None else maps_of
        features, attentions = self.features(input_ids, token_type_ids, layers, maps_of)
        output: dict[str, Any] = {"features": features, "attentions": attentions}
        if heads:
            output["logits"], output["next_sentence"] = self.heads(features[-1], positions)
        return output


@torch.no_grad()
def copy_from_teacher(
    student: MobileBertForPreTraining, teacher: MobileBertForPreTraining, batch: dict[str, Tensor]
) -> list[str]:
    """Copy everything outside the encoder that has the same name and shape, in place; returns the names.

    The teacher's embedding LayerNorm is no NoNorm. The student's becomes the affine map that agrees with it on average
    over the tokens of `batch` ("input_ids", "token_type_ids" [B, L]): gain / mean deviation, bias less the mean.
    """
    copied = []
    theirs, mine = teacher.state_dict(), student.state_dict()
    for name, value in mine.items():
        outside = not name.startswith("mobilebert.encoder.") and "embeddings.LayerNorm" not in name
        if outside and name in theirs and theirs[name].shape == value.shape:
            value.copy_(theirs[name])
            copied.append(name)
    norm, reference = student.mobilebert.embeddings.LayerNorm, teacher.mobilebert.embeddings.LayerNorm
    if isinstance(norm, nn.LayerNorm):
        norm.load_state_dict(reference.state_dict())
        return copied
    norm.weight.fill_(1.0)
    norm.bias.fill_(0.0)
    was_training = student.training
    student.eval()
    raw = student.mobilebert.embeddings(input_ids=batch["input_ids"], token_type_ids=batch["token_type_ids"])
    student.train(was_training)
    deviation = raw.std(-1, unbiased=False).mean()
    norm.weight.copy_(reference.weight / deviation)
    norm.bias.copy_(reference.bias - reference.weight * raw.mean() / deviation)
    return copied


def layer_losses(student: dict[str, Any], teacher: dict[str, Any], layers: list[int]) -> dict[str, Tensor]:
    """Unweighted losses of feature maps, means, variances and attention, each summed over `layers` (from 0)."""
    pairs = {
        "feature_map_loss": (losses.feature_map_loss, "features"),
        "mean_loss": (losses.mean_loss, "features"),
        "variance_loss": (losses.variance_loss, "features"),
        "attention_loss": (losses.attention_loss, "attentions"),
    }
    return {
        name: torch.stack([function(student[maps][layer], teacher[maps][layer]) for layer in layers]).sum()
        for name, (function, maps) in pairs.items()
    }


def weighted(values: dict[str, Tensor], settings: DistillSettings, num_layers: int) -> Tensor:
    """The transfer loss: each part times its weight over the number of layers."""
    weights = {
        "feature_map_loss": settings.feature_map_weight,
        "mean_loss": settings.mean_weight,
        "variance_loss": settings.variance_weight,
        "attention_loss": settings.attention_weight,
    }
    return torch.stack([weight / num_layers * values[name] for name, weight in weights.items()]).sum()


class ProgressivePhases:
    """Which layers a step of the transfer matches, and at what rate each layer learns."""

    def __init__(self, strategy: str, num_layers: int, total_steps: int, lower_layer_rate: float):
        self.progressive = strategy == "pkt"
        self.num_layers, self.lower_layer_rate = num_layers, lower_layer_rate
        self.phases = num_layers if self.progressive else 1
        self.steps_per_phase = max(1, total_steps // self.phases)

    def layer(self, step: int) -> int:
        """The layer in transfer at `step`; steps left over by the division belong to the last one."""
        return min(step // self.steps_per_phase, self.phases - 1) if self.progressive else self.num_layers - 1

    def layers(self, step: int) -> list[int]:
        return [self.layer(step)] if self.progressive else list(range(self.num_layers))

    def rate(self, step: int, layer: int) -> float:
        """1 for the layer in transfer, `lower_layer_rate` below it, 0 above it; 1 for all unless progressive."""
        if not self.progressive:
            return 1.0
        current = self.layer(step)
        return 1.0 if layer == current else (self.lower_layer_rate if layer < current else 0.0)

    def factor(self, step: int) -> float:
        """Warm-up over the first tenth of the phase, then linear from 1 to 0.9."""
        begin = self.layer(step) * self.steps_per_phase if self.progressive else 0
        share = (step - begin) / self.steps_per_phase
        if share < WARMUP_SHARE:
            return (step - begin + 1) / max(1.0, WARMUP_SHARE * self.steps_per_phase)
        return 1.0 - (1.0 - FINAL_FACTOR) * min(1.0, share)


def transfer_optimizers(student: MobileBertForPreTraining, settings: DistillSettings) -> list[torch.optim.Optimizer]:
    """The optimizers of the encoder, their groups marked with "layer"; embeddings and heads, copied, rest."""
    parts = [
        Part(
            {f"mobilebert.encoder.layer.{index}.{name}": each for name, each in block.named_parameters()},
            {"layer": index},
        )
        for index, block in enumerate(student.mobilebert.encoder.layer)
    ]
    return optimizers_over(parts, settings, settings.optimizer)


def transfer_loss_function(
    teacher: PretrainingModel,
    settings: DistillSettings,
    layers_now: Callable[[], list[int]],
    layer_transfer: bool,
    prediction: bool,
    autocast: Callable[[], Any],
) -> Callable[[nn.Module, dict[str, Any]], tuple[Tensor, dict[str, Any]]]:
    """The loss of a transfer step: layer losses, prediction losses, or both."""
    num_layers = teacher.model.config.num_hidden_layers

    def loss_function(model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        layers = layers_now()
        depth = num_layers if prediction else max(layers) + 1
        with torch.no_grad(), autocast():
            features, attentions = teacher.features(
                batch["input_ids"], batch["token_type_ids"], depth, layers if layer_transfer else ()
            )
            teacher_logits = teacher.heads(features[-1], batch["positions"])[0] if prediction else torch.empty(0)
        output = model(
            batch["input_ids"],
            batch["token_type_ids"],
            batch["positions"],
            depth,
            prediction,
            layers if layer_transfer else (),
        )
        loss = torch.zeros((), device=batch["input_ids"].device)
        values: dict[str, Any] = {}
        if layer_transfer:
            parts = layer_losses(output, {"features": features, "attentions": attentions}, layers)
            loss = loss + weighted(parts, settings, num_layers)
            values |= parts | {"layer": float(max(layers))}
        if prediction:
            distilled = losses.distillation_loss(
                output["logits"], teacher_logits, batch["targets"], settings.ground_truth_ratio
            )
            loss = loss + distilled
            values["distillation_loss"] = distilled
            if "next_sentence_label" in batch:
                second = losses.next_sentence_loss(output["next_sentence"], batch["next_sentence_label"])
                loss = loss + second
                values["nsp_loss"] = second
        return loss, values

    return loss_function
