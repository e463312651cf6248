"""The data folder of a run: the one given, or the embedded sample, in the same layout as real data.

DATA_DIR/corpus/*.txt, DATA_DIR/livedoor/ldcc-20140209.tar.gz, DATA_DIR/ner/ner.json.
"""

from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
import tempfile
from pathlib import Path
from typing import Protocol

from mobilebert_ja.common.files import require_folder, write_atomically, write_json
from mobilebert_ja.data.sample_tasks import entity_sentences, titles
from mobilebert_ja.data.sample_text import encyclopedia, essays

ARTICLES, ESSAYS, TITLES_PER_CLASS, ENTITY_SENTENCES = 900, 300, 60, 500
NOTICE = "mobilebert-ja の見本として機械的に作られた文で、livedoor ニュースコーパスではありません。\n"


def _write_archive(path: Path, by_category: dict[str, list[str]]) -> None:
    """The tree of the livedoor news corpus as a .tar.gz whose bytes depend on nothing but its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(path, "wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for category, lines in by_category.items():
            files = {f"{category}/LICENSE.txt": NOTICE}
            for number, title in enumerate(lines, start=1):
                address = f"http://news.example/{category}/{number}/"
                files[f"{category}/{category}-{number:05}.txt"] = (
                    f"{address}\n2012-01-01T00:00:00+0900\n{title}\n{NOTICE}"
                )
            for name, text in files.items():
                content = text.encode("utf-8")
                member = tarfile.TarInfo(f"text/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def write_sample(folder: Path, seed: int = 0) -> None:
    """Write the embedded sample to `folder`; it appears whole. The same seed gives the same bytes."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.partial-", dir=folder.parent) as beside:
        temporary = Path(beside) / folder.name
        for name, documents in (
            ("encyclopedia", encyclopedia(random.Random(seed), ARTICLES)),
            ("essays", essays(random.Random(seed + 1), ESSAYS)),
        ):
            with write_atomically(temporary / "corpus" / f"{name}.txt") as stream:
                stream.write("\n\n".join("\n".join(document) for document in documents) + "\n")
        _write_archive(
            temporary / "livedoor" / "ldcc-20140209.tar.gz", titles(random.Random(seed + 2), TITLES_PER_CLASS)
        )
        write_json(temporary / "ner" / "ner.json", entity_sentences(random.Random(seed + 3), ENTITY_SENTENCES))
        os.rename(temporary, folder)


class DataSettings(Protocol):
    """What of a stage's settings names its data (settings/ stands on this floor too, and is not imported)."""

    data_dir: str | None
    work_dir: str


def resolve_data_dir(settings: DataSettings) -> Path:
    """--data_dir if given, which must exist; else the embedded sample, written to WORK_DIR/data once."""
    if settings.data_dir is not None:
        return require_folder(settings.data_dir, "--data_dir names the folder with corpus/, livedoor/ and ner/.")
    folder = Path(settings.work_dir) / "data"
    if not folder.is_dir():
        write_sample(folder)
    return folder
