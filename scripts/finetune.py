"""Fine-tune a model on a task, once a seed, and score each run on the test part.

    accelerate launch scripts/finetune.py --config recipes/tiny.yaml --task livedoor
    accelerate launch scripts/finetune.py --config recipes/tiny.yaml --task ner --random_weights bert
    accelerate launch scripts/finetune.py --task classification --train_file reviews.csv
    accelerate launch scripts/finetune.py --task entities --train_file people.jsonl

Reads WORK_DIR/student (or --model_name_or_path: a folder or a Hub name) and DATA_DIR, or your own --train_file (--task
ner with it is --task entities in the recipe's section of ner), writes WORK_DIR/finetuned/TASK:
the first seed's model, seed-N/ with the others, and predictions-seed-N.json. With --random_weights the structure alone
is used, for comparison; bert goes to TASK-bert, mobilebert to TASK-random. Interrupted, it goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from transformers import PretrainedConfig

from mobilebert_ja.checkpoint import save_model
from mobilebert_ja.comparison import score_intervals
from mobilebert_ja.errors import UserError, exit_on_user_error
from mobilebert_ja.files import read_json
from mobilebert_ja.metrics import load_metric, mean_and_std
from mobilebert_ja.optimizers import make_adamw
from mobilebert_ja.records import RECORD_NAME, Stage
from mobilebert_ja.resume import CHOICES, Checkpoints
from mobilebert_ja.sample import resolve_data_dir
from mobilebert_ja.settings import FinetuneSettings, parse_settings
from mobilebert_ja.tasks import TASKS, Example, Task, own_data_settings_left_out, task_source
from mobilebert_ja.tasks.answers import answer_and_score, write_answers
from mobilebert_ja.tasks.batches import (
    Row,
    batch_function,
    batches_an_epoch,
    make_row,
    spans_lost_in_tags,
    training_rows,
)
from mobilebert_ja.tasks.models import check_tokenizer, finetuning_loss, make_model, model_config
from mobilebert_ja.tasks.predictor import LogitsOf, Predictor
from mobilebert_ja.tokenizer import FastEncoder, load_tokenizer
from mobilebert_ja.training import make_accelerator, run_training

FOLDER_ENDINGS = {"": "", "bert": "-bert", "mobilebert": "-random"}


def recipe_section(argv: list[str]) -> str:
    """BERT for comparison has a section of its own: its sizes are not those of the MobileBERT."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--random_weights", default="")
    known, _ = parser.parse_known_args(argv)
    return "finetune_{task}_bert" if known.random_weights == "bert" else "finetune_{task}"


def model_input(folder: Path) -> Path:
    """What of a model folder is fingerprinted: a stage's folder whole, of another (a clone's root) the weights."""
    names = [RECORD_NAME, "model.safetensors", "pytorch_model.bin"]
    found = next((name for name in names if (folder / name).is_file()), RECORD_NAME)
    return folder if found == RECORD_NAME else folder / found


def check_numbers(settings: FinetuneSettings) -> None:
    """Raise `UserError` for counts that make no sense."""
    least = {
        "num_train_epochs": 1, "num_seeds": 1, "per_device_train_batch_size": 1, "per_device_eval_batch_size": 1,
        "gradient_accumulation_steps": 1, "max_seq_length": 3, "seed": 0, "split_seed": 0,
    }  # fmt: skip
    for name, minimum in least.items():
        if getattr(settings, name) < minimum:
            raise UserError(f"--{name} must be at least {minimum}, not {getattr(settings, name)}.")


def run_seed(
    accelerator: Accelerator, settings: FinetuneSettings, task: Task, rows: list[Row], config: PretrainedConfig,
    tokenizer: Any, encoder: FastEncoder, folder: Path, result: Path,
) -> None:  # fmt: skip
    """Train with `settings.seed`, save the model to `folder`, and last of all, as the sign of completion, `result`."""
    model = make_model(settings, config, task)
    batch = batch_function(rows, settings.per_device_train_batch_size, settings.seed, encoder.vocab["[PAD]"])
    an_epoch = batches_an_epoch(len(rows), settings.per_device_train_batch_size)
    a_step = settings.gradient_accumulation_steps * accelerator.num_processes
    steps = math.ceil(settings.num_train_epochs * an_epoch / a_step)
    model.train()
    state = run_training(
        accelerator, model, make_adamw(model, settings), batch, finetuning_loss, settings,
        max_steps=steps, warmup_steps=settings.warmup_steps or round(settings.warmup_ratio * steps),
        folder=folder, describe=f"{task.name}, seed {settings.seed}",
    )  # fmt: skip
    if not accelerator.is_main_process:
        return  # the test part is small: one process scores it, the others wait
    predictor = Predictor(LogitsOf(model), encoder, task.name, task.labels, settings.max_seq_length)
    predictions, details = answer_and_score(
        task, lambda texts, what: predictor.predict(texts, settings.per_device_eval_batch_size, describe=what),
        task.score_with_evaluate,
    )  # fmt: skip
    save_model(model.cpu(), tokenizer, folder)
    run = {
        "seed": settings.seed,
        "score": details[task.metric],
        "intervals": score_intervals(task.metric, predictions, [example.target for example in task.test]),
        "train_seconds": round(state.seconds, 2),
        "examples_per_second": round(len(rows) * settings.num_train_epochs / state.seconds, 1),
        "steps": state.step,
        "parameters": sum(each.numel() for each in model.parameters()),
        "details": details,
        "history": state.history,
    }
    write_answers(result, run, task, predictions)
    print(
        f"{task.name}, seed {settings.seed}: {task.metric} {details[task.metric]:.2%} of {len(task.test)} test items"
    )


