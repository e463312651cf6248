"""Settings of fine-tuning compared: finetune.py once for each variant of a file, and what each has over the first.

    python scripts/measure.py trials --trials silver.yaml --data_dir DATA_DIR

The file has `common` settings, `variants` (a name and the changed settings for each; the first is what the others are
compared with), and if one likes a `question`; the settings are the flags of finetune.py:

    common: {task: ner, model_name_or_path: ., validate_on: 0.2}
    variants:
      without: {}
      self-training: {teacher: work/teachers/ner, unlabelled_file: sentences.txt}
      counting half: {teacher: work/teachers/ner, unlabelled_file: sentences.txt, silver_weight: 0.5}

With `validate_on` the test part is not looked at: settings are chosen so. Without it, the test part gives the result.
Writes WORK_DIR/trials/NAME with a record: scores of all seeds, and seed by seed the difference from the first variant
with its 95 % interval. Runs are kept in WORK_DIR/trials/NAME.runs: started again, only those that are missing are run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import statistics
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, require_file
from mobilebert_ja.common.records import RECORD_NAME
from mobilebert_ja.measuring.ablation_runs import Ablation, Variant, read_variants
from mobilebert_ja.measuring.runs import remaking, run_variants, stage_of_run, tabulate
from mobilebert_ja.plans import stage_of
from mobilebert_ja.road import RoadStage, run_stage
from mobilebert_ja.settings import FinetuneSettings, TrialSettings, parse_settings, recipe_in_play
from mobilebert_ja.tasks.intervals import compare, read_answers

_PLACES = ("output_dir", "records_dir", "work_dir", "overwrite", "config", "rescore")  # what the trials say themselves
COLUMNS = {
    "score": "{mean:.2%}",
    "seeds": "{seeds}",
    "over the first": "{points:+.2f} points",
    "silver": "{learned:,}",
    "seconds each": "{train_seconds:,.0f}",
}


def main() -> None:
    settings = parse_settings(TrialSettings, __doc__, section="")
    asked = _read(require_file(str(settings.trials), "--trials names the file with the variants."))
    output = Path(settings.output_dir or Path(settings.work_dir) / "trials" / asked.name)
    runs = output.with_name(f"{output.name}.runs")
    flags = {name: _flags(Variant(name, asked.common | own), settings, runs) for name, own in asked.variants.items()}
    inputs: dict[str, Path] = {}
    for given in flags.values():  # each is checked before the first is run
        run_inputs = stage_of_run("finetune.py", given, settings.config).inputs
        inputs |= {f"{name} {path}": path for name, path in run_inputs.items()}
    kept = vars(settings) | {"common": asked.common, "variants": asked.variants}
    kept |= recipe_in_play(settings.config, "finetune")
    stage = stage_of(f"trials_{asked.name}", settings, inputs, output, kept)
    if stage.is_done(settings.overwrite):
        return
    stage.begin()

    def run(name: str, given: dict[str, str], _cores: set[int]) -> dict[str, Any]:
        flags = remaking("finetune.py", given, settings)
        run_stage(RoadStage(f"finetune.py, {name}", "finetune.py", flags, launch=True), settings.config)
        return run_facts(Path(given["output_dir"]))

    results = run_variants(flags, run, asked.name)
    first = next(iter(flags))
    for name in list(flags)[1:]:
        results[name]["over_first"] = differences(Path(flags[first]["output_dir"]), Path(flags[name]["output_dir"]))
    stage.finish({"question": asked.question, "first": first, "variants": results})
    print(tabulate({name: _row(facts) for name, facts in results.items()}, COLUMNS, "variant"))


def _read(path: Path) -> Ablation:
    fields = {each.name for each in dataclasses.fields(FinetuneSettings)}
    asked = read_variants(path, sorted(fields - {*_PLACES}))
    folders = [Variant(name, {}).folder_name for name in asked.variants]
    if len({*folders}) < len(folders) or not all(folders):
        raise UserError(f"{path}: the names of two variants are too much alike, or one has no Latin letter or digit.")
    return asked


def _flags(variant: Variant, settings: TrialSettings, runs: Path) -> dict[str, str]:
    """The flags of one run. Its folder is called after the variant and its settings, so that no other's is taken."""
    given = {name: str(value) for name, value in variant.settings.items() if value is not None}
    digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:6]
    shared = {"work_dir": settings.work_dir, "records_dir": str(runs / "records")}
    shared |= {"data_dir": settings.data_dir} if settings.data_dir else {}
    return shared | given | {"output_dir": str(runs / f"{variant.folder_name}-{digest}")}


def run_facts(folder: Path) -> dict[str, Any]:
    """Of a finished run: scores of its seeds, their mean, seconds, and the facts of its silver answers, if any."""
    metrics = read_json(folder / RECORD_NAME)["metrics"]
    names = ("metric", "train_size", "test_size", "mean", "std", "train_seconds", "silver")
    facts = {name: metrics[name] for name in names if name in metrics}
    return facts | {"scores": {str(run["seed"]): run["score"] for run in metrics["runs"]}}


def differences(first: Path, second: Path) -> dict[str, Any]:
    """By seed the difference of two folders' scores with its interval and p, and the mean of the differences.

    Raises `UserError` if they have no seed in common.
    """
    names = [path.name for path in sorted(first.glob("predictions-seed-*.json")) if (second / path.name).is_file()]
    if not names:
        raise UserError(f"{first} and {second} have no seed in common; give the variants the same --seed.")
    seeds = {}
    for name in names:
        found = compare(read_answers(first / name), read_answers(second / name))
        seed = name.removeprefix("predictions-seed-").removesuffix(".json")
        seeds[seed] = {key: found[key] for key in ("difference", "interval", "p")}
    return {"mean": statistics.fmean(each["difference"] for each in seeds.values()), "seeds": seeds}


def _row(facts: dict[str, Any]) -> dict[str, Any]:
    over = facts.get("over_first")
    return facts | {
        "seeds": len(facts["scores"]),
        "points": 100 * over["mean"] if over else None,
        "learned": facts.get("silver", {}).get("learned"),
    }
