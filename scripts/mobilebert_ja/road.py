"""The road as a list: which script makes what, in which order, and how it is started."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.settings import load_recipe
from mobilebert_ja.tasks import JGLUE, PUBLIC_TASKS

_DISTRIBUTED = ("RANK", "LOCAL_", "WORLD_SIZE", "GROUP_", "ROLE_", "MASTER_", "TORCHELASTIC_")
SCRIPTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class RoadStage:
    """One command of the road. It is walked if the recipe has its section, or if it is not `optional`."""

    section: str
    script: str
    flags: dict[str, str] = field(default_factory=dict)
    launch: bool = False  # started by `accelerate launch`, because it trains
    optional: bool = False


ROAD = (
    RoadStage("build_corpus", "build_corpus.py"),
    RoadStage("train_tokenizer", "train_tokenizer.py"),
    RoadStage("evaluate_tokenizer", "evaluate_tokenizer.py", optional=True),
    RoadStage("pack_corpus", "pack_corpus.py"),
    RoadStage("embed_words", "embed_words.py", optional=True),
    RoadStage("pretrain_teacher", "pretrain.py", {"model": "teacher"}, launch=True, optional=True),
    RoadStage("distill", "distill.py", launch=True, optional=True),
    RoadStage("pretrain_shallow", "pretrain.py", {"model": "shallow"}, launch=True, optional=True),
    RoadStage("pretrain_short", "pretrain.py", {"model": "short"}, launch=True, optional=True),
    RoadStage("pretrain_student", "pretrain.py", {"model": "student"}, launch=True),
    RoadStage("export_checkpoint", "export_checkpoint.py"),
    RoadStage("evaluate_checkpoint", "evaluate_checkpoint.py", optional=True),
    *(
        each
        for task in PUBLIC_TASKS
        for each in (
            RoadStage(f"finetune_{task}", "finetune.py", {"task": task}, launch=True),
            RoadStage(
                f"finetune_{task}_random", "finetune.py", {"task": task, "random_weights": "mobilebert"}, True, True
            ),
            RoadStage(f"finetune_{task}_bert", "finetune.py", {"task": task, "random_weights": "bert"}, True, True),
        )
    ),
    RoadStage("finetune_classification", "finetune.py", {"task": "classification"}, launch=True, optional=True),
    RoadStage("finetune_entities", "finetune.py", {"task": "entities"}, launch=True, optional=True),
    *(RoadStage(f"finetune_{task}", "finetune.py", {"task": task}, launch=True, optional=True) for task in JGLUE),
    RoadStage("baseline_livedoor", "baseline.py", {"task": "livedoor"}, optional=True),
    RoadStage("baseline_ner", "baseline.py", {"task": "ner"}, optional=True),
    RoadStage("compress_livedoor", "compress.py", {"task": "livedoor", "recipe": "card"}),
    RoadStage("compress_livedoor_onnx", "compress.py", {"task": "livedoor", "recipe": "onnx"}),
    RoadStage("compress_livedoor_fast", "compress.py", {"task": "livedoor", "recipe": "fast"}, True, optional=True),
    RoadStage("compress_ner", "compress.py", {"task": "ner", "recipe": "card"}),
    RoadStage("compress_ner_onnx", "compress.py", {"task": "ner", "recipe": "onnx"}),
    RoadStage("compress_ner_fast", "compress.py", {"task": "ner", "recipe": "fast"}, True, optional=True),
    RoadStage("benchmark_livedoor", "benchmark.py", {"task": "livedoor"}),
    RoadStage("benchmark_ner", "benchmark.py", {"task": "ner"}),
    RoadStage("render_card", "render_card.py"),
)


def stages_of(recipe: dict[str, Any], before: str | None = None) -> list[RoadStage]:
    """The stages that a recipe walks, in order; only those before the section `before`, if given."""
    walked = [stage for stage in ROAD if not stage.optional or stage.section in recipe]
    if before is not None:
        order = [stage.section for stage in ROAD]
        walked = [stage for stage in walked if order.index(stage.section) < order.index(before)]
    return walked


def command_of(stage: RoadStage, recipe_path: str | None, shared_flags: dict[str, str]) -> list[str]:
    """The command line of one stage. Precision is taken from ACCELERATE_MIXED_PRECISION, as accelerate does itself."""
    start = [sys.executable]
    if stage.launch:
        precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
        start += ["-m", "accelerate.commands.launch", "--num_processes", "1", "--num_machines", "1"]
        start += ["--dynamo_backend", "no", "--mixed_precision", precision]
    flags = ({"config": recipe_path} if recipe_path else {}) | shared_flags | stage.flags
    return [
        *start,
        str(SCRIPTS / stage.script),
        *(part for key, value in flags.items() for part in (f"--{key}", value)),
    ]


def run_stage(stage: RoadStage, recipe_path: str | None, shared_flags: dict[str, str] | None = None) -> None:
    """Run one command to its end. Raises `UserError` if it fails; it has printed its own reason."""
    # A stage that was itself started as one of several processes must not pass its rank on.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_DISTRIBUTED)}
    # A recipe gives the same on any processor, unless the user says otherwise.
    environment.setdefault("ACCELERATE_MIXED_PRECISION", "no")
    # Threads that wait do not spin, which costs whatever else runs here; libgomp reads this when torch is loaded.
    environment.setdefault("OMP_WAIT_POLICY", "passive")
    code = subprocess.run(command_of(stage, recipe_path, shared_flags or {}), env=environment).returncode
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise UserError(f"the road stopped at {stage.section} (its message stands above)")


def walk(recipe_path: str, shared_flags: dict[str, str], before: str | None = None) -> None:
    """Run the stages of a recipe one after another; a finished one is passed over by its own record.

    Args:
        shared_flags: flags that every stage takes, for example {"work_dir": "work"}.
        before: stop before this section.

    Raises `UserError` if a stage fails; it has printed its own reason.
    """
    stages = stages_of(load_recipe(recipe_path), before)
    for number, stage in enumerate(stages, start=1):
        print(f"\n[{number}/{len(stages)}] {stage.section}", flush=True)
        run_stage(stage, recipe_path, shared_flags)
