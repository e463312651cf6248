"""Operations per row and per token, and how much of what a device could do training uses."""

from __future__ import annotations

import copy
import time

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import MobileBertConfig, MobileBertForPreTraining

# Operations per second in dense bf16 matrix products, from the makers' data sheets.
_DATA_SHEETS = {"H100": 989.4e12, "H200": 989.4e12, "A100": 312e12, "L4": 121e12}
_MATRIX = 2048


def forward_flops(
    config: MobileBertConfig, tokens: int = 128, kind: type[MobileBertForPreTraining] = MobileBertForPreTraining
) -> int:
    """Floating-point operations of the backbone for one row in matrix products, two per multiply-add.

    For 128 tokens the paper gives 5.7 billion for MobileBERT and 3.1 for TINY; counted here are 5.39 and 3.07. It does
    not say what it counts.

    Args:
        kind: the class that is built; the teacher's own, `IBBertForPreTraining`, has other products.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = kind(copy.deepcopy(config))
        model.set_attn_implementation("eager")  # fused attention is not counted on the device that computes nothing
        model.mobilebert(torch.zeros(1, tokens, dtype=torch.long))
    return counter.get_total_flops()


def training_flops_per_token(model: MobileBertForPreTraining, length: int, mlm_probability: float) -> float:
    """Operations per token of one training step, forward and backward, matrix products only.

    A backward pass costs twice the forward pass. The MLM head runs on the masked positions alone: a product of
    hidden_size x hidden_size, and one of hidden_size x vocabulary.
    """
    config = model.config
    head = 2 * config.hidden_size * (config.hidden_size + config.vocab_size)
    return 3 * (forward_flops(config, length, type(model)) / length + head * mlm_probability)


def peak_flops(device: torch.device, precision: str) -> tuple[float, str]:
    """Operations per second that the device can do at best, and where that number is from.

    Args:
        precision: accelerate's "bf16" or "no".
    """
    if device.type == "cuda" and precision == "bf16":
        name = torch.cuda.get_device_name(device)
        for known, peak in _DATA_SHEETS.items():
            if known in name:
                return peak, "data sheet"
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(_MATRIX, _MATRIX, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        product = left @ right
        float(product[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - started)
    return 2 * _MATRIX**3 / best, f"a product of two {_MATRIX} x {_MATRIX} matrices"


def utilisation(
    model: MobileBertForPreTraining,
    length: int,
    mlm_probability: float,
    tokens_per_second: float,
    device: torch.device,
    precision: str,
    num_processes: int,
) -> dict[str, float | str]:
    """Facts for a record: operations per token and per second, and their share of what the devices could do."""
    per_token = training_flops_per_token(model, length, mlm_probability)
    peak, source = peak_flops(device, precision)
    return {
        "training_gflops_per_token": round(per_token / 1e9, 4),
        "model_gflops_per_second": round(per_token * tokens_per_second / 1e9, 1),
        "peak_gflops_per_second": round(peak * num_processes / 1e9, 1),
        "peak_from": source,
        "flop_utilisation": round(per_token * tokens_per_second / (peak * num_processes), 4),
    }
