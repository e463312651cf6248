"""AdamW, LAMB, and Muon for the encoder's matrices. Every group keeps the two numbers that its rate is made of."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.processor import multiplies_in_bf16
from mobilebert_ja.settings import TrainingSettings

OPTIMIZERS = ("adamw", "lamb", "muon")
_TOGETHER_ON_CPU = 4  # matrices that Muon takes at a time; more of them fall out of a processor's cache


def group(parameters: list[nn.Parameter], settings: TrainingSettings, decay: bool, **extra: Any) -> dict[str, Any]:
    """A parameter group; its learning rate in a step is base_lr x rate x schedule (see pace.py)."""
    return {
        "params": parameters,
        "base_lr": settings.learning_rate,
        "rate": 1.0,
        "weight_decay": settings.weight_decay if decay else 0.0,
        **extra,
    }


def takes_decay(parameter: nn.Parameter) -> bool:
    """Matrices take weight decay; biases, LayerNorm and NoNorm vectors do not (as in Google's BERT)."""
    return parameter.ndim >= 2


def adamw(groups: list[dict[str, Any]], settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW over ready-made groups."""
    return torch.optim.AdamW(
        [each for each in groups if each["params"]],
        lr=settings.learning_rate,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_epsilon,
        fused=True,
    )


def split_by_decay(parameters: list[nn.Parameter], settings: TrainingSettings, **extra: Any) -> list[dict[str, Any]]:
    """Two groups, one with decay and one without."""
    return [
        group([each for each in parameters if takes_decay(each)], settings, True, **extra),
        group([each for each in parameters if not takes_decay(each)], settings, False, **extra),
    ]


def make_adamw(model: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW over every trainable parameter; biases and norms take no decay."""
    return adamw(split_by_decay([each for each in model.parameters() if each.requires_grad], settings), settings)


def lamb(groups: list[dict[str, Any]], settings: TrainingSettings) -> torch.optim.Optimizer:
    """LAMB (arXiv 1904.00962, version 3) as Google trained MobileBERT with: the decay is part of the update that is
    scaled to the weights' norm, and the moments are not corrected for their start. Raises `UserError` without its
    package."""
    try:
        from pytorch_optimizer import Lamb  # here, so that the other optimizers do without it
    except ImportError:
        raise UserError("--optimizer lamb needs the package pytorch_optimizer.") from None
    return Lamb(
        [each for each in groups if each["params"]],
        lr=settings.learning_rate,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_epsilon,
        weight_decouple=False,
        adam_debias=True,  # otherwise the first steps are up to 1 / (1 - beta1) times as long as the trust ratio says
    )


class Muon(torch.optim.Muon):
    """torch's Muon, with the matrices of one shape orthogonalized together: the same updates, on a GPU in as many
    launches as three shapes need and not 360 matrices, for which it would wait longer than for the products. A
    processor that would emulate bf16 multiplies in float32.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for same in _by_shape([each for each in group["params"] if each.grad is not None]):
                size = _TOGETHER_ON_CPU if same[0].device.type == "cpu" else len(same)
                for first in range(0, len(same), size):
                    self._update(same[first : first + size], group)
        return loss

    def _update(self, parameters: list[torch.Tensor], group: dict[str, Any]) -> None:
        """One step of parameters of one shape."""
        gradients: list[torch.Tensor] = [each.grad for each in parameters if each.grad is not None]
        for each in parameters:
            if "momentum_buffer" not in self.state[each]:
                self.state[each]["momentum_buffer"] = torch.zeros_like(each)
        buffers = [self.state[each]["momentum_buffer"] for each in parameters]
        momentum = group["momentum"]
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        updates = torch._foreach_lerp(gradients, buffers, momentum) if group["nesterov"] else buffers
        stacked = torch.stack(updates).to(_precision_of_products(parameters[0].device.type))
        directions = _orthogonalized(stacked, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rate = float(group["lr"])
        # As torch's "match_rms_adamw", the only adjustment that these scripts use.
        adjusted = rate * 0.2 * max(parameters[0].shape) ** 0.5
        torch._foreach_mul_(parameters, 1 - rate * group["weight_decay"])
        torch._foreach_add_(parameters, list(directions.to(parameters[0].dtype)), alpha=-adjusted)


def _by_shape(parameters: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    shapes: dict[torch.Size, list[torch.Tensor]] = {}
    for each in parameters:
        shapes.setdefault(each.shape, []).append(each)
    return list(shapes.values())


@functools.cache
def _precision_of_products(device: str) -> torch.dtype:
    """torch's Muon multiplies in bf16, which a processor without instructions for it emulates at a tenth of float32's
    speed."""
    emulated = device == "cpu" and multiplies_in_bf16() is False
    return torch.float32 if emulated else torch.bfloat16


def _orthogonalized(
    matrices: torch.Tensor, coefficients: tuple[float, float, float], steps: int, epsilon: float
) -> torch.Tensor:
    """Newton-Schulz iterations on matrices [N, A, B], as torch's Muon does them one by one."""
    a, b, c = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    found = matrices.mT if tall else matrices
    found = found / found.flatten(1).norm(dim=1).clamp(min=epsilon)[:, None, None]
    for _ in range(steps):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found.mT if tall else found


@dataclass
class Part:
    """Parameters by name that share a learning rate; `marks` stand in their groups, for example {"layer": 3}."""

    parameters: dict[str, nn.Parameter]
    marks: dict[str, Any] = field(default_factory=dict)


def optimizers_over(parts: list[Part], settings: TrainingSettings, name: str) -> list[torch.optim.Optimizer]:
    """The optimizers that together cover every parameter of the parts once.

    "muon" gives Muon (momentum orthogonalized by Newton-Schulz, its step scaled to AdamW's size, so that one learning
    rate serves both) for the encoder's 2-D weights and AdamW for embeddings, heads, biases and norms.
    """
    if name not in OPTIMIZERS:
        raise UserError(f"--optimizer must be one of {', '.join(OPTIMIZERS)}, not '{name}'.")
    matrices: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    for part in parts:
        by_muon = {key for key, each in part.parameters.items() if ".encoder." in key and each.ndim == 2}
        by_muon = by_muon if name == "muon" else set()
        if by_muon:
            matrices.append(group([part.parameters[key] for key in sorted(by_muon)], settings, True, **part.marks))
        others = [each for key, each in part.parameters.items() if key not in by_muon]
        rest += split_by_decay(others, settings, **part.marks)
    if name == "lamb":
        return [lamb(rest, settings)]
    if name == "adamw":
        return [adamw(rest, settings)]
    muon = Muon(
        matrices, lr=settings.learning_rate, weight_decay=settings.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    return [muon, adamw(rest, settings)] if any(each["params"] for each in rest) else [muon]


def make_optimizers(model: nn.Module, settings: TrainingSettings, name: str) -> list[torch.optim.Optimizer]:
    """The optimizers of a whole model, over its trainable parameters. Raises `UserError` for an unknown name."""
    return optimizers_over(
        [Part({key: each for key, each in model.named_parameters() if each.requires_grad})], settings, name
    )
