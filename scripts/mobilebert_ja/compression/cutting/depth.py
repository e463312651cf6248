"""How few blocks the data allow: several depths are trained on a part of the training data and judged on the rest.

What they are held against must be as fair as they are. The fine-tuned model itself is no reference: it has learned the
held-out texts, and whatever is cut from it and taught by it would know of them. So the uncut model is fine-tuned anew,
from where it came from and with its own settings, on the part that is not held out; all depths are cut from that one
and taught by it. Each then stands to the held-out part as the final model will stand to the test part, which nothing
here looks at. How the fine-tuned model itself scores on the held-out part is kept in the record beside it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from mobilebert_ja.common.errors import UserError, warn
from mobilebert_ja.common.files import read_json, write_json
from mobilebert_ja.common.records import fingerprint
from mobilebert_ja.compression.cutting.depth_trials import DepthSearch, Trials, fine_tune_anew, weigh_blocks
from mobilebert_ja.compression.cutting.recovery import Source, sample_batches
from mobilebert_ja.compression.cutting.shrink import kept_width, neuron_weights, require_cuttable
from mobilebert_ja.finetuning.folder import FinishedRuns, load_finetuned, require_fitting, require_labels
from mobilebert_ja.finetuning.origin import model_input
from mobilebert_ja.settings import CompressSettings, FinetuneSettings, whole_numbers
from mobilebert_ja.tasks import Task
from mobilebert_ja.tasks.intervals import FEW_ITEMS, compare, read_answers
from mobilebert_ja.tasks.parts import held_out_of_training

RESULT_NAME = "depths.json"
_WAY_OUT = "--keep_layers N keeps N blocks without a search."


def plan_search(
    settings: CompressSettings, runs: FinishedRuns, task: Task, unlabelled: Sequence[str] = ()
) -> DepthSearch:
    """Raise `UserError`, before anything is computed, for a search that cannot be carried out.

    Args:
        unlabelled: what the cut models learn of beside the training part; none of the held-out texts may be among it.
    """
    depths = sorted(set(whole_numbers("depths", settings.depths, minimum=2)))
    made = _settings_of_origin(settings, runs)
    model, ready = load_finetuned(runs.folder_of(0), task.name, runs.max_seq_length, task.kind)
    require_labels(ready.labels, task, ready.folder)
    require_cuttable(model)
    require_fitting(model.config, ready)
    kept_width(model.config.intermediate_size, settings.keep_ffn)
    blocks = model.config.num_hidden_layers
    smaller = [depth for depth in depths if depth < blocks]
    if not smaller:
        raise UserError(f"--depths {settings.depths} names none below the model's {blocks} blocks. {_WAY_OUT}")
    part = held_out_of_training(task, settings.validation_share, runs.split_seed)
    if len(part.test) < FEW_ITEMS:
        raise UserError(
            f"--validation_share {settings.validation_share:g} holds {len(part.test)} of {len(task.train)} training "
            f"texts out; it takes {FEW_ITEMS} to tell depths apart. {_WAY_OUT}"
        )
    return DepthSearch(settings, Source(model, ready, part, runs.seeds[0], unlabelled), smaller, made)


def _settings_of_origin(settings: CompressSettings, runs: FinishedRuns) -> FinetuneSettings:
    """How the fine-tuned model was made, with what this command says of how to run."""
    names = ("resume_from_checkpoint", "save_seconds", "logging_steps", "dataloader_num_workers")
    changes = {name: getattr(settings, name) for name in names}
    if "batch_size" in runs.metrics:  # what was used, where it was left to the number of rows
        changes["per_device_train_batch_size"] = runs.metrics["batch_size"]
    made = runs.made_with(seed=runs.seeds[0], **changes)
    origin = made.model_name_or_path
    if not origin and not made.random_weights:
        raise UserError(f"{runs.folder} has no record of what it was fine-tuned from. {_WAY_OUT}")
    known = runs.inputs.get("model_name_or_path")
    place = Path(origin or "")
    if known and (not place.exists() or fingerprint(model_input(place)) != known):
        raise UserError(
            f"--keep_layers auto fine-tunes {origin} anew, which is not there any more as {runs.folder} was made from "
            f"it. {_WAY_OUT}"
        )
    return made


def search_depth(search: DepthSearch, accelerator: Accelerator, folder: Path) -> dict[str, Any]:
    """Carry a search out; interrupted, it goes on with what is missing in `folder`.

    Returns:
        "chosen", the number of blocks, "blocks", their indices, and all that was measured, as the record keeps it.
    """
    result, trials = folder / RESULT_NAME, folder / "depth_search"
    if not result.is_file():
        _tell_cost(search)
        uncut = fine_tune_anew(search, accelerator, trials)
        batches = sample_batches(*uncut.rows(), search.settings.per_device_train_batch_size)
        weights = neuron_weights(uncut.model, batches)
        costs = weigh_blocks(search, uncut, accelerator, trials / "costs.json")
        each_depth = Trials(search, uncut, weights, costs, accelerator, trials)
        for depth in search.depths:
            each_depth.try_depth(depth)
        write_json(result, decided(search, costs, trials))
    shutil.rmtree(trials, ignore_errors=True)
    choice = read_json(result)
    print(told(search.task, choice))
    return choice


def _tell_cost(search: DepthSearch) -> None:
    settings, task = search.settings, search.task
    weight = 100 / len(task.test)
    if weight > settings.margin:
        warn(
            f"each of {len(task.test)} held-out texts weighs {weight:.2g} points, more than --margin "
            f"{settings.margin:g}; --validation_share holds out more"
        )
    if search.made.teacher or search.made.teacher_file:
        warn(
            f"{task.name}: the model learned from teachers too; the search compares models without that, "
            "which have the labelled texts alone"
        )
    print(
        f"{task.name}: looks for the number of blocks with {len(task.test)} held-out training texts. On the other "
        f"{len(task.train)} the uncut model is fine-tuned anew ({search.made.num_train_epochs} epochs), then "
        f"{', '.join(map(str, search.depths))} of {search.blocks} blocks are trained ({settings.search_epochs} epochs "
        "each)",
        flush=True,
    )


def decided(search: DepthSearch, costs: Sequence[float], folder: Path) -> dict[str, Any]:
    """The fewest blocks whose score is within the margin of the uncut model's; all, if that holds for none.

    Args:
        costs: of leaving out each block.
        folder: of the `Trials`.
    """
    reference, depths = read_answers(folder / "uncut.json"), []
    for file in (folder / f"{depth}.json" for depth in search.depths):
        found = compare(reference, read_answers(file))
        depths.append(read_json(file)["run"] | {"difference": found["difference"], "interval": found["interval"]})
    margin = search.settings.margin
    within = [each for each in depths if 100 * each["difference"] >= -margin - 1e-9]
    blocks = list(range(search.blocks))
    if within:
        fewest = min(within, key=lambda each: each["layers"])
        blocks = fewest["blocks"]
    return {
        "chosen": len(blocks),
        "blocks": blocks,
        "within_margin": bool(within),
        "margin": margin,
        "train_size": len(search.task.train),
        "validation_size": len(search.task.test),
        "uncut": read_json(folder / "uncut.json")["run"],
        "depths": depths,
        "cost_of_leaving_out": list(costs),
    }


def told(task: Task, choice: dict[str, Any]) -> str:
    """The choice and what it rests on, in a few lines."""
    all_blocks = len(choice["cost_of_leaving_out"])
    lines = [f"{task.name}: {task.metric} of {choice['validation_size']} held-out training texts"]
    lines.append(f"  {all_blocks} blocks: {choice['uncut']['score']:.2%}, fine-tuned anew without them")
    for each in choice["depths"]:
        points, low, high = (100 * value for value in (each["difference"], *each["interval"]))
        cut = f"{each['layers']} blocks ({each['choice']}): {each['score']:.2%}"
        lines.append(f"  {cut}, {points:+.2f} points [{low:+.2f}, {high:+.2f}]")
    margin = f"{choice['margin']:g} points"
    if choice["within_margin"]:
        kept = f"keeps {choice['chosen']} of {all_blocks} blocks, the fewest that cost at most {margin}"
    else:
        kept = f"keeps all {all_blocks} blocks: with fewer, each number tried costs more than {margin}"
    return "\n".join([*lines, f"{task.name}: {kept} ({', '.join(map(str, choice['blocks']))})"])
