"""Time per model call of other ways to write and run a sped-up model: what was tried, what won, what lost.

    python scripts/measure.py variants --config recipes/cpu.yaml --task livedoor --data_dir DATA

Reads WORK_DIR/finetuned/TASK and DATA_DIR, writes WORK_DIR/onnx_variants/TASK, on a processor without VNNI TASK-avx2:
milliseconds of a model call, text by text and in turns (tokenization not included), size of the graph, and the share
of texts (for entities, of tokens) that have the answer of the float32 graph. The first variant is the one that
compress.py and the runtime use. After `pip install openvino` the graphs are given to OpenVINO too.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mobilebert_ja.common.files import require_file, require_folder
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.finetuning.folder import load_finetuned, read_runs
from mobilebert_ja.measuring.latency import time_one_by_one
from mobilebert_ja.measuring.models.onnx_variants import KEPT, make_variants
from mobilebert_ja.measuring.models.speed import spread_subset, timing_facts
from mobilebert_ja.measuring.runs import tabulate
from mobilebert_ja.plans import timing_stage
from mobilebert_ja.settings import VariantSettings, parse_settings
from mobilebert_ja.tasks import data_file, load_task
from mobilebert_ja.tokenization.encoder import FastEncoder


def agreement(answers: dict[str, Any], wanted: dict[str, Any]) -> float:
    """Share of the answers that are the wanted ones; for entities the mean over texts of the share of tags."""
    return float(np.mean([np.mean(answers[text].argmax(-1) == logits.argmax(-1)) for text, logits in wanted.items()]))


def main() -> None:
    settings = parse_settings(VariantSettings, __doc__, section="")
    source = Path(settings.model_name_or_path or Path(settings.work_dir) / "finetuned" / settings.task)
    require_folder(source, f"finetune.py --task {settings.task} makes it.")
    data = require_file(data_file(settings.task, resolve_data_dir(settings)))
    inputs_read = {"model_name_or_path": source, "data_dir": data}
    output = Path(settings.work_dir) / "onnx_variants" / settings.task
    stage = timing_stage(f"onnx_variants_{settings.task}", settings, inputs_read, output)
    if stage.is_done(settings.overwrite):
        return
    runs = read_runs(source, settings.task, data, "finetune.py")
    task = load_task(settings.task, data.parents[1], runs.split_seed)
    model, ready = load_finetuned(source, settings.task, runs.max_seq_length)
    chosen = spread_subset(len(task.test), settings.max_items, settings.seed)
    task = dataclasses.replace(task, test=[task.test[index] for index in chosen])
    encoder = FastEncoder(source)
    cls, sep = encoder.vocab["[CLS]"], encoder.vocab["[SEP]"]
    inputs = {}
    for example in task.test:
        ids = np.array([[cls, *encoder.ids(example.text)[: ready.max_seq_length - 2], sep]])
        inputs[example.text] = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    stage.begin()
    with tempfile.TemporaryDirectory() as folder:
        variants = make_variants(model, Path(folder), len(os.sched_getaffinity(0)))
    answers: dict[str, dict[str, Any]] = {name: {} for name in variants}

    def asking(name: str) -> Any:
        answer, kept = variants[name].answerer(), answers[name]

        def ask(text: str) -> None:
            kept[text] = answer(inputs[text])

        return ask

    timings = time_one_by_one(
        {name: asking(name) for name in variants}, list(inputs), settings.repetitions, 1, seed=settings.seed
    )
    facts = {
        name: {
            **timing_facts(timings[name]),
            "bytes": len(variant.graph.SerializeToString()),
            "agreement": agreement(answers[name], answers["float32"]),
        }
        for name, variant in variants.items()
    }
    stage.finish({"task": task.name, "items": len(inputs), "kept": KEPT, "variants": facts})
    columns = {"ms": "{median_ms:.2f}", "MB": "{megabytes:.1f}", "same": "{agreement:.1%}"}
    rows = {name: each | {"megabytes": each["bytes"] / 1e6} for name, each in facts.items()}
    print(tabulate(rows, columns, "variant"))
