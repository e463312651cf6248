"""Turn raw Japanese text into clean sentences, the cl-tohoku/bert-japanese v2.0 way.

    python scripts/build_corpus.py --config recipes/tiny.yaml
    python scripts/build_corpus.py --source text --input 'texts/*.txt.xz' --exclude ner.json
    python scripts/build_corpus.py --source cirrussearch --input jawiki-cirrussearch-content.json.gz
    python scripts/build_corpus.py --source hub --input wikimedia/wikipedia:20231101.ja

Writes WORK_DIR/corpus/{train,heldout}/SOURCE.txt: one sentence a line, a blank line between documents. Without --input
the texts are those of DATA_DIR/corpus, without --data_dir those of the embedded sample.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from mobilebert_ja.corpus import SOURCES, Distinct, clean_documents, excluded_sentences, in_chunks, open_source
from mobilebert_ja.errors import UserError, exit_on_user_error
from mobilebert_ja.files import require_file, require_folder
from mobilebert_ja.parallel import bounded_map
from mobilebert_ja.progress import progress_bar
from mobilebert_ja.records import Stage
from mobilebert_ja.sample import resolve_data_dir
from mobilebert_ja.settings import CorpusSettings, parse_settings


def inputs_of(settings: CorpusSettings) -> tuple[str, list[Path]]:
    """What to read and which evaluation files to keep out; without --input both come from the data folder."""
    exclude = [Path(part.strip()) for part in (settings.exclude or "").split(",") if part.strip()]
    if settings.input is None:
        if settings.source != "text":
            raise UserError(f"--source {settings.source} needs --input.")
        data = resolve_data_dir(settings)
        texts = require_folder(data / "corpus", "DATA_DIR holds the texts in corpus/.")
        exclude = exclude or [require_file(data / "ner" / "ner.json", "Its sentences are kept out of pretraining.")]
        return str(texts), exclude
    return settings.input, exclude


@exit_on_user_error
def main() -> None:
    settings = parse_settings(CorpusSettings, __doc__, "build_corpus", source=list(SOURCES))
    given, exclude = inputs_of(settings)
    parts = open_source(settings.source, given)
    paths = {f"exclude_{path.name}": path for path in exclude}
    if Path(given).exists():
        paths["input"] = Path(given)
    stage = Stage(
        "corpus", vars(settings), Path(str(settings.output_dir)), paths, Path(str(settings.records_dir))
    )  # fmt: skip
    if stage.is_done(settings.overwrite):
        return
    distinct = Distinct(excluded_sentences(exclude), settings.heldout_every)
    stage.begin()
    counts: Counter[str] = Counter()
    sources: dict[str, Counter[str]] = {}
    totals: dict[str, Counter[str]] = {"train": Counter(), "heldout": Counter()}
    work = partial(clean_documents, min_chars=settings.min_chars, max_chars=settings.max_chars)
    bar = progress_bar(desc="cleaning", unit="char", unit_scale=True)
    with ProcessPoolExecutor(settings.num_workers) as pool:
        for name, documents in parts.items():
            sources[name] = Counter()
            with ExitStack() as stack:
                streams = {}
                for part in totals:
                    (stage.folder / part).mkdir(exist_ok=True)
                    path = stage.folder / part / f"{name}.txt"
                    streams[part] = stack.enter_context(open(path, "w", encoding="utf-8"))
                for chunk in bounded_map(pool, work, in_chunks(documents)):
                    counts.update(chunk.counts)
                    for document in chunk.documents:
                        part, kept = distinct.filter(document)
                        if not kept:
                            continue
                        streams[part].write("\n".join(kept) + "\n\n")
                        size = {"documents": 1, "sentences": len(kept), "characters": sum(map(len, kept))}
                        totals[part].update(size)
                        sources[name].update(size)
                        bar.update(size["characters"])
    bar.close()
    if not totals["train"]:
        raise UserError(f"{given}: no sentence of {settings.min_chars} to {settings.max_chars} characters is in it.")
    if not totals["heldout"]:
        raise UserError("No document fell to the held-out part; lower --heldout_every.")
    stage.finish({**totals, "removed": dict(counts + distinct.counts), "sources": sources})
    print(
        f"{settings.output_dir}: {totals['train']['sentences']:,} sentences, {totals['train']['characters']:,} "
        f"characters to train on; {totals['heldout']['sentences']:,} sentences held out"
    )


if __name__ == "__main__":
    main()
