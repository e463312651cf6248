"""Settings of learning from text that nobody labelled: who answers it, and how much the answers count."""

from __future__ import annotations

from dataclasses import dataclass

from mobilebert_ja.settings.base import StageSettings, setting


@dataclass
class SilverSettings(StageSettings):
    """What goes with --teacher or --teacher_file, and says nothing without them."""

    teacher: str | None = setting(
        None,
        "Who answers --unlabelled_file: folders or Hub names of fine-tuned models, svm or crf (the classical models); "
        "several, comma separated, are averaged.",
    )
    unlabelled_file: str | None = setting(
        None,
        "Text that nobody labelled: a text per line, or the --text_column of .csv, .tsv and .jsonl; several files, "
        "comma separated.",
    )
    teacher_file: str | None = setting(
        None,
        "Answers that are there already, by whomever: .jsonl with a text and its answer per line; comma separated.",
    )
    silver_share: float = setting(
        1.0, "Share of the teachers' answers that is learned, drawn with --split_seed.", above=0, maximum=1
    )
    silver_epochs: float = setting(
        3.0, "Passes over the teachers' answers in the course of --num_train_epochs passes over the labelled.", above=0
    )
    silver_weight: float = setting(1.0, "What a teacher's answer counts in the loss; a label counts 1.", above=0)
    min_confidence: float | None = setting(
        None,
        "Least confidence of what is learned of a teacher: of the likeliest class, or of each entity by itself; none: "
        "0 for classes, which are learned with all their probabilities, and 0.5 for entities.",
        minimum=0,
        maximum=1,
    )
