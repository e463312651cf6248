"""Score against latency for several cuts of a fine-tuned model: compress.py --recipe fast at each, the first seed.

    ACCELERATE_MIXED_PRECISION=bf16 python scripts/sweep_cuts.py --config recipes/cpu.yaml --task ner --data_dir DATA

Reads WORK_DIR/finetuned/TASK and DATA_DIR, and the recipe's section compress_TASK_fast; writes WORK_DIR/cuts/TASK:
score on the whole test part, size, and time of an item, of each cut and of the uncut model in int8, the models in
turns. The cut models are kept beside the output, in TASK.runs: started again, only those that are missing are made.
The times want a machine that does nothing else. A cut that is chosen by these scores is chosen on the test part.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mobilebert_ja.card_speed import UNCUT
from mobilebert_ja.errors import UserError, exit_on_user_error
from mobilebert_ja.files import read_json, require_file, require_folder
from mobilebert_ja.latency import time_one_by_one
from mobilebert_ja.records import RECORD_NAME, Stage
from mobilebert_ja.road import RoadStage, run_stage
from mobilebert_ja.runtime import load
from mobilebert_ja.sample import resolve_data_dir
from mobilebert_ja.settings import CutSweepSettings, parse_settings
from mobilebert_ja.speed_report import spread_subset, timing_facts
from mobilebert_ja.tasks import PUBLIC_TASKS, data_file, load_task


def parsed_cuts(text: str) -> list[tuple[int, float]]:
    """(blocks, share of the width) of each cut, most blocks first. Raises `UserError` for what is none."""
    cuts = set()
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)x(\d*\.?\d+)", part.strip())
        if not found:
            raise UserError(f"--cuts takes BLOCKSxSHARE with commas between them, such as 14x0.8, not '{text}'.")
        cuts.add((int(found[1]), float(found[2])))
    return sorted(cuts, reverse=True)


def model_facts(folder: Path) -> dict[str, Any]:
    """Of a finished sped-up folder: the first seed's scores, before and after; blocks, width, size."""
    metrics = read_json(folder / RECORD_NAME)["metrics"]
    first = metrics["runs"][0]
    kept = ("kept_blocks", "intermediate_size", "parameters", "bytes", "recovery_seconds")
    return {
        "score": first["score"],
        "score_uncut_float32": first["score_before"],
        "agreement": first["agreement"],
        **{key: metrics[key] for key in kept if key in metrics},
    }


@exit_on_user_error
def main() -> None:
    settings = parse_settings(CutSweepSettings, __doc__, section="", task=list(PUBLIC_TASKS))
    cuts = parsed_cuts(settings.cuts)
    for name, least in {"repetitions": 1, "turn": 1, "max_items": 0}.items():
        if getattr(settings, name) < least:
            raise UserError(f"--{name} must be at least {least}, not {getattr(settings, name)}.")
    work = Path(settings.work_dir)
    source = require_folder(work / "finetuned" / settings.task, f"finetune.py --task {settings.task} makes it.")
    data = require_file(data_file(settings.task, resolve_data_dir(settings)))
    output = Path(settings.output_dir or work / "cuts" / settings.task)
    stage = Stage(
        f"cuts_{settings.task}", vars(settings), output, {"finetuned": source, "data_dir": data},
        Path(str(settings.records_dir)),
    )  # fmt: skip
    if stage.is_done(settings.overwrite):
        return
    runs = output.with_name(f"{settings.task}.runs")
    shared = {"work_dir": settings.work_dir, "task": settings.task, "seed": str(settings.seed), "num_seeds": "1"}
    shared |= {"records_dir": str(runs / "records")} | ({"data_dir": settings.data_dir} if settings.data_dir else {})
    made = {UNCUT: shared | {"recipe": "onnx", "output_dir": str(runs / UNCUT)}}
    for layers, share in cuts:
        name = f"{layers}x{share:g}"
        cut = {"recipe": "fast", "keep_layers": str(layers), "keep_ffn": f"{share:g}", "output_dir": str(runs / name)}
        made[name] = shared | cut
    for name, flags in made.items():
        run_stage(RoadStage(f"compress.py, {name}", "compress.py", flags, launch=name != UNCUT), settings.config)
    stage.begin()
    split_seed = read_json(source / RECORD_NAME)["settings"]["split_seed"]
    texts = [example.text for example in load_task(settings.task, data.parents[1], split_seed).test]
    chosen = [texts[place] for place in spread_subset(len(texts), settings.max_items, settings.seed)]
    timings = time_one_by_one(
        {name: load(runs / name).predict_one for name in made}, chosen, settings.repetitions, 1, seed=settings.seed,
        turn=settings.turn,
    )  # fmt: skip
    models = {name: model_facts(runs / name) | timing_facts(timings[name]) for name in made}
    stage.finish({"task": settings.task, "items": len(chosen), "turn": settings.turn, "models": models})
    for name, facts in models.items():
        print(
            f"{name:10} {facts['score']:7.2%}  {facts['median_ms']:6.2f} ms  {facts['bytes'] / 1e6:6.1f} MB  "
            f"same answers {facts['agreement']:.1%}"
        )


if __name__ == "__main__":
    main()
