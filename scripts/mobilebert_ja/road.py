"""The road walked: the stages of a recipe one after another, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.plans import is_finished
from mobilebert_ja.settings import ROAD, RoadStage, load_recipe, parse_settings

__all__ = ["ROAD", "SCRIPTS", "RoadStage", "command_of", "run_stage", "stages_of", "walk"]

_DISTRIBUTED = ("RANK", "LOCAL_", "WORLD_SIZE", "GROUP_", "ROLE_", "MASTER_", "TORCHELASTIC_")
SCRIPTS = Path(__file__).resolve().parents[1]


def stages_of(recipe: dict[str, Any], before: str | None = None) -> list[RoadStage]:
    """The stages that a recipe walks, in order; only those before the section `before`, if given."""
    walked = [stage for stage in ROAD if not stage.optional or stage.section in recipe]
    if before is not None:
        order = [stage.section for stage in ROAD]
        walked = [stage for stage in walked if order.index(stage.section) < order.index(before)]
    return walked


def flags_of(stage: RoadStage, recipe_path: str | None, shared_flags: dict[str, str]) -> list[str]:
    """The arguments of one stage's script."""
    flags = ({"config": recipe_path} if recipe_path else {}) | shared_flags | stage.flags
    return [part for key, value in flags.items() for part in (f"--{key}", value)]


def command_of(stage: RoadStage, recipe_path: str | None, shared_flags: dict[str, str]) -> list[str]:
    """The command line of one stage. Precision is taken from ACCELERATE_MIXED_PRECISION, as accelerate does itself."""
    start = [sys.executable]
    if stage.launch:
        precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
        start += ["-m", "accelerate.commands.launch", "--num_processes", "1", "--num_machines", "1"]
        start += ["--dynamo_backend", "no", "--mixed_precision", precision]
    return [*start, str(SCRIPTS / stage.script), *stage.arguments, *flags_of(stage, recipe_path, shared_flags)]


def run_stage(stage: RoadStage, recipe_path: str | None, shared_flags: dict[str, str] | None = None) -> None:
    """Run one command to its end. Raises `UserError` if it fails; it has printed its own reason."""
    # A stage that was itself started as one of several processes must not pass its rank on.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_DISTRIBUTED)}
    # A recipe gives the same on any processor, unless the user says otherwise.
    environment.setdefault("ACCELERATE_MIXED_PRECISION", "no")
    code = subprocess.run(command_of(stage, recipe_path, shared_flags or {}), env=environment).returncode
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise UserError(f"the road stopped at {stage.section} (its message stands above)")


def _with_own_seed(recipe: dict[str, Any], stage: RoadStage, shared_flags: dict[str, str]) -> dict[str, str]:
    """A section with a seed of its own keeps its distance from the recipe's: its rows are other ones than before."""
    own = (recipe.get(stage.section) or {}).get("seed")
    if "seed" not in shared_flags or own is None:
        return shared_flags
    distance = int(own) - int(recipe.get("seed", 0))
    return shared_flags | {"seed": str(int(shared_flags["seed"]) + distance)}


def walk(recipe_path: str, shared_flags: dict[str, str], before: str | None = None) -> int:
    """Run the stages of a recipe one after another; a finished one is passed over by its record, without a process.

    Args:
        shared_flags: flags that every stage takes, for example {"work_dir": "work"}.
        before: stop before this section.

    Returns:
        How many processes were started.

    Raises `UserError` if a stage fails; it has printed its own reason.
    """
    recipe = load_recipe(recipe_path)
    stages = stages_of(recipe, before)
    started = 0
    for number, stage in enumerate(stages, start=1):
        print(f"\n[{number}/{len(stages)}] {stage.section}", flush=True)
        flags = _with_own_seed(recipe, stage, shared_flags)
        # The card shows what was made anew, whatever the clock says.
        certain = not (started and stage.script == "render_card.py")
        if certain and _is_finished(stage, recipe_path, flags):
            continue
        run_stage(stage, recipe_path, flags)
        started += 1
    return started


def _is_finished(stage: RoadStage, recipe_path: str, flags: dict[str, str]) -> bool:
    try:
        settings = parse_settings(stage.settings, None, stage.section, flags_of(stage, recipe_path, flags))
    except UserError:
        return False  # its script says so
    return is_finished(stage.command, settings)
