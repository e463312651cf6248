"""Score against latency of one fine-tuned model, the first seed's, sped up in several ways by compress.py.

    ACCELERATE_MIXED_PRECISION=bf16 python scripts/measure.py cuts --config recipes/cpu.yaml --task ner
    ACCELERATE_MIXED_PRECISION=bf16 python scripts/measure.py cuts --config recipes/cpu.yaml --treatment card

Reads WORK_DIR/finetuned/TASK and DATA_DIR, and the section of the recipe that compress.py reads. With --treatment fast
it writes WORK_DIR/cuts/TASK: each cut of --cuts beside the uncut model in int8; with --treatment card it writes
WORK_DIR/card_treatment/TASK: pruned and retrained or not, int8 with scales by matrix or by channel. Of each: score on
the whole test part, size, and time of an item, the models in turns. The models are kept beside the output, in
TASK.runs: started again, only those that are missing are made. The times want a machine that does nothing else. What
is chosen by these scores is chosen on the test part.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, require_file, require_folder
from mobilebert_ja.common.former_names import standing
from mobilebert_ja.common.records import RECORD_NAME
from mobilebert_ja.compression.treatments import predictor_of
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.finetuning.folder import read_runs
from mobilebert_ja.measuring.latency import time_one_by_one
from mobilebert_ja.measuring.models.speed import spread_subset, timing_facts
from mobilebert_ja.measuring.runs import remaking, run_variants, tabulate
from mobilebert_ja.plans import stage_of
from mobilebert_ja.road import RoadStage, run_stage
from mobilebert_ja.settings import UNCUT, CompressionSweepSettings, parse_settings, recipe_in_play
from mobilebert_ja.tasks import data_file, load_task

ONNX = {"treatment": "onnx"}  # which trains nothing


def parsed_cuts(text: str) -> list[tuple[int, float]]:
    """(blocks, share of the width) of each cut, most blocks first. Raises `UserError` for what is none."""
    cuts = set()
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)x(\d*\.?\d+)", part.strip())
        if not found:
            raise UserError(f"--cuts takes BLOCKSxSHARE with commas between them, such as 14x0.8, not '{text}'.")
        cuts.add((int(found[1]), float(found[2])))
    return sorted(cuts, reverse=True)


def fast_variants(settings: CompressionSweepSettings) -> dict[str, dict[str, str]]:
    """name -> flags of compress.py: the uncut model in int8, and each cut."""
    variants = {UNCUT: ONNX}
    for layers, share in parsed_cuts(settings.cuts):
        cut = {"treatment": "fast", "keep_layers": str(layers), "keep_ffn": f"{share:g}"}
        variants[f"{layers}x{share:g}"] = cut
    return variants


def card_variants(settings: CompressionSweepSettings) -> dict[str, dict[str, str]]:
    """name -> flags of compress.py: not retrained and retrained, each with scales by matrix and by channel."""
    return {
        f"{trained}-{scales}": {"treatment": "card", "prune_epochs": str(epochs), "per_channel": by_channel}
        for trained, epochs in (("pruned", 0), ("retrained", settings.prune_epochs))
        for scales, by_channel in (("per_tensor", "false"), ("per_channel", "true"))
    }


KINDS = {"fast": ("cuts", fast_variants), "card": ("card_treatment", card_variants)}


def model_facts(folder: Path) -> dict[str, Any]:
    """Of a finished sped-up folder: the first seed's scores, before and after; blocks, width, size."""
    metrics = read_json(folder / RECORD_NAME)["metrics"]
    first = metrics["runs"][0]
    kept = ("kept_blocks", "intermediate_size", "sparsity", "parameters", "bytes", "recovery_seconds")
    return {
        "score": first["score"],
        "score_before": first["score_before"],
        "agreement": first["agreement"],
        **{key: metrics[key] for key in kept if key in metrics},
    }


def main() -> None:
    settings = parse_settings(CompressionSweepSettings, __doc__, section="")
    kind, variants_of = KINDS[settings.treatment]
    variants = variants_of(settings)
    work = Path(settings.work_dir)
    source = require_folder(work / "finetuned" / settings.task, f"finetune.py --task {settings.task} makes it.")
    data = require_file(data_file(settings.task, resolve_data_dir(settings)))
    output = Path(settings.output_dir or standing(work / kind / settings.task))
    kept = vars(settings) | recipe_in_play(settings.config, "compress")
    stage = stage_of(f"{kind}_{settings.task}", settings, {"finetuned": source, "data_dir": data}, output, kept)
    if stage.is_done(settings.overwrite):
        return
    runs = output.with_name(f"{settings.task}.runs")
    shared = {"work_dir": settings.work_dir, "task": settings.task, "seed": str(settings.seed), "num_seeds": "1"}
    shared |= {"records_dir": str(runs / "records")} | ({"data_dir": settings.data_dir} if settings.data_dir else {})
    folders = {name: runs / name for name in variants}

    def run(name: str, own: dict[str, str], _cores: set[int]) -> dict[str, Any]:
        flags = remaking("compress.py", shared | own | {"output_dir": str(folders[name])}, settings)
        run_stage(RoadStage(f"compress.py, {name}", "compress.py", flags, launch=own != ONNX), settings.config)
        return model_facts(folders[name])

    models = run_variants(variants, run, kind)
    stage.begin()
    split_seed = read_runs(source, settings.task, data, "finetune.py").split_seed
    texts = [example.text for example in load_task(settings.task, data.parents[1], split_seed).test]
    chosen = [texts[index] for index in spread_subset(len(texts), settings.max_items, settings.seed)]
    timings = time_one_by_one(
        {name: predictor_of(folder, variants[name]["treatment"]) for name, folder in folders.items()},
        chosen,
        settings.repetitions,
        1,
        seed=settings.seed,
        turn=settings.turn,
    )
    models = {name: facts | timing_facts(timings[name]) for name, facts in models.items()}
    stage.finish({"task": settings.task, "items": len(chosen), "turn": settings.turn, "models": models})
    columns = {"score": "{score:.2%}", "ms": "{median_ms:.2f}", "MB": "{megabytes:.1f}", "same": "{agreement:.1%}"}
    rows = {name: facts | {"megabytes": facts["bytes"] / 1e6} for name, facts in models.items()}
    print(tabulate(rows, columns, "model"))
