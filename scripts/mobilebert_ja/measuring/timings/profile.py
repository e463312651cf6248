"""Where the time of a sped-up model's call goes, by onnxruntime's own profiler: products, attention, the rest.

    python scripts/measure.py profile --model_folder work/compressed/livedoor/fast --data_dir DATA

Reads a folder of compress.py (onnx or fast) of a public task and DATA_DIR; one thread, one text per call, tokenization
not included. Writes WORK_DIR/profile, on a processor without VNNI profile-avx2: milliseconds per call of each kind of
node and of each group of them, and what of a call is spent in no node. The profiler itself costs time: the shares
count, not their sum.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.inference.folder import ONNX, model_path, require_unchanged
from mobilebert_ja.measuring.models.speed import spread_subset
from mobilebert_ja.measuring.runs import of_a_public_task, tabulate_shares
from mobilebert_ja.plans import timing_stage
from mobilebert_ja.settings import ProfileSettings, parse_settings
from mobilebert_ja.tasks import load_task
from mobilebert_ja.tokenization.encoder import FastEncoder

# What nodes do, by their operators; DynamicQuantizeMatMul rounds its input and multiplies in one.
GROUPS = {
    "int8 products": ("DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat", "QGemm"),
    "float products": ("MatMul", "Gemm", "FusedMatMul", "FusedGemm"),
    "quantizing": ("DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear"),
    "attention": ("MultiHeadAttention", "Attention", "Softmax"),
    "norms and activations": ("LayerNormalization", "SkipLayerNormalization", "Gelu", "BiasGelu", "Relu", "Tanh"),
    "sums and scales": ("Add", "Mul", "Sub"),
}
REST = "moving and looking up"
_WARM_CALLS = 5


def group_of(operator: str) -> str:
    """The group of `GROUPS` that an operator is in; `REST` for any other."""
    return next((name for name, operators in GROUPS.items() if operator in operators), REST)


def microseconds_by_operator(events: list[dict[str, Any]]) -> dict[str, float]:
    """Operator -> microseconds of all its nodes' kernels, from the events of a profile."""
    found: dict[str, float] = defaultdict(float)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            found[event["args"]["op_name"]] += event["dur"]
    return dict(found)


def profiled(model: Path, inputs: list[dict[str, np.ndarray]]) -> tuple[dict[str, float], list[float]]:
    """Milliseconds per call of each operator, and those of each call as a whole."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = 1, 1
        options.log_severity_level = 3
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        for each in inputs[:_WARM_CALLS]:
            session.run(None, each)
        calls = []
        for each in inputs:
            begun = time.perf_counter()
            session.run(None, each)
            calls.append(1000 * (time.perf_counter() - begun))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    count = len(inputs) + min(_WARM_CALLS, len(inputs))
    return {name: spent / 1000 / count for name, spent in microseconds_by_operator(events).items()}, calls


def main() -> None:
    settings = parse_settings(ProfileSettings, __doc__, section="")
    folder, facts = of_a_public_task(str(settings.model_folder))
    stage = timing_stage("profile", settings, {"model_folder": folder}, Path(settings.work_dir) / "profile")
    if stage.is_done(settings.overwrite):
        return
    require_unchanged(model_path(folder, ONNX), facts)
    task = load_task(facts["task"], resolve_data_dir(settings), 0)
    encoder, room = FastEncoder(folder), facts["max_seq_length"] - 2
    inputs = []
    for index in spread_subset(len(task.test), settings.max_items, settings.seed):
        ids = np.array([encoder.frame.single(encoder.ids(task.test[index].text)[:room])], np.int64)
        inputs.append({"input_ids": ids, "attention_mask": np.ones_like(ids)})
    stage.begin()
    operators, calls = profiled(model_path(folder, ONNX), inputs)
    groups: dict[str, float] = defaultdict(float)
    for operator, milliseconds in operators.items():
        groups[group_of(operator)] += milliseconds
    within = sum(operators.values())
    groups["outside of nodes"] = max(0.0, statistics.fmean(calls) - within)
    ranked = dict(sorted(groups.items(), key=lambda pair: -pair[1]))
    stage.finish(
        {
            "task": facts["task"],
            "treatment": facts.get("treatment"),
            "items": len(inputs),
            "mean_tokens": round(statistics.fmean(each["input_ids"].shape[1] for each in inputs), 2),
            "mean_ms": round(statistics.fmean(calls), 4),
            "groups": {name: round(milliseconds, 5) for name, milliseconds in ranked.items()},
            "operators": {name: round(spent, 5) for name, spent in sorted(operators.items(), key=lambda p: -p[1])},
        }
    )
    print(f"{folder}: {len(inputs)} calls, {statistics.fmean(calls):.2f} ms each")
    print(tabulate_shares(ranked, 3, "what"))


if __name__ == "__main__":
    main()
