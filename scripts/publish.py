"""Publish the repository, or a fine-tuned or sped-up model, on the Hugging Face Hub in one commit.

    python scripts/publish.py --dry_run true
    python scripts/publish.py --repo_id NAME/mobilebert-ja --create_pr true
    python scripts/publish.py --repo_id NAME/news-titles --model_folder work/finetuned/livedoor

The upload is put together in a folder of its own: of the repository what git tracks, with model.safetensors and
onnx/model.onnx and onnx/model_quantized.onnx (they fill masks) derived from the weights; of a model its files and a
card. It is compared with what the Hub has, and the plan is printed: nothing else goes there. `hf auth login` or
HF_TOKEN gives the token. Interrupted, start it again: large files that are there already are not sent twice.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import mobilebert_ja.training.waiting  # noqa: F401

from huggingface_hub import HfApi

from mobilebert_ja.common.errors import UserError, exit_on_user_error, warn
from mobilebert_ja.publishing.derived_card import render_derived_card
from mobilebert_ja.publishing.hub import Plan, make_plan, plan_without_hub, upload
from mobilebert_ja.publishing.upload_folder import build_model, build_root, require_no_secrets
from mobilebert_ja.settings import PublishSettings, parse_settings

ROOT = Path(__file__).resolve().parents[1]


def described(plan: Plan, repo_id: str) -> list[str]:
    """The plan as lines: every file that changes, and how many stay as they are."""
    lines = [f"{change.what:8} {change.size:>12,}  {change.path}" for change in plan.changes if change.what != "same"]
    same = sum(change.what == "same" for change in plan.changes)
    total = sum(change.size for change in plan.changes if change.what in ("new", "changed"))
    state = "not compared with the Hub" if not plan.compared else "" if plan.exists else "a new repository"
    return [*lines, f"{repo_id}{f' ({state})' if state else ''}: {total:,} bytes to upload, {same} files unchanged"]


def publish(settings: PublishSettings, folder: Path) -> None:
    """Build the upload in an empty folder, print the plan, and carry it out unless it is a dry run."""
    if settings.model_folder:
        source = Path(settings.model_folder)
        build_model(source, render_derived_card(source, settings.repo_id, settings.base_model), folder)
    else:
        build_root(ROOT, folder)
    require_no_secrets(folder)
    api = HfApi()
    try:
        plan = make_plan(api, folder, settings.repo_id)
    except UserError as error:
        if not settings.dry_run:
            raise
        warn(str(error))
        plan = plan_without_hub(folder)
    print("\n".join(described(plan, settings.repo_id)))
    if settings.dry_run:
        print("dry run: nothing was uploaded")
    elif plan.is_empty:
        print("nothing to do: the Hub has all of it")
    else:
        message = settings.commit_message or f"Upload {Path(settings.model_folder or ROOT).name} with mobilebert-ja"
        commit = upload(api, folder, settings.repo_id, plan, message, settings.create_pr, settings.private)
        print(commit.pr_url or commit.commit_url)


@exit_on_user_error
def main() -> None:
    settings = parse_settings(PublishSettings, __doc__)
    if settings.model_folder and settings.repo_id == PublishSettings().repo_id:
        raise UserError("--model_folder goes to a repository of its own; --repo_id names it.")
    if settings.upload_dir is None:
        with tempfile.TemporaryDirectory() as folder:
            publish(settings, Path(folder))
        return
    folder = Path(settings.upload_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{folder} is a file, or would stand in one; --upload_dir names a new folder.") from None
    if any(folder.iterdir()):
        raise UserError(f"{folder} is not empty; --upload_dir names a new folder.")
    publish(settings, folder)


if __name__ == "__main__":
    main()
