"""Compare settings of pretraining on equal terms: the same rows, tokens and held-out text, one setting changed.

    ACCELERATE_MIXED_PRECISION=bf16 python scripts/ablate.py --ablation recipes/ablations/initialisation.yaml \\
        --data_dir path/to/data

Runs pretrain.py (or distill.py) once for every variant of the file (and seed), --num_workers at a time, each on cores
of its own, and writes WORK_DIR/ablations/NAME with a record of what each one reached. Reads WORK_DIR/shards and
WORK_DIR/tokenizer. Runs are kept in WORK_DIR/ablations/NAME.runs: started again, or with variants added or taken away
(and --overwrite), only those that are missing are run. A variant whose loss stops being finite is a result, too.
`--only NAME` runs one variant and writes no record, so that processes can share the work; the command without it
gathers what they have left.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError, exit_on_user_error
from mobilebert_ja.common.files import require_file, require_folder
from mobilebert_ja.common.records import Stage, fingerprint
from mobilebert_ja.measuring.ablation import Variant, load_ablation, run_variants, summary
from mobilebert_ja.settings import AblationSettings, parse_settings


def line_of(name: str, facts: dict[str, Any]) -> str:
    if not facts["finished"]:
        return f"{name:44} the loss is not finite at step {facts['diverged_at_step']}"
    return (
        f"{name:44} held-out loss {facts['mlm_loss']:.3f}, accuracy {facts['mlm_accuracy']:.1%}, "
        f"{facts['tokens_seen']:,} tokens, {facts['cpu_seconds']:,.0f} CPU seconds"
    )


@exit_on_user_error
def main() -> None:
    settings = parse_settings(AblationSettings, __doc__)
    ablation = load_ablation(require_file(str(settings.ablation), "recipes/ablations/ has some."))
    shards = require_folder(Path(str(settings.shards_dir)), "pack_corpus.py makes it.")
    tokenizer = require_folder(Path(str(settings.tokenizer)), "train_tokenizer.py makes it.")
    output = Path(settings.output_dir or Path(settings.work_dir) / "ablations" / ablation.name)
    stage = Stage(
        f"ablation_{ablation.name}",
        vars(settings) | {"common": ablation.common, "variants": ablation.variants, "seeds": ablation.seeds},
        output,
        {"shards_dir": shards, "tokenizer": tokenizer},
        Path(str(settings.records_dir)),
    )
    if stage.is_done(settings.overwrite):
        return
    if not settings.only:
        stage.begin()
    runs = output.with_name(f"{output.name}.runs")
    runs.mkdir(parents=True, exist_ok=True)
    flags = {"shards_dir": str(shards), "tokenizer": str(tokenizer), "work_dir": settings.work_dir}
    variants = [
        Variant(
            f"{name}, seed {seed}" if len(ablation.seeds) > 1 else name, ablation.common | changes | {"seed": seed}
        )
        for name, changes in ablation.variants.items()
        for seed in ablation.seeds
        if name.startswith(settings.only)
    ]
    if not variants:
        raise UserError(f"--only: no variant begins with '{settings.only}'; there are {', '.join(ablation.variants)}.")
    inputs = {"shards": fingerprint(shards), "tokenizer": fingerprint(tokenizer)}
    results = run_variants(ablation.name, variants, flags, inputs, runs, settings.num_workers)
    metrics: dict[str, Any] = {
        "question": ablation.question,
        "runs": {name: summary(facts) for name, facts in results.items()},
    }
    if not settings.only:
        stage.finish(metrics)
    for name, facts in metrics["runs"].items():
        print(line_of(name, facts))


if __name__ == "__main__":
    main()
