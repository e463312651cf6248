"""Operations per row and per token, and how much of what a device could do training uses."""

from __future__ import annotations

import copy
import time

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import MobileBertConfig, MobileBertForPreTraining

# Operations per second in dense bf16 matrix products, from the makers' data sheets.
_DATA_SHEETS = {"H100": 989.4e12, "H200": 989.4e12, "A100": 312e12, "L4": 121e12}
_MATRICES = (512, 1024, 2048)  # the larger, the nearer to the peak
_LONG = 0.1  # seconds for a product; where one takes longer, as bf16 that is emulated does, no larger ones are tried


def forward_flops(
    config: MobileBertConfig, tokens: int = 128, kind: type[MobileBertForPreTraining] = MobileBertForPreTraining
) -> int:
    """Floating-point operations of the backbone for one row in matrix products, two per multiply-add.

    For 128 tokens the paper gives 5.7 billion for MobileBERT and 3.1 for TINY; counted here are 5.39 and 3.07. It does
    not say what it counts.

    Args:
        kind: the class that is built; the teacher's own, `IBBertForPreTraining`, has other products.
    """

    def with_blocks(blocks: int) -> int:
        smaller = copy.deepcopy(config)
        smaller.num_hidden_layers = blocks
        with torch.device("meta"):
            model = kind(smaller)
            model.set_attn_implementation("eager")  # fused attention is not counted on the device without memory
            with FlopCounterMode(display=False) as counter:
                model.mobilebert(torch.zeros(1, tokens, dtype=torch.long))
        return counter.get_total_flops()

    # All blocks are alike, and counting takes seconds for 24 of them.
    one = with_blocks(1)
    return one + (config.num_hidden_layers - 1) * (with_blocks(2) - one)


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
    peak, source = 0.0, ""
    for size in _MATRICES:
        left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            product = left @ right
            float(product[0, 0])  # waits for the device
            seconds.append(time.perf_counter() - started)
        if (rate := 2 * size**3 / min(seconds)) > peak:
            peak, source = rate, f"a product of two {size} x {size} matrices"
        if min(seconds) > _LONG:
            break
    return peak, source


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
