"""A finished fine-tuned folder answered and scored anew with its own models: metrics may change after a training."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import link_or_copy, read_json, sha256_of, write_json
from mobilebert_ja.common.folders import RECORD_NAME, digests, place_of, replace_folder
from mobilebert_ja.common.records import circumstances, command_and_time, fingerprint
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.finetuning.answers import Answered, answer_and_score, write_answers
from mobilebert_ja.finetuning.classical import classical_score
from mobilebert_ja.finetuning.folder import FinishedRuns, load_finetuned
from mobilebert_ja.finetuning.modelling.forms import FORMS
from mobilebert_ja.finetuning.run import Job
from mobilebert_ja.settings import FinetuneSettings
from mobilebert_ja.tasks import Task, task_source
from mobilebert_ja.tasks.intervals import score_intervals
from mobilebert_ja.tasks.metrics import mean_and_std
from mobilebert_ja.tokenization.encoders import read_encoder

_WEIGHTS = "model.safetensors"


def rescore(output: Path, settings: FinetuneSettings, accelerator: Accelerator) -> dict[str, Any]:
    """Make predictions, scores, intervals and details of every run anew; returns the record.

    What the record says of the training stays, "rescored" says when this was. So does the fingerprint of the folder:
    models that were made from its models still are.

    Args:
        output: a folder that finetune.py made. At every moment it is as it was, or as it will be.
        settings: of them only the paths count; all others are those that the folder was made with.

    Raises `UserError` if the folder is not finished, its data have changed, or a model is not the one that was scored.
    """
    output = place_of(output)
    record = read_json(output / RECORD_NAME, "--rescore needs a finished folder; finetune.py without it makes one.")
    try:
        metrics = record["metrics"]
        runs = FinishedRuns(output, metrics, record["settings"], record["inputs"])
        made = runs.made_with(**_paths_of(settings))
        same_task = made.task == settings.task and bool(runs.seeds)
    except (KeyError, TypeError):
        same_task = False
    if not same_task:
        raise UserError(f"{output / RECORD_NAME} is no record of finetune.py --task {settings.task}.")
    for index in range(len(runs.seeds)):
        _require_trained_weights(runs.folder_of(index), output, record)
    task = _read_task(output, record, made)
    with tempfile.TemporaryDirectory(prefix=f"{output.name}.rescored-", dir=output.parent) as temporary:
        fresh = Path(temporary) / output.name
        shutil.copytree(output, fresh, copy_function=link_or_copy)
        new_runs = []
        for index, run in enumerate(metrics["runs"]):
            answered = _answer(runs.folder_of(index), task, made, accelerator)
            new_runs.append(
                run
                | {
                    "score": answered.details[task.metric],
                    "intervals": score_intervals(task.metric, answered.predictions, task.references()),
                    "details": answered.details,
                }
            )
            kept = new_runs[-1] | {"parameters": metrics["parameters"]}
            write_answers(fresh / f"predictions-seed-{run['seed']}.json", kept, task, answered)
        # Its model is not kept, and takes seconds.
        classical = {"classical": classical_score(task)} if "classical" in metrics else {}
        before = metrics["mean"]
        mean, std = mean_and_std([run["score"] for run in new_runs])
        found = digests(fresh)
        record |= {
            "metrics": metrics | {"runs": new_runs, "mean": mean, "std": std} | classical,
            "rescored": command_and_time() | circumstances(),
            "fingerprint": fingerprint(output),
            # What a user has put beside them stays the user's.
            "files": {name: found.get(name, known) for name, known in record["files"].items()},
        }
        write_json(fresh / RECORD_NAME, record)
        replace_folder(fresh, output)
    if settings.records_dir:
        write_json(Path(settings.records_dir) / f"{record['stage']}.json", record)
    print(f"{output}: {task.metric} {before:.2%} -> {mean:.2%}, scored anew and not trained")
    return record


def _paths_of(settings: FinetuneSettings) -> dict[str, Any]:
    """The paths of this command; those of the one that made the folder may have moved."""
    paths = {name: getattr(settings, name) for name in ("work_dir", "output_dir", "records_dir")}
    return paths | ({"data_dir": settings.data_dir} if settings.data_dir else {})


def _read_task(output: Path, record: dict[str, Any], made: FinetuneSettings) -> Task:
    """The task with the split that the models know."""
    source = task_source(vars(made), lambda: resolve_data_dir(made))
    for name, path in source.files.items():
        if record["inputs"].get(name) != fingerprint(path):
            raise UserError(
                f"{output} was made from another {path} than is there now; its models may have seen the "
                "test part that this one gives."
            )
    return source.load(made.split_seed)


def _require_trained_weights(folder: Path, output: Path, record: dict[str, Any]) -> None:
    weights = folder / _WEIGHTS
    known = record.get("files", {}).get(str(weights.relative_to(output)))
    if known is not None and weights.is_file() and sha256_of(weights) != known:
        raise UserError(f"{weights} is not the file that the training left there; finetune.py --overwrite mends it.")


def _answer(folder: Path, task: Task, made: FinetuneSettings, accelerator: Accelerator) -> Answered:
    model, ready = load_finetuned(folder, task.name, made.max_seq_length, task.kind)
    if FORMS[task.kind].has_label_names and ready.labels != task.labels:
        raise UserError(f"{folder} has other labels than the task has now: {', '.join(ready.labels[:5])}, ...")
    job = Job(accelerator, made, task, model.config, None, read_encoder(folder))
    answer = job.answers_of(model.to(accelerator.device), ready.decoder)
    return answer_and_score(task, answer, task.score_with_evaluate)
