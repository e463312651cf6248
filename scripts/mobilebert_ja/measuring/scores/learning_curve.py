"""Score by amount of training data: finetune.py and baseline.py on shares of a task's training part.

    ACCELERATE_MIXED_PRECISION=bf16 python scripts/measure.py learning_curve --config recipes/cpu.yaml --task ner
    python scripts/measure.py learning_curve --task livedoor --teacher svm,LARGE --unlabelled_file sentences.txt

The second has a third curve: what the model scores that learns teachers' answers beside the labels, each teacher
having learned the labels of the same share and no others.

Reads WORK_DIR/student (or --model_name_or_path) and DATA_DIR, writes WORK_DIR/learning_curve/TASK. The test part is
always the whole one. Smaller shares are parts of larger ones and are trained on with one seed; for the share 1 the
road's own models in WORK_DIR/finetuned are taken, and made if they are not there. Runs are kept beside the output, in
TASK.runs: started again, only those that are missing are run.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.common.records import RECORD_NAME
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.finetuning.classical import METHODS, suitable_method
from mobilebert_ja.finetuning.origin import model_input
from mobilebert_ja.inference.kinds import KINDS
from mobilebert_ja.labelling.origin import check_teachers, unlabelled_inputs
from mobilebert_ja.measuring.runs import remaking, run_variants, tabulate
from mobilebert_ja.plans import stage_of
from mobilebert_ja.road import RoadStage, run_stage
from mobilebert_ja.settings import (
    FinetuneSettings,
    LearningCurveSettings,
    comma_separated,
    parse_settings,
    recipe_in_play,
)
from mobilebert_ja.tasks import data_file

SILVER = "silver"  # the curve of the model that learned teachers' answers, too


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
    task = settings.task
    output = Path(settings.output_dir or Path(settings.work_dir) / "learning_curve" / task)
    if settings.teacher or settings.unlabelled_file:
        asked = FinetuneSettings(task=task, teacher=settings.teacher, unlabelled_file=settings.unlabelled_file)
        check_teachers(asked, output)
    inputs = {"data_dir": data_file(task, resolve_data_dir(settings))} | unlabelled_inputs(settings)
    pretrained = {"model_name_or_path": str(settings.model_name_or_path)}
    pretrained |= {f"teacher_{number}": name for number, name in enumerate(_pretrained_teachers(settings), start=1)}
    for path in (Path(each) for each in pretrained.values() if Path(each).is_dir()):
        _require_no_labels(path)
    inputs |= {name: model_input(Path(path)) for name, path in pretrained.items() if Path(path).is_dir()}
    kept = vars(settings) | recipe_in_play(settings.config, "finetune", "baseline")
    stage = stage_of(f"learning_curve_{task}", settings, inputs, output, kept)
    if stage.is_done(settings.overwrite):
        return
    stage.begin()
    method, runs = suitable_method("", task), output.with_name(f"{task}.runs")

    def run(_name: str, share: float, _cores: set[int]) -> dict[str, Any]:
        point: dict[str, Any] = {"share": share}
        for each in runs_of(settings, share, runs):
            launched, flags = each.script == "finetune.py", each.flags
            if each.folder.parent == runs:  # the road's own are not this measurement's
                flags = remaking(each.script, flags, settings)
            command = RoadStage(f"{each.script}, share {share:g}", each.script, flags, launched)
            run_stage(command, settings.config)
            if each.curve:
                point[each.curve] = run_facts(each.folder)
        return point

    points = run_variants({f"{share:g}": share for share in shares}, run, task)
    stage.finish({"task": task, "baseline": method, "points": list(points.values())})
    curves = {"model": "model", "baseline": method} | ({SILVER: "with teachers"} if settings.teacher else {})
    rows = {
        name: {"items": point["model"]["train_size"]}
        | {curve: statistics.fmean(point[curve]["scores"]) for curve in curves}
        for name, point in points.items()
    }
    columns = {title: f"{{{curve}:.2%}}" for curve, title in curves.items()}
    print(tabulate(rows, {"training items": "{items}"} | columns, f"share of {task}"))


def _require_no_labels(folder: Path) -> None:
    """Raise `UserError` for a model that has been fine-tuned: a point of a curve knows its share's labels alone."""
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    heads = config.get("architectures") or [] if isinstance(config, dict) else []
    if any(str(head).endswith(tuple(kind.head for kind in KINDS.values())) for head in heads):
        raise UserError(
            f"{folder} has been fine-tuned, and may know labels that a share has not; a learning curve takes models "
            "from before their fine-tuning, which it does for each share."
        )


def _pretrained_teachers(settings: LearningCurveSettings) -> list[str]:
    return [name for name in comma_separated(settings.teacher) if name not in METHODS]


@dataclass(frozen=True)
class Run:
    """One command of a point of the curves.

    Attributes:
        curve: which curve its score belongs to; "" for what only prepares another.
        folder: what it writes.
    """

    curve: str
    script: str
    folder: Path
    flags: dict[str, str]


def runs_of(settings: LearningCurveSettings, share: float, runs: Path) -> Iterator[Run]:
    """The commands of one share, in their order; of the whole training part those of the road.

    Args:
        runs: where the outcomes of other shares are kept.
    """
    task, method = settings.task, suitable_method("", settings.task)
    shared = {"work_dir": settings.work_dir, "seed": str(settings.seed), "task": task}
    if settings.data_dir is not None:
        shared["data_dir"] = settings.data_dir

    def run(curve: str, script: str, ending: str, flags: dict[str, str]) -> Run:
        given = shared | flags | {"records_dir": str(settings.records_dir)}
        if share == 1 and curve:
            return Run(curve, script, Path(settings.work_dir) / "finetuned" / f"{task}{ending}", given)
        folder = runs / f"{share:g}{ending}"
        given |= {"train_share": str(share), "output_dir": str(folder), "records_dir": str(runs / "records")}
        if script == "finetune.py":
            given["num_seeds"] = "1"
        return Run(curve, script, folder, given)

    model = {"model_name_or_path": str(settings.model_name_or_path)}
    yield run("model", "finetune.py", "", model)
    yield run("baseline", "baseline.py", f"-{method}", {})
    if not settings.teacher:
        return
    teachers = []
    for name in comma_separated(settings.teacher):
        if name in METHODS:  # trained anew on its share wherever it is asked
            teachers.append(name)
            continue
        flags = {"model_name_or_path": name}
        if settings.teacher_learning_rate is not None:
            flags["learning_rate"] = str(settings.teacher_learning_rate)
        teacher = run("", "finetune.py", f"-teacher-{len(teachers) + 1}", flags)
        yield teacher
        teachers.append(str(teacher.folder))
    flags = model | {"teacher": ",".join(teachers), "unlabelled_file": str(settings.unlabelled_file)}
    yield run(SILVER, "finetune.py", "-silver", flags)
