"""The data folder of a run: the one given, or the embedded sample."""

from __future__ import annotations

from pathlib import Path

from mobilebert_ja.files import require_folder
from mobilebert_ja.settings import StageSettings


def resolve_data_dir(settings: StageSettings) -> Path:
    """--data_dir if given, which must exist; else the embedded sample, written to WORK_DIR/data once."""
    if settings.data_dir is not None:
        return require_folder(settings.data_dir, "--data_dir names the folder with corpus/, livedoor/ and ner/.")
    from mobilebert_ja.sample_data import write_sample

    folder = Path(settings.work_dir) / "data"
    if not folder.is_dir():
        write_sample(folder)
    return folder
