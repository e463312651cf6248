"""Making a fine-tuned model small and fast: folding, int8, ONNX, fewer blocks, and the published treatment.

May import: plans and road and below.
"""

from mobilebert_ja.compression.torchscript import load_compressed

__all__ = ["load_compressed"]
