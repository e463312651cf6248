"""Settings of pretraining compared on equal terms: the same rows, tokens and held-out text, one setting changed.

    ACCELERATE_MIXED_PRECISION=bf16 python scripts/measure.py ablation --ablation recipes/ablations/masking.yaml \\
        --data_dir path/to/data

Runs pretrain.py (or distill.py) once for every variant of the file (and seed), --num_workers at a time, each on cores
of its own, and writes WORK_DIR/ablations/NAME with a record of what each one reached. Reads WORK_DIR/shards,
WORK_DIR/tokenizer and what the variants name besides: a guide, tags, a model to start from. Runs are kept in
WORK_DIR/ablations/NAME.runs: started again, or with variants added or taken away (and --overwrite), only those are run
that are missing or were made from something else. A variant whose loss stops being finite is a result, too.
`--only NAME` runs one variant and writes no record, so that processes can share the work; the command without it
gathers what they have left.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import require_file, require_folder
from mobilebert_ja.common.records import fingerprint
from mobilebert_ja.measuring.ablation_runs import Variant, load_ablation, run_variant, summary
from mobilebert_ja.measuring.runs import run_variants, stage_of_run, tabulate
from mobilebert_ja.plans import stage_of
from mobilebert_ja.settings import AblationSettings, parse_settings

COLUMNS = {
    "outcome": "{outcome}",
    "held-out loss": "{mlm_loss:.3f}",
    "accuracy": "{mlm_accuracy:.1%}",
    "tokens": "{tokens_seen:,}",
    "CPU seconds": "{cpu_seconds:,.0f}",
}


def outcome(facts: dict[str, Any]) -> str:
    return "finished" if facts["finished"] else f"the loss is not finite at step {facts['diverged_at_step']}"


def main() -> None:
    settings = parse_settings(AblationSettings, __doc__, section="")
    ablation = load_ablation(require_file(str(settings.ablation), "recipes/ablations/ has some."))
    shards = require_folder(Path(str(settings.shards_dir)), "pack_corpus.py makes it.")
    tokenizer = require_folder(Path(str(settings.tokenizer)), "train_tokenizer.py makes it.")
    output = Path(settings.output_dir or Path(settings.work_dir) / "ablations" / ablation.name)
    runs = output.with_name(f"{output.name}.runs")
    asked = {"common": ablation.common, "variants": ablation.variants, "seeds": ablation.seeds}
    flags = {"shards_dir": str(shards), "tokenizer": str(tokenizer), "work_dir": settings.work_dir}
    variants = [
        Variant(
            f"{name}, seed {seed}" if len(ablation.seeds) > 1 else name, ablation.common | changes | {"seed": seed}
        )
        for name, changes in ablation.variants.items()
        for seed in ablation.seeds
    ]
    chosen = {variant.name: variant for variant in variants if variant.name.startswith(settings.only)}
    if not chosen:
        raise UserError(f"--only: no variant begins with '{settings.only}'; there are {', '.join(ablation.variants)}.")
    # Each is checked before the first is run.
    read = {name: stage_of_run(each.script, each.flags(flags, runs), None).inputs for name, each in chosen.items()}
    inputs: dict[str, Path] = {}
    for name, paths in read.items():
        inputs |= {
            label if inputs.get(label, path) == path else f"{name} {label}": path for label, path in paths.items()
        }
    stage = stage_of(f"ablation_{ablation.name}", settings, inputs, output, vars(settings) | asked)
    if not settings.only:
        if stage.is_done(settings.overwrite):
            return
        stage.begin()
    runs.mkdir(parents=True, exist_ok=True)
    marks = {path: fingerprint(path) for paths in read.values() for path in paths.values()}
    results = run_variants(
        chosen,
        lambda name, variant, cores: summary(
            run_variant(variant, flags, {label: marks[path] for label, path in read[name].items()}, runs, cores)
        ),
        ablation.name,
        settings.num_workers,
    )
    if not settings.only:
        stage.finish({"question": ablation.question, "runs": results})
    print(tabulate({name: facts | {"outcome": outcome(facts)} for name, facts in results.items()}, COLUMNS, "variant"))
