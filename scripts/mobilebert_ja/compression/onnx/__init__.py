"""From a fine-tuned model to an ONNX file in int8: folded, written as a graph, rounded.

May import: `compression.torchscript`, finetuning and below.
"""
