"""Fine-tune a model on a task, once a seed, and score each run on the test part.

    accelerate launch scripts/finetune.py --config recipes/tiny.yaml --task livedoor
    accelerate launch scripts/finetune.py --config recipes/tiny.yaml --task ner --random_weights bert
    accelerate launch scripts/finetune.py --task classification --train_file reviews.csv
    accelerate launch scripts/finetune.py --task entities --train_file people.jsonl
    accelerate launch scripts/finetune.py --task jnli --data_dir JGLUE/datasets

Reads WORK_DIR/student (or --model_name_or_path: a folder or a Hub name) and DATA_DIR, or your own --train_file (--task
ner with it is --task entities in the recipe's section of ner). For JGLUE (jsts, jnli, jcommonsenseqa, jsquad) it reads
DATA_DIR/TASK*/train-*.json and valid-*.json, without --data_dir the Hub's copy. Writes WORK_DIR/finetuned/TASK:
the first seed's model, seed-N/ with the others, and predictions-seed-N.json. With --random_weights the structure alone
is used, for comparison; bert goes to TASK-bert, mobilebert to TASK-random. Interrupted, it goes on where it was.

    python scripts/finetune.py --task livedoor --rescore true

answers the test part anew with the models of a finished folder and scores them anew, after the metrics or the answers'
file have changed; the settings are those that the folder was made with.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from mobilebert_ja.common.errors import UserError, exit_on_user_error
from mobilebert_ja.common.files import read_json
from mobilebert_ja.common.records import Stage
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.finetuning.folder import model_input
from mobilebert_ja.finetuning.forms import FORMS
from mobilebert_ja.finetuning.heads import check_tokenizer, model_config
from mobilebert_ja.finetuning.rescore import rescore
from mobilebert_ja.finetuning.run import Job, choose_decoding, run_seed, warn_of_losses
from mobilebert_ja.inference.decoding import DECODINGS
from mobilebert_ja.settings import FinetuneSettings, parse_settings
from mobilebert_ja.tasks import JGLUE, TASK_KINDS, TASKS, Kind, own_data_settings_left_out, task_source
from mobilebert_ja.tasks.metrics import mean_and_std
from mobilebert_ja.tokenization.encoder import FastEncoder, load_tokenizer
from mobilebert_ja.training.checkpoints import CHOICES, Checkpoints
from mobilebert_ja.training.loop import make_accelerator

KIND_SETTINGS = [name for form in FORMS.values() for name in form.settings]
FOLDER_ENDINGS = {"": "", "bert": "_bert", "mobilebert": "_random"}  # of sections; of folders with a hyphen


def recipe_section(argv: list[str]) -> str:
    """Models of random weights for comparison have sections of their own; a BERT has other sizes, too."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--random_weights", default="")
    known, _ = parser.parse_known_args(argv)
    return "finetune_{task}" + FOLDER_ENDINGS.get(known.random_weights, "")


def check_numbers(settings: FinetuneSettings) -> None:
    """Raise `UserError` for counts that make no sense."""
    least = {
        "num_train_epochs": 1,
        "num_seeds": 1,
        "per_device_train_batch_size": 1,
        "per_device_eval_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "max_seq_length": 3,
        "seed": 0,
        "split_seed": 0,
        "doc_stride": 0,
    }
    for name, minimum in least.items():
        if getattr(settings, name) < minimum:
            raise UserError(f"--{name} must be at least {minimum}, not {getattr(settings, name)}.")
    decoded = [task for task, kind in TASK_KINDS.items() if "decoding" in FORMS[kind].settings]
    if settings.task not in decoded and settings.decoding not in ("plain", FinetuneSettings().decoding):
        raise UserError(f"--decoding {settings.decoding} goes with --task {' or '.join(decoded)}.")
    if not 0 < settings.validation_share < 1:
        raise UserError(f"--validation_share must be more than 0 and less than 1, not {settings.validation_share}.")
    if not 0 <= settings.token_masking < 1:
        raise UserError(f"--token_masking must be at least 0 and less than 1, not {settings.token_masking}.")
    if not settings.crf_gain > 0:
        raise UserError(f"--crf_gain must be more than 0, not {settings.crf_gain}.")


