"""Turn raw Japanese text into clean sentences, the cl-tohoku/bert-japanese v2.0 way.

    python scripts/build_corpus.py --config recipes/tiny.yaml
    python scripts/build_corpus.py --source text --input 'texts/*.txt.xz' --exclude ner.json,ldcc-20140209.tar.gz
    python scripts/build_corpus.py --source cirrussearch --input jawiki-cirrussearch-content.json.gz
    python scripts/build_corpus.py --source hub --input wikimedia/wikipedia:20231101.ja

Writes WORK_DIR/corpus/{train,heldout}/PART-NNNNN.txt: one sentence per line, a blank line between documents; and
removed.json, how often each rule removed or changed something, with examples. --input takes files, folders, globs and
URLs; without it the texts are those of DATA_DIR/corpus, without --data_dir those of the embedded sample. Killed and
started again, it goes on; --executor slurm or ray runs its tasks on a cluster.
"""

from __future__ import annotations

from mobilebert_ja.common.errors import UserError, exit_on_user_error
from mobilebert_ja.corpus.build import CorpusBuild, excluded_texts
from mobilebert_ja.corpus.executors import no_run_within
from mobilebert_ja.plans import corpus_parts, corpus_sources, corpus_stage
from mobilebert_ja.settings import CorpusSettings, parse_settings


@exit_on_user_error
def main() -> None:
    settings = parse_settings(CorpusSettings, __doc__)
    given, exclude = corpus_sources(settings)
    excluded = excluded_texts(exclude)
    stage = corpus_stage(settings)
    if stage.is_done(settings.overwrite):
        return
    with no_run_within(stage.folder):
        stage.begin(resume=True, overwrite=settings.overwrite)
    build = CorpusBuild(
        corpus_parts(settings),
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
    kept, heldout = metrics["train"], metrics["heldout"]
    if not kept and not heldout:
        texts, lengths = ", ".join(given), f"{settings.min_chars} to {settings.max_chars}"
        raise UserError(f"{texts}: no sentence of {lengths} characters is in it.")
    if not kept or not heldout:
        none, all_of_it = ("training", heldout) if not kept else ("held-out", kept)
        raise UserError(
            f"None of the documents ({all_of_it['documents']:,}) fell to the {none} part; "
            f"{'raise' if not kept else 'lower'} --heldout_every, with --overwrite true, or give more documents."
        )
    stage.finish(metrics)
    print(
        f"{settings.output_dir}: {metrics['train']['sentences']:,} sentences, {metrics['train']['characters']:,} "
        f"characters to train on; {metrics['heldout']['sentences']:,} sentences held out; "
        f"what was removed and why stands in {settings.output_dir}/removed.json"
    )


if __name__ == "__main__":
    main()
