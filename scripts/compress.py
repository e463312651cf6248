"""Speed a fine-tuned model up, score it again, and keep it in a folder that says how to run it.

    python scripts/compress.py --config recipes/tiny.yaml --task livedoor
    python scripts/compress.py --config recipes/tiny.yaml --task livedoor --treatment card
    accelerate launch --num_processes 1 scripts/compress.py --config recipes/tiny.yaml --task livedoor --treatment fast

Reads WORK_DIR/finetuned/TASK and DATA_DIR, writes WORK_DIR/compressed/TASK/TREATMENT: the model, compressed.json and
the tokenizer, for the first seed; the same for other seeds in seed-N/; predictions-seed-N.json as finetune.py does.
Treatments:
- onnx: folded exactly into fewer products, int8, for onnxruntime; predict.py and `mobilebert_ja.runtime` read it.
- fast: fewer blocks and narrower feed-forwards, trained to answer as before on the task's training part, then onnx.
  How few blocks is found out on a held-out part of the training data (--keep_layers auto), once for all seeds, unless
  --keep_layers is a number. Interrupted, it goes on where it was. With --unlabelled_file it learns the answers to text
  that nobody labelled, too, without the texts of the test part.
- card: the published card's; small weights set to zero (and, with --prune_epochs, the others trained), int8, traced
  by TorchScript.
The fast model answers the test part one by one; its answers are compared with those that finetune.py kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mobilebert_ja.training.waiting  # noqa: F401

from accelerate import Accelerator

from mobilebert_ja.common.errors import exit_on_user_error
from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.compression.cutting.depth import plan_search, search_depth
from mobilebert_ja.compression.cutting.recovery import Source
from mobilebert_ja.compression.torchscript import select_engine
from mobilebert_ja.compression.treatments import make, predictor_of, training_accelerator
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.finetuning.answers import Answered, write_answers
from mobilebert_ja.finetuning.folder import (
    FinishedRuns,
    load_finetuned,
    read_runs,
    require_labels,
    require_own_structure,
    stored_answers,
)
from mobilebert_ja.finetuning.origin import task_source_of
from mobilebert_ja.labelling.silver import unlabelled_set
from mobilebert_ja.plans import compression_stage
from mobilebert_ja.settings import CompressSettings, parse_settings
from mobilebert_ja.tasks import Task
from mobilebert_ja.tasks.metrics import mean_and_std
from mobilebert_ja.training.checkpoints import Checkpoints


def answers_of(predict_one: Callable[[str], Any], task: Task, describe: str) -> list[Any]:
    """Answers for the test part, one text at a time as in use: int8 activations depend on what shares a batch."""
    texts = [example.text for example in task.test]
    return [predict_one(text) for text in progress_bar(texts, desc=describe, unit="text", leave=False)]


def compress_seed(
    settings: CompressSettings,
    task: Task,
    runs: FinishedRuns,
    index: int,
    folder: Path,
    accelerator: Accelerator | None,
    answers_file: Path,
    blocks: list[int] | None,
    unlabelled: Sequence[str],
) -> dict[str, Any]:
    """Speed one seed's model up, save it to `folder`, load it from there and compare it with what it was.

    Its answers go to `answers_file`, in the form of finetune.py's. `blocks`: see `make`; `unlabelled`: see `Source`.
    """
    seed = runs.seeds[index]
    model, before = load_finetuned(runs.folder_of(index), task.name, runs.max_seq_length, task.kind)
    require_labels(before.labels, task, before.folder)
    answers_before = stored_answers(runs, index, task)
    if answers_before is None:
        answers_before = answers_of(before.predictor().predict_one, task, f"seed {seed}, before")
    made = make(settings, Source(model, before, task, seed, unlabelled), folder, accelerator, blocks)
    answers = answers_of(predictor_of(folder, settings.treatment), task, f"seed {seed}, after")
    same = sum(mine == theirs for mine, theirs in zip(answers, answers_before, strict=True))
    result = {
        "seed": seed,
        "score": task.score(answers)[task.metric],
        "score_before": task.score(answers_before)[task.metric],
        "bytes_before": before.bytes,
        "agreement": same / len(answers),
        **made,
    }
    write_answers(answers_file, result, task, Answered(answers))
    return result


@exit_on_user_error
def main() -> None:
    settings = parse_settings(CompressSettings, __doc__)
    stage = compression_stage(settings)
    source = stage.inputs["model_name_or_path"]
    data = task_source_of(source, settings.task, lambda: resolve_data_dir(settings))
    runs = read_runs(source, settings.task, data.main_file, "finetune.py")
    require_own_structure(source)
    if stage.is_done(settings.overwrite):
        return
    engine = select_engine() if settings.treatment == "card" else "onnxruntime"
    task = data.load(runs.split_seed)
    accelerator = training_accelerator(settings)
    searches = settings.treatment == "fast" and settings.number_of_layers is None
    unlabelled, facts = unlabelled_set(settings, task)
    search = plan_search(settings, runs, task, unlabelled) if searches else None
    stage.begin(accelerator is not None and settings.resume_from_checkpoint != "none", settings.overwrite)
    choice: dict[str, Any] = {}
    if search is not None and accelerator is not None:
        choice = search_depth(search, accelerator, stage.folder)
    seeds = runs.seeds[: settings.num_seeds or None]
    folders = [stage.folder if index == 0 else stage.folder / f"seed-{seed}" for index, seed in enumerate(seeds)]
    results = [
        compress_seed(
            settings,
            task,
            runs,
            index,
            folder,
            accelerator,
            stage.folder / f"predictions-seed-{seeds[index]}.json",
            choice.get("blocks"),
            unlabelled,
        )
        for index, folder in enumerate(folders)
    ]
    if accelerator is not None:
        for folder in folders:
            Checkpoints(folder, accelerator).remove()
    mean, std = mean_and_std([result["score"] for result in results])
    before, _ = mean_and_std([result["score_before"] for result in results])
    agreement, _ = mean_and_std([result["agreement"] for result in results])
    of_each_run = ("seed", "score", "score_before", "score_float32", "history")
    first = {key: value for key, value in results[0].items() if key not in of_each_run}
    stage.finish(
        {
            "task": task.name,
            "treatment": settings.treatment,
            "metric": task.metric,
            "test_size": len(task.test),
            "runs": results,
            "mean": mean,
            "std": std,
            "mean_before": before,
            **first,
            **({"prune_amount": settings.prune_amount} if settings.treatment == "card" else {}),
            "agreement": agreement,
            **({"choice": choice} if choice else {}),
            **({"unlabelled": facts} if facts else {}),
            # That it was no test part, for the card: what follows from the folder is not among the settings here.
            **({"validate_on": runs.settings["validate_on"]} if runs.settings.get("validate_on") else {}),
            "per_channel": settings.per_channel,
            "engine": engine,
            "pretrained": runs.metrics.get("pretrained"),
        }
    )
    print(
        f"{stage.output_dir}: {task.metric} {before:.2%} -> {mean:.2%}, {agreement:.1%} of the answers unchanged, "
        f"{results[0]['bytes_before'] / 1e6:.1f} -> {results[0]['bytes'] / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
