"""Score by amount of training data: finetune.py and baseline.py on shares of a task's training part.

    ACCELERATE_MIXED_PRECISION=bf16 python scripts/measure.py learning_curve --config recipes/cpu.yaml --task ner

Reads WORK_DIR/student (or --model_name_or_path) and DATA_DIR, writes WORK_DIR/learning_curve/TASK. The test part is
always the whole one. Smaller shares are parts of larger ones and are trained on with one seed; for the share 1 the
road's own models in WORK_DIR/finetuned are taken, and made if they are not there. Runs are kept beside the output, in
TASK.runs: started again, only those that are missing are run.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.common.records import RECORD_NAME
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.finetuning.classical import suitable_method
from mobilebert_ja.finetuning.origin import model_input
from mobilebert_ja.measuring.runs import run_variants, tabulate
from mobilebert_ja.plans import stage_of
from mobilebert_ja.road import RoadStage, run_stage
from mobilebert_ja.settings import LearningCurveSettings, parse_settings
from mobilebert_ja.tasks import data_file


def parsed_shares(text: str) -> list[float]:
    """Shares in rising order. Raises `UserError` for what is none."""
    try:
        shares = sorted({float(each) for each in text.split(",")})
    except ValueError:
        raise UserError(f"--shares takes numbers with commas between them, not '{text}'.") from None
    if not 0 < shares[0] <= shares[-1] <= 1:
        raise UserError(f"--shares must be more than 0 and at most 1, not '{text}'.")
    return shares


def run_facts(folder: Path) -> dict[str, Any]:
    """Of a finished run: number of training items, scores of its seeds, interval of the first one, seconds."""
    metrics = read_json(folder / RECORD_NAME)["metrics"]
    return {
        "train_size": metrics["train_size"],
        "scores": [run["score"] for run in metrics["runs"]],
        "interval": metrics["runs"][0]["intervals"][metrics["metric"]],
        "train_seconds": metrics["train_seconds"],
    }


def main() -> None:
    settings = parse_settings(LearningCurveSettings, __doc__, section="")
    shares = parsed_shares(settings.shares)
    task, model = settings.task, Path(str(settings.model_name_or_path))
    output = Path(settings.output_dir or Path(settings.work_dir) / "learning_curve" / task)
    inputs = {"data_dir": data_file(task, resolve_data_dir(settings))}
    if model.is_dir():
        inputs["model_name_or_path"] = model_input(model)
    stage = stage_of(f"learning_curve_{task}", settings, inputs, output)
    if stage.is_done(settings.overwrite):
        return
    stage.begin()
    runs = output.with_name(f"{task}.runs")
    method = suitable_method("", task)
    shared = {"work_dir": settings.work_dir, "model_name_or_path": str(model), "seed": str(settings.seed)}
    if settings.data_dir is not None:
        shared["data_dir"] = settings.data_dir

    def run(_name: str, share: float, _cores: set[int]) -> dict[str, Any]:
        point: dict[str, Any] = {"share": share}
        for name, script, ending in (("model", "finetune.py", ""), ("baseline", "baseline.py", f"-{method}")):
            flags = shared | {"task": task, "records_dir": str(settings.records_dir)}
            folder = Path(settings.work_dir) / "finetuned" / f"{task}{ending}"
            if name == "baseline":
                flags.pop("model_name_or_path")
            if share < 1:
                folder = runs / f"{share:g}{ending}"
                flags |= {"train_share": str(share), "output_dir": str(folder), "records_dir": str(runs / "records")}
                if name == "model":
                    flags["num_seeds"] = "1"
            run_stage(RoadStage(f"{script}, share {share:g}", script, flags, launch=name == "model"), settings.config)
            point[name] = run_facts(folder)
        return point

    points = run_variants({f"{share:g}": share for share in shares}, run, task)
    stage.finish({"task": task, "baseline": method, "points": list(points.values())})
    rows = {
        name: {
            "items": point["model"]["train_size"],
            **{which: statistics.fmean(point[which]["scores"]) for which in ("model", "baseline")},
        }
        for name, point in points.items()
    }
    columns = {"training items": "{items}", "model": "{model:.2%}", method: "{baseline:.2%}"}
    print(tabulate(rows, columns, f"share of {task}"))