def settings_in_play(settings: FinetuneSettings) -> dict[str, Any]:
    """The settings without those that say nothing about this run, such as how own files are read without any."""
    absent = {*KIND_SETTINGS} - {*FORMS[TASK_KINDS[settings.task]].settings}
    if settings.decoding not in ("crf", "auto"):
        absent |= {"crf_gain"}
    if settings.decoding != "auto":
        absent |= {"validation_share"}
    kept = own_data_settings_left_out(vars(settings))
    return {name: value for name, value in kept.items() if name not in absent}


@exit_on_user_error
def main() -> None:
    settings = parse_settings(
        FinetuneSettings,
        __doc__,
        recipe_section(sys.argv[1:]),
        task=[*TASKS, *JGLUE],
        random_weights=list(FOLDER_ENDINGS),
        resume_from_checkpoint=list(CHOICES),
        decoding=[*DECODINGS, "auto"],
    )
    check_numbers(settings)
    if settings.task == "ner" and settings.train_file:
        settings.task = "entities"  # the same kind of task; its output must not stand in the public one's place
    ending = FOLDER_ENDINGS[settings.random_weights].replace("_", "-")
    output = Path(settings.output_dir or Path(settings.work_dir) / "finetuned" / f"{settings.task}{ending}")
    source = str(settings.tokenizer or settings.model_name_or_path)
    if settings.random_weights:  # of the model nothing is used but its tokenizer
        settings.tokenizer, settings.model_name_or_path = source, None
    accelerator = make_accelerator(settings.gradient_accumulation_steps)
    if settings.rescore:
        if accelerator.is_main_process:
            rescore(output, settings, accelerator)
        accelerator.wait_for_everyone()
        return
    with accelerator.main_process_first():
        data = task_source(vars(settings), lambda: resolve_data_dir(settings))
    inputs = dict(data.files)
    for name in ("model_name_or_path", "tokenizer"):
        place = getattr(settings, name)
        if place and Path(place).exists():
            inputs[name] = Path(place) / "vocab.txt" if name == "tokenizer" else model_input(Path(place))
    stage = Stage(output.name, settings_in_play(settings), output, inputs, Path(str(settings.records_dir)))
    if stage.is_done(settings.overwrite):
        return
    task = data.load(settings.split_seed)
    tokenizer = load_tokenizer(source)
    encoder = FastEncoder(tokenizer)
    check_tokenizer(tokenizer, encoder, [example.text for example in task.train[:100]])
    config = model_config(settings, len(encoder.vocab))
    job = Job(accelerator, settings, task, config, tokenizer, encoder)
    if accelerator.is_main_process:
        task.evaluate_metric()  # what can fail does so before training
        warn_of_losses(job)
        stage.begin(resume=settings.resume_from_checkpoint != "none", overwrite=settings.overwrite)
    accelerator.wait_for_everyone()

    choice, decoded = None, task.kind is Kind.ENTITIES
    if decoded and settings.decoding == "auto":
        choice = choose_decoding(job, stage.folder)
    decoding = choice["chosen"] if choice else settings.decoding if decoded else "plain"
    results: list[Path] = []
    for seed in range(settings.seed, settings.seed + settings.num_seeds):
        folder = stage.folder if not results else stage.folder / f"seed-{seed}"
        results.append(stage.folder / f"predictions-seed-{seed}.json")
        if results[-1].is_file():
            accelerator.print(f"seed {seed} is there already")
        else:
            run_seed(job.with_seed(seed), decoding, folder, results[-1])
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
                **({"decoding": decoding} if decoded else {}),
                **({"choice": choice} if choice else {}),
            }
        )
        spread = "" if std is None else f" ± {std:.2%}"
        seeds = "1 seed" if len(runs) == 1 else f"{len(runs)} seeds"
        print(f"{output.name}: {task.metric} {mean:.2%}{spread} over {seeds}, {seconds:.1f} s of training each")
    accelerator.wait_for_everyone()
    accelerator.end_training()


if __name__ == "__main__":
    main()
