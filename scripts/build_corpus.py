"""Turn raw Japanese text into clean sentences, the cl-tohoku/bert-japanese v2.0 way.

    python scripts/build_corpus.py --config recipes/tiny.yaml
    python scripts/build_corpus.py --source text --input 'texts/*.txt.xz' --exclude ner.json,ldcc-20140209.tar.gz
    python scripts/build_corpus.py --source cirrussearch --input jawiki-cirrussearch-content.json.gz
    python scripts/build_corpus.py --source hub --input wikimedia/wikipedia:20231101.ja

Writes WORK_DIR/corpus/{train,heldout}/PART-NNNNN.txt: one sentence a line, a blank line between documents; and
removed.json, how often each rule removed or changed something, with examples. --input takes files, folders, globs and
URLs; without it the texts are those of DATA_DIR/corpus, without --data_dir those of the embedded sample. Killed and
started again, it goes on; --executor slurm or ray runs its tasks on a cluster.
"""

from __future__ import annotations

from pathlib import Path

from mobilebert_ja.common.errors import UserError, exit_on_user_error
from mobilebert_ja.common.files import require_file, require_folder
from mobilebert_ja.common.records import Stage
from mobilebert_ja.corpus.build import CorpusBuild, excluded_texts
from mobilebert_ja.corpus.executors import EXECUTORS
from mobilebert_ja.data.livedoor_archive import LIVEDOOR_FILE
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.data.sources import SOURCES, parts_of
from mobilebert_ja.settings import CorpusSettings, parse_settings


def inputs_of(settings: CorpusSettings) -> tuple[str, list[Path]]:
    """What to read and which evaluation files to keep out; without --input both come from the data folder."""
    exclude = [Path(part.strip()) for part in (settings.exclude or "").split(",") if part.strip()]
    if settings.input is None:
        if settings.source != "text":
            raise UserError(f"--source {settings.source} needs --input.")
        data = resolve_data_dir(settings)
        texts = require_folder(data / "corpus", "DATA_DIR holds the texts in corpus/.")
        if not exclude:
            exclude = [require_file(data / "ner" / "ner.json", "Its sentences are kept out of pretraining.")]
            exclude += [titles for titles in (data / LIVEDOOR_FILE,) if titles.is_file()]
        return str(texts), exclude
    return settings.input, exclude


@exit_on_user_error
def main() -> None:
    settings = parse_settings(CorpusSettings, __doc__, "build_corpus", source=list(SOURCES), executor=list(EXECUTORS))
    given, exclude = inputs_of(settings)
    parts = parts_of(settings.source, given, Path(settings.work_dir) / "downloads", settings.checksum)
    excluded = excluded_texts(exclude)
    paths = {f"exclude_{path.name}": path for path in exclude}
    paths |= {f"input_{part.name}": Path(part.location) for part in parts if part.source != "hub"}
    stage = Stage("corpus", vars(settings), Path(str(settings.output_dir)), paths, Path(str(settings.records_dir)))
    if stage.is_done(settings.overwrite):
        return
    stage.begin(resume=True, overwrite=settings.overwrite)
    build = CorpusBuild(
        parts,
        excluded,
        stage.folder,
        min_chars=settings.min_chars,
        max_chars=settings.max_chars,
        heldout_every=settings.heldout_every,
        near_duplicates=settings.near_duplicates,
        piece_chars=settings.piece_chars,
        executor=settings.executor,
        executor_options=settings.executor_options,
        workers=settings.num_workers,
    )
    metrics = build.run()
    if not metrics["train"]:
        raise UserError(f"{given}: no sentence of {settings.min_chars} to {settings.max_chars} characters is in it.")
    if not metrics["heldout"]:
        raise UserError("No document fell to the held-out part; lower --heldout_every.")
    stage.finish(metrics)
    print(
        f"{settings.output_dir}: {metrics['train']['sentences']:,} sentences, {metrics['train']['characters']:,} "
        f"characters to train on; {metrics['heldout']['sentences']:,} sentences held out; "
        f"what was removed and why stands in {settings.output_dir}/removed.json"
    )


if __name__ == "__main__":
    main()
