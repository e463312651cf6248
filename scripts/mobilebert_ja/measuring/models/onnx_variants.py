"""Other ways to write and run the same model with onnxruntime, to be measured beside the one that is used.

`measure.py variants` (timings/variants.py) times them.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic

from mobilebert_ja.compression.onnx.folding import Array, Product
from mobilebert_ja.compression.onnx.graph import CONTRIB, Graph, quantize_matrix, quantize_rows
from mobilebert_ja.compression.onnx.models import to_onnx

KEPT = "int8"
BLOCK = 32  # weights that share a scale in MatMulNBits
ZERO = 128  # of weights without a sign

Answer = Callable[[dict[str, Array]], Array]


class BlockwiseGraph(Graph):
    """Products as MatMulNBits: weights of 8 bits in blocks of 32 along the input, activations rounded likewise."""

    def product(self, x: str, by: Product) -> str:
        inputs, outputs = by.weight.shape
        values, scales = quantize_rows(by.weight.T.reshape(outputs * inputs // BLOCK, BLOCK))
        packed = (values.astype(np.int16) + 128).astype(np.uint8).reshape(outputs, inputs // BLOCK, BLOCK)
        result = self.node(
            "MatMulNBits",
            x,
            self.constant(packed, np.uint8),
            self.constant(scales.reshape(-1)),
            domain=CONTRIB,
            K=inputs,
            N=outputs,
            bits=8,
            block_size=BLOCK,
            accuracy_level=4,
        )
        return result if by.bias is None else self.node("Add", result, self.constant(by.bias))


class UnsignedGraph(Graph):
    """Weights of 8 bits without a sign: products by unsigned activations, whose sums saturate on no processor."""

    def product(self, x: str, by: Product) -> str:
        values, scale = quantize_matrix(by.weight, self.per_channel, self.limit)
        shifted = (values.astype(np.int16) + ZERO).astype(np.uint8)
        zero = self.constant(np.full(scale.shape, ZERO), np.uint8)
        inputs = [x, self.constant(shifted, np.uint8), self.constant(scale), zero]
        bias = [] if by.bias is None else [self.constant(by.bias)]
        return self.node("DynamicQuantizeMatMul", *inputs, *bias, domain=CONTRIB)


@dataclass(frozen=True)
class Variant:
    """A graph and how it is run.

    Attributes:
        openvino: run by OpenVINO instead of onnxruntime; of the other attributes it has the threads alone.
        optimized: whether onnxruntime may rewrite the graph.
        entries: session configuration beyond that of `mobilebert_ja.runtime`.
    """

    graph: onnx.ModelProto
    num_threads: int = 1
    optimized: bool = True
    arena: bool = True
    entries: dict[str, str] = field(default_factory=dict)
    openvino: bool = False

    def answerer(self) -> Answer:
        """A function from the graph's inputs to its logits."""
        if self.openvino:
            # Not among the requirements, and without types of its own.
            core = importlib.import_module("openvino").Core()
            read = core.read_model(self.graph.SerializeToString())
            compiled = core.compile_model(read, "CPU", {"INFERENCE_NUM_THREADS": self.num_threads})
            return lambda inputs: next(iter(compiled(inputs).values()))
        session = self.session()
        return lambda inputs: session.run(["logits"], inputs)[0]

    def session(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.num_threads, 1
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = self.arena
        if not self.optimized:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        for key, value in self.entries.items():
            options.add_session_config_entry(key, value)
        return onnxruntime.InferenceSession(
            self.graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


def quantized_by_onnxruntime(model: Any, folder: Path) -> onnx.ModelProto:
    """The float32 graph given to onnxruntime's own dynamic quantization."""
    before, after = folder / "float32.onnx", folder / "quantized.onnx"
    onnx.save(to_onnx(model), before)
    # Shape inference does not know the domain's own operators, attention for one.
    options = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(before, after, weight_type=QuantType.QInt8, extra_options=options)
    return onnx.load(after)


def make_variants(model: Any, folder: Path, cores: int) -> dict[str, Variant]:
    """Name -> variant of a fine-tuned MobileBERT; `KEPT` is what compress.py writes and the runtime runs.

    OpenVINO's are among them where it is installed.

    Args:
        folder: for files on the way.
        cores: threads of the variant that uses them all.
    """
    spinning = {"session.force_spinning_stop": "1"}
    kept = to_onnx(model, "int8", reduce_range=True)
    variants = {
        KEPT: Variant(kept, entries=spinning),
        "float32": Variant(to_onnx(model), entries=spinning),
        "int8, weights of 8 bits": Variant(to_onnx(model, "int8"), entries=spinning),
        "int8, a scale for each output": Variant(to_onnx(model, "int8", True, True), entries=spinning),
        "int8, last block for all tokens": Variant(
            to_onnx(model, "int8", reduce_range=True, first_only=False), entries=spinning
        ),
        "int8 by onnxruntime's quantization": Variant(quantized_by_onnxruntime(model, folder), entries=spinning),
        "int8, weights without a sign": Variant(to_onnx(model, graph=UnsignedGraph("int8")), entries=spinning),
        "int8 in blocks (MatMulNBits)": Variant(to_onnx(model, graph=BlockwiseGraph("int8")), entries=spinning),
        "int8, graph not rewritten": Variant(kept, optimized=False, entries=spinning),
        "int8, no memory arena": Variant(kept, arena=False, entries=spinning),
        "int8, denormals as zero": Variant(kept, entries=spinning | {"session.set_denormal_as_zero": "1"}),
    }
    if cores > 1:
        variants[f"int8, {cores} threads"] = Variant(kept, cores, entries=spinning)
        variants[f"int8, {cores} threads that spin"] = Variant(kept, cores)
    if importlib.util.find_spec("openvino"):
        variants["float32, OpenVINO"] = Variant(variants["float32"].graph, openvino=True)
        variants["int8, OpenVINO"] = Variant(kept, openvino=True)
    return variants