def warn_of_cuts(settings: FinetuneSettings, encoder: FastEncoder, parts: dict[str, list[Example]]) -> None:
    """Say how many inputs are longer than the model is given."""
    for part, examples in parts.items():
        cut = sum(make_row(example.text, encoder, settings.max_seq_length).cut for example in examples)
        if cut:
            print(
                f"warning: {cut} of {len(examples)} inputs of the {part} part are longer than --max_seq_length "
                f"{settings.max_seq_length} tokens and are cut",
                file=sys.stderr,
            )


def warn_of_lost_spans(encoder: FastEncoder, parts: dict[str, list[Example]]) -> None:
    """Say how many of a user's entities no answer can match exactly."""
    for part, examples in parts.items():
        lost = spans_lost_in_tags(examples, encoder)
        if lost:
            print(
                f"warning: {lost} of {sum(len(example.target) for example in examples)} entities of the {part} part "
                "begin or end within a token; no answer can match them exactly",
                file=sys.stderr,
            )


@exit_on_user_error
def main() -> None:
    settings = parse_settings(
        FinetuneSettings, __doc__, recipe_section(sys.argv[1:]),
        task=list(TASKS), random_weights=list(FOLDER_ENDINGS), resume_from_checkpoint=list(CHOICES),
    )  # fmt: skip
    check_numbers(settings)
    if settings.task == "ner" and settings.train_file:
        settings.task = "entities"  # the same kind of task; its output must not stand in the public one's place
    ending = FOLDER_ENDINGS[settings.random_weights]
    output = Path(settings.output_dir or Path(settings.work_dir) / "finetuned" / f"{settings.task}{ending}")
    source = str(settings.tokenizer or settings.model_name_or_path)
    if settings.random_weights:  # of the model nothing is used but its tokenizer
        settings.tokenizer, settings.model_name_or_path = source, None
    accelerator = make_accelerator(settings.gradient_accumulation_steps)
    with accelerator.main_process_first():
        data = task_source(vars(settings), lambda: resolve_data_dir(settings))
    inputs = dict(data.files)
    for name in ("model_name_or_path", "tokenizer"):
        place = getattr(settings, name)
        if place and Path(place).exists():
            inputs[name] = Path(place) / "vocab.txt" if name == "tokenizer" else model_input(Path(place))
    relevant = own_data_settings_left_out(vars(settings))
    stage = Stage(output.name, relevant, output, inputs, Path(str(settings.records_dir)))
    if stage.is_done(settings.overwrite):
        return
    task = data.load(settings.split_seed)
    tokenizer = load_tokenizer(source)
    encoder = FastEncoder(tokenizer)
    check_tokenizer(tokenizer, encoder, [example.text for example in task.train[:100]])
    config = model_config(settings, len(encoder.vocab))
    rows = training_rows(task, encoder, settings.max_seq_length)
    if accelerator.is_main_process:
        load_metric("accuracy" if task.metric == "accuracy" else "entity_f1")  # what can fail does so before training
        parts = {"training": task.train, "test": task.test}
        warn_of_cuts(settings, encoder, parts)
        if settings.task == "entities":
            warn_of_lost_spans(encoder, parts)
        stage.begin(resume=settings.resume_from_checkpoint != "none", overwrite=settings.overwrite)
    accelerator.wait_for_everyone()

    results: list[Path] = []
    for seed in range(settings.seed, settings.seed + settings.num_seeds):
        folder = stage.folder if not results else stage.folder / f"seed-{seed}"
        results.append(stage.folder / f"predictions-seed-{seed}.json")
        if results[-1].is_file():
            accelerator.print(f"seed {seed} is there already")
        else:
            own = dataclasses.replace(settings, seed=seed)
            run_seed(accelerator, own, task, rows, config, tokenizer, encoder, folder, results[-1])
        Checkpoints(folder, accelerator).remove()
        accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        runs = [read_json(result)["run"] for result in results]
        parameters = {run.pop("parameters") for run in runs}.pop()
        mean, std = mean_and_std([run["score"] for run in runs])
        seconds = sum(run["train_seconds"] for run in runs) / len(runs)
        stage.finish(
            {
                "task": task.name,
                "metric": task.metric,
                "train_size": len(task.train),
                "test_size": len(task.test),
                "num_labels": len(task.labels),
                "parameters": parameters,
                "precision": accelerator.mixed_precision,
                "num_threads": torch.get_num_threads(),
                "runs": runs,
                "mean": mean,
                "std": std,
                "train_seconds": round(seconds, 2),
                "bytes": (stage.folder / "model.safetensors").stat().st_size,
                "pretrained": not settings.random_weights,
            }
        )
        spread = "" if std is None else f" ± {std:.2%}"
        seeds = "1 seed" if len(runs) == 1 else f"{len(runs)} seeds"
        print(f"{output.name}: {task.metric} {mean:.2%}{spread} over {seeds}, {seconds:.1f} s of training each")
    accelerator.wait_for_everyone()
    accelerator.end_training()


if __name__ == "__main__":
    main()
