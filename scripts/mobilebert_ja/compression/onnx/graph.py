"""Writing an ONNX graph node by node, with products in float32 or in int8.

The graphs are written by hand rather than traced: a trace has one node for every small step of the Python code, and
on short texts starting a node costs more than its arithmetic. Attention, and in int8 every product with its rounding,
scaling and bias, is one node of ONNX Runtime's own operators (domain com.microsoft).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mobilebert_ja.compression.onnx.folding import Array, Product

OPSET = 17
CONTRIB = "com.microsoft"
PRODUCTS = ("float32", "int8")
INT8_LIMIT = 127
# On x86 processors without VNNI two products of 8 bits are added in 16; 2 * 255 * 64 is the most that fits.
NARROW_LIMIT = 64
COARSER = 2.0  # one scale for a matrix may round it this many times as coarsely as one for each output: by one bit


def quantize_rows(table: Array, limit: int = INT8_LIMIT) -> tuple[Array, Array]:
    """int8 values and a float32 scale per row, such that values * scale is nearest to the table; zero stays zero."""
    scale = np.abs(table).max(1, keepdims=True) / limit
    scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
    return np.clip(np.rint(table / scale), -limit, limit).astype(np.int8), scale


def needs_scales_by_channel(weight: Array) -> bool:
    """Whether one scale would round a weight [in, out] more than COARSER times as coarsely, in the mean square."""
    largest = np.abs(weight).max(0)
    return bool(largest.max() > COARSER * np.sqrt(np.square(largest, dtype=np.float64).mean()))


def quantize_matrix(weight: Array, per_channel: bool | None = None, limit: int = INT8_LIMIT) -> tuple[Array, Array]:
    """int8 values, -limit to limit, of a weight [in, out] and its scales: [out], or a single one.

    `per_channel`: see `Graph`.
    """
    if per_channel or (per_channel is None and needs_scales_by_channel(weight)):
        values, scale = quantize_rows(weight.T, limit)
        return np.ascontiguousarray(values.T), scale[:, 0]
    values, scale = quantize_rows(weight.reshape(1, -1), limit)
    return values.reshape(weight.shape), scale[0, 0]


class Graph:
    """A graph under construction. Every method adds nodes and returns the name of their output.

    Args:
        products: "float32" or "int8": how `product` multiplies and in what form `rows_of` stores its table.
        per_channel: int8 weights have a scale for each output (True) or one for the matrix (False), which is faster;
            None: one for the matrix unless `needs_scales_by_channel`.
        reduce_range: int8 weights stay within NARROW_LIMIT.
    """

    def __init__(self, products: str = "float32", per_channel: bool | None = None, reduce_range: bool = False):
        if products not in PRODUCTS:
            raise ValueError(f"products must be one of {PRODUCTS}, not {products!r}")
        self.products, self.per_channel = products, per_channel
        self.limit = NARROW_LIMIT if reduce_range else INT8_LIMIT
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[Any, ...], onnx.TensorProto] = {}

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node of one output; an input that is left out is an empty string."""
        return self.nodes(operator, *inputs, outputs=1, domain=domain, **attributes)[0]

    def nodes(
        self, operator: str, *inputs: str, outputs: int, domain: str = "", name: str = "", **attributes: Any
    ) -> list[str]:
        """A node of several outputs."""
        stem = name or f"{operator}_{len(self._nodes)}"
        names = [stem if outputs == 1 else f"{stem}_{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(operator, list(inputs), names, name=stem, domain=domain, **attributes))
        return names

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """A constant; equal ones are stored once."""
        array = np.ascontiguousarray(value, dtype) if np.ndim(value) else np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(array, f"constant_{len(self._constants)}")
        return self._constants[key].name

    def product(self, x: str, by: Product) -> str:
        """x [..., in] @ weight [in, out] + bias. In int8, x is rounded to 8 bits over its own range while it runs."""
        if self.products == "int8":
            values, scale = quantize_matrix(by.weight, self.per_channel, self.limit)
            inputs = [x, self.constant(values, np.int8), self.constant(scale)]
            if by.bias is not None:
                inputs += ["", self.constant(by.bias)]
            return self.node("DynamicQuantizeMatMul", *inputs, domain=CONTRIB)
        return self.float_product(x, by)

    def float_product(self, x: str, by: Product) -> str:
        """The same in float32 whatever `products` says: for a head, whose few weights decide the answer."""
        result = self.node("MatMul", x, self.constant(by.weight))
        return result if by.bias is None else self.node("Add", result, self.constant(by.bias))

    def rows_of(self, table: Array, ids: str) -> str:
        """Rows [..., width] of an embedding table; in int8 each row has a scale of its own."""
        if self.products == "float32":
            return self.node("Gather", self.constant(table), ids)
        values, scales = quantize_rows(table)
        rows = self.node("Cast", self.node("Gather", self.constant(values, np.int8), ids), to=TensorProto.FLOAT)
        return self.node("Mul", rows, self.node("Gather", self.constant(scales), ids))

    def attention(self, query: str, key: str, value: str, mask: str, num_heads: int) -> str:
        """Attention over the positions where `mask` [rows, tokens] int32 is 1; all else is [rows, tokens, width]."""
        return self.node(
            "MultiHeadAttention",
            query,
            key,
            value,
            "",
            mask,
            domain=CONTRIB,
            num_heads=num_heads,
            mask_filter_value=float(np.finfo(np.float32).min),
        )

    def slice(self, x: str, start: int, end: int, axis: int) -> str:
        """x[start:end] along one axis; an `end` beyond the last takes all."""
        return self.node("Slice", x, *(self.constant([each], np.int64) for each in (start, end, axis)))

    def split(self, x: str, widths: list[int]) -> list[str]:
        """x cut along its last axis."""
        return self.nodes("Split", x, self.constant(widths, np.int64), outputs=len(widths), axis=-1)

    def model(self, logits: str, per_token: bool, num_labels: int) -> onnx.ModelProto:
        """The finished model: input_ids and attention_mask, [rows, tokens] int64 -> logits.

        `logits`: [rows, labels], or [rows, tokens, labels] with `per_token`.
        """
        self._nodes.append(helper.make_node("Identity", [logits], ["logits"], name="logits"))
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "tokens"])
            for name in ("input_ids", "attention_mask")
        ]
        shape: list[str | int | None]
        shape = ["rows", "tokens", num_labels] if per_token else ["rows", num_labels]
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self._nodes, "encoder", inputs, outputs, list(self._constants.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=8, producer_name="mobilebert-ja", producer_version="1"
        )
