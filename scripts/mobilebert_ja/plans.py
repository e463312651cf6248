"""What each stage of the road makes, and from what, told from its settings alone.

A script asks here before it begins, and so does the walk before it starts a process: one answer, the same strictness.
Nothing here imports torch or transformers, which takes seconds.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, require_file, require_folder, sha256_of
from mobilebert_ja.common.folders import by_a_name, own_record
from mobilebert_ja.common.paths import WEIGHTS_NAME, WORD_EMBEDDINGS_NAME
from mobilebert_ja.common.processor import by_processor, has_vnni
from mobilebert_ja.common.records import Stage, fingerprint
from mobilebert_ja.common.text.encodings import UTF8, encoding_of_name
from mobilebert_ja.data.download import is_url
from mobilebert_ja.data.livedoor_archive import LIVEDOOR_FILE
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.data.sources import Part, parts_of
from mobilebert_ja.finetuning.classical import suitable_method
from mobilebert_ja.finetuning.origin import model_input, task_source_of
from mobilebert_ja.inference.kinds import KINDS, Kind
from mobilebert_ja.labelling.origin import check_teachers, silver_inputs, unlabelled_inputs
from mobilebert_ja.settings import (
    ROAD,
    AdaptSettings,
    BaselineSettings,
    BenchmarkSettings,
    CardSettings,
    CheckpointEvaluationSettings,
    CompressSettings,
    CorpusSettings,
    DistillSettings,
    ExportSettings,
    FinetuneSettings,
    GuideSettings,
    PackSettings,
    PretrainSettings,
    SilverSettings,
    StageSettings,
    TagSettings,
    TaskSettings,
    TokenizerEvaluationSettings,
    TokenizerSettings,
    WordVectorSettings,
    comma_separated,
)
from mobilebert_ja.tasks import JGLUE, TASK_KINDS, data_file, own_data_settings_left_out, task_source
from mobilebert_ja.tasks.public.ner import NER_FILE
from mobilebert_ja.tokenization.encoders import tokenizer_file
from mobilebert_ja.tokenization.folders import locate_tokenizer

_KIND_SETTINGS = {name for facts in KINDS.values() for name in facts.settings}
_SILVER_SETTINGS = {each.name for each in dataclasses.fields(SilverSettings)} - {*vars(StageSettings())}
RANDOM_ENDINGS = {"": "", "bert": "-bert", "mobilebert": "-random"}  # of the folders of models without pretraining
# Of fine-tuning, unless it is given. Three hundred titles taught the root 65.8 % at this rate and 60.8 % at 1e-4, the
# usual one of other encoders (records/trials_few_rows.json); records/livedoor.json was chosen alike on training data.
_MOBILEBERT_RATE, _USUAL_RATE = 5e-4, 1e-4
# Least confidence of an entity that is learned of a teacher. Of classes everything is: three hundred titles and the
# answers of a probability of at least 0.5 made 71.4 %, with all answers 75.6 % (records/trials_few_rows_silver.json).
_SURE_ENTITY = 0.5
_SEARCH_SETTINGS = {"depths", "margin", "validation_share", "search_epochs"}  # of compress.py --keep_layers auto
_UNLABELLED_SETTINGS = {"unlabelled_file", "text_column", "encoding", "silver_epochs"}  # of compress.py
_REPLACING = ("replaced_token_weight", "replaced_token_probability")  # of pretrain.py --generator
_PRETRAINED = {stage.flags["model"]: stage.record for stage in ROAD if stage.script == "pretrain.py"}
_MADE_BY_THE_ROAD = {
    "distilled": "distill.py makes it.",
    "shallow": "pretrain.py --model shallow makes it.",
    "short": "pretrain.py --model short makes it.",
}


def stage_of(
    record: str,
    settings: StageSettings,
    inputs: dict[str, Path],
    output_dir: Path | None = None,
    kept: dict[str, Any] | None = None,
) -> Stage:
    """A stage as its script works on it. `kept`: the settings that say something about this run; none: all."""
    output, given = output_dir or Path(str(vars(settings)["output_dir"])), vars(settings)
    kept = given if kept is None else kept
    left_out = {name: value for name, value in given.items() if name not in kept}
    records = None if settings.records_dir is None else Path(settings.records_dir)
    return Stage(record, kept, output, inputs, records, left_out)


def timing_stage(record: str, settings: StageSettings, inputs: dict[str, Path], folder: Path) -> Stage:
    """A stage that times products in int8. On a processor without VNNI its record is RECORD_avx2 and its folder
    FOLDER-avx2, so that neither kind of processor takes the place of what was measured on the other.

    Args:
        folder: where it stands on one with VNNI, unless `settings` has an output_dir.

    Raises `UserError` if what stands there was measured on the other kind, unless it is to be overwritten.
    """
    name = by_processor(record)
    if name != record and _measured_with_vnni(folder) is not False:  # before there were two kinds, it stood there
        folder = folder.with_name(f"{folder.name}-avx2")
    stage = stage_of(name, settings, inputs, Path(vars(settings)["output_dir"] or folder))
    with_vnni = None if settings.overwrite else _measured_with_vnni(stage.output_dir)
    if with_vnni is not None and with_vnni != (name == record):
        raise UserError(
            f"{stage.output_dir} was measured on a processor {'with' if with_vnni else 'without'} VNNI instructions, "
            "unlike this one; name another --output_dir, or --overwrite measures anew."
        )
    return stage


def _measured_with_vnni(folder: Path) -> bool | None:
    """Whether the processor that left this folder's record had VNNI; None if there is none, or nobody knows."""
    return has_vnni((own_record(folder) or {}).get("hardware", {}))


def _all_but(settings: StageSettings, without: set[str]) -> dict[str, Any]:
    """The settings without those that say nothing about this run."""
    return {name: value for name, value in vars(settings).items() if name not in without}


def corpus_sources(settings: CorpusSettings) -> tuple[list[str], list[Path]]:
    """What to read and which evaluation files to keep out, those of the data folder unless others are given.

    Without --input the texts are those of the data folder too; with it, and without --data_dir, there is none.
    """
    exclude = [Path(part) for part in comma_separated(settings.exclude)]
    if settings.input is None:
        if settings.source != "text":
            raise UserError(f"--source {settings.source} needs --input.")
        data = resolve_data_dir(settings)
        texts = require_folder(data / "corpus", "DATA_DIR holds the texts in corpus/.")
        if not exclude:
            require_file(data / NER_FILE, "Its sentences are kept out of pretraining.")
            exclude = _evaluation_files(data)
        return [str(texts)], exclude
    if not exclude and settings.data_dir is not None:
        exclude = _evaluation_files(resolve_data_dir(settings))
    return [settings.input] if settings.source == "hub" else comma_separated(settings.input), exclude


def _evaluation_files(data: Path) -> list[Path]:
    """Those of the public tasks that stand in a data folder."""
    return [path for path in (data / NER_FILE, data / LIVEDOOR_FILE) if path.is_file()]


def corpus_parts(settings: CorpusSettings) -> list[Part]:
    """The texts, those that --input names by URL fetched first."""
    return parts_of(
        settings.source, corpus_sources(settings)[0], Path(settings.work_dir) / "downloads", settings.checksum
    )


def corpus_stage(settings: CorpusSettings) -> Stage:
    inputs = _labelled("exclude", corpus_sources(settings)[1])
    inputs |= {f"input_{part.name}": Path(part.location) for part in corpus_parts(settings) if part.source != "hub"}
    return stage_of("corpus", settings, inputs)


def _labelled(label: str, paths: list[Path]) -> dict[str, Path]:
    """The inputs by the names of their files; where several are called the same, with a number before it."""
    names = Counter(path.name for path in paths)
    return {
        f"{label}_{path.name}" if names[path.name] == 1 else f"{label}_{number}_{path.name}": path
        for number, path in enumerate(paths)
    }


def tokenizer_stage(settings: TokenizerSettings) -> Stage:
    corpus = Path(str(settings.corpus_dir))
    require_folder(corpus / "train", "build_corpus.py makes it.")
    inputs = {"corpus_dir": corpus}
    if settings.tokenizer:
        inputs["tokenizer"] = locate_tokenizer(settings.tokenizer) / "vocab.txt"
    return stage_of("tokenizer", settings, inputs)


def tokenizer_quality_stage(settings: TokenizerEvaluationSettings) -> Stage:
    corpus = require_folder(Path(str(settings.corpus_dir)), "build_corpus.py makes it.")
    titles = data_file("livedoor", resolve_data_dir(settings))
    inputs = {"corpus_dir": corpus, "tokenizer": locate_tokenizer(str(settings.tokenizer)), "data_dir": titles}
    return stage_of("tokenizer_quality", settings, inputs)


def shards_stage(settings: PackSettings) -> Stage:
    corpus = Path(str(settings.corpus_dir))
    require_folder(corpus / "train", "build_corpus.py makes it.")
    inputs = {"corpus_dir": corpus, "tokenizer": locate_tokenizer(str(settings.tokenizer))}
    return stage_of("shards", settings, inputs)


def _packed_text(settings: WordVectorSettings | GuideSettings | TagSettings) -> dict[str, Path]:
    """The inputs of what reads the packed corpus as text."""
    shards = require_folder(Path(str(settings.shards_dir)), "pack_corpus.py makes it.")
    return {"shards_dir": shards, "tokenizer": locate_tokenizer(str(settings.tokenizer)) / "vocab.txt"}


def word_vector_stage(settings: WordVectorSettings) -> Stage:
    inputs = _packed_text(settings)
    if settings.encoder_name_or_path and Path(settings.encoder_name_or_path).is_dir():
        inputs["encoder_name_or_path"] = Path(settings.encoder_name_or_path)
    without = set() if settings.encoder_name_or_path else {"encoder_name_or_path", "encoder_layer", "encoder_prefix"}
    return stage_of("word_vectors", settings, inputs, kept=_all_but(settings, without))


def guide_stage(settings: GuideSettings) -> Stage:
    if not settings.guide_model_name_or_path:
        raise UserError(
            "--guide_model_name_or_path names the encoder to ask, for example intfloat/multilingual-e5-small."
        )
    inputs = _packed_text(settings)
    if Path(settings.guide_model_name_or_path).is_dir():
        inputs["guide_model_name_or_path"] = Path(settings.guide_model_name_or_path)
    return stage_of("guide", settings, inputs)


def tag_stage(settings: TagSettings) -> Stage:
    return stage_of("tags", settings, _packed_text(settings))


def pretraining_stage(settings: PretrainSettings) -> Stage:
    shards = require_folder(Path(str(settings.shards_dir)), "pack_corpus.py makes it.")
    inputs = {"shards_dir": shards, "tokenizer": locate_tokenizer(str(settings.tokenizer))}
    work = Path(settings.work_dir)
    start = starting_folder(settings)
    if start:
        inputs["model_name_or_path"] = model_input(start)
    if settings.word_embeddings:
        if start:
            raise UserError("--word_embeddings is for a model of random weights; --model_name_or_path has its own.")
        own = settings.word_embeddings == "embeddings"
        folder = work / "embeddings" if own else Path(settings.word_embeddings)
        inputs["word_embeddings"] = require_file(folder / WORD_EMBEDDINGS_NAME, "embed_words.py makes it.")
    if settings.guide:
        folder = work / "guide" if settings.guide == "guide" else Path(settings.guide)
        inputs["guide"] = require_folder(folder, "guide_corpus.py makes it.")
    elif settings.guide_row_weight is not None:
        raise UserError("--guide_row_weight needs a --guide, whose answers the first token learns.")
    elif settings.guide_until is not None:
        raise UserError("--guide_until needs a --guide, whose losses it ends.")
    if settings.tags:
        folder = work / "tags" if settings.tags == "tags" else Path(settings.tags)
        inputs["tags"] = require_folder(folder, "tag_corpus.py makes it.")
    replaces = generator_folder(settings)
    if replaces:
        inputs["generator"] = model_input(replaces)
    output = Path(settings.output_dir or work / settings.model)
    without = set() if settings.guide else {"guide", "guide_weight"}
    without |= set() if settings.tags else {"tags", "tag_weight"}
    without |= set() if settings.generator else {"generator", *_REPLACING}
    return stage_of(_PRETRAINED[settings.model], settings, inputs, output, _all_but(settings, without))


def _model_folder(name: str, work_dir: str, hint: str) -> Path:
    """The folder of a model: one of those that the road makes in `work_dir`, or any other."""
    maker = _MADE_BY_THE_ROAD.get(name)
    return require_folder(Path(work_dir) / name if maker else Path(name), maker or hint)


def starting_folder(settings: PretrainSettings) -> Path | None:
    """Where the model stands that pretraining goes on from; None: it begins with random weights."""
    if not settings.model_name_or_path:
        return None
    return _model_folder(settings.model_name_or_path, settings.work_dir, "It is a folder with a pretrained model.")


def generator_folder(settings: PretrainSettings) -> Path | None:
    """The folder of what replaces tokens, if any. Raises `UserError` if it is missing, or settings need one."""
    if settings.generator:
        return _model_folder(settings.generator, settings.work_dir, "It is a folder with a finished MobileBERT.")
    for name in _REPLACING:
        if vars(settings)[name] != getattr(PretrainSettings, name):
            raise UserError(f"--{name} needs a --generator, which replaces tokens.")
    return None


def model_to_adapt(settings: AdaptSettings) -> str:
    """A folder or a Hub name; without --model_name_or_path this repository's root."""
    return settings.model_name_or_path or str(Path(__file__).resolve().parents[2])


def adaptation_files(settings: AdaptSettings) -> tuple[list[Path], list[Path]]:
    """The texts to learn from and those to leave out. Raises `UserError` if there are none of the former."""
    if not settings.text_file:
        raise UserError("--text_file names the texts to learn from: .txt, .jsonl, .csv or .tsv files.")
    given = (settings.text_file, settings.exclude_file or [])  # a recipe may name a single one without a list
    texts, excluded = (
        [require_file(each) for each in ([names] if isinstance(names, str) else names)] for names in given
    )
    return texts, excluded


def adaptation_stage(settings: AdaptSettings) -> Stage:
    inputs = {
        f"{label}_{number}_{path.name}": path
        for label, files in zip(("text_file", "exclude_file"), adaptation_files(settings), strict=True)
        for number, path in enumerate(files)
    }
    model = Path(model_to_adapt(settings))
    if model.exists():
        require_file(require_folder(model) / "config.json", "A folder with a MobileBERT holds one.")
        inputs["tokenizer"] = locate_tokenizer(model) / "vocab.txt"
        weights = model_input(model)
        inputs["model_name_or_path"] = weights if weights.exists() else model
    kept = _all_but(settings, {"text_file", "exclude_file"}) | {"encoding": encoding_of_name(settings.encoding)}
    return stage_of("adapted", settings, inputs, kept=kept)


def transfer_stage(settings: DistillSettings) -> Stage:
    if not settings.transfer_steps and not settings.max_steps:
        raise UserError("--transfer_steps and --max_steps are both 0; one of them must be more.")
    if settings.strategy == "akt" and settings.max_train_seconds:
        raise UserError("--max_train_seconds is for what follows the transfer, and nothing does with --strategy akt.")
    shards = require_folder(Path(str(settings.shards_dir)), "pack_corpus.py makes it.")
    tokenizer = locate_tokenizer(str(settings.tokenizer))
    teacher = require_folder(Path(str(settings.teacher)), "pretrain.py --model teacher makes it.")
    return stage_of("distilled", settings, {"shards_dir": shards, "tokenizer": tokenizer, "teacher": teacher})


def checkpoint_quality_stage(settings: CheckpointEvaluationSettings) -> Stage:
    folder = require_folder(Path(str(settings.model_name_or_path)), "pretrain.py --model student makes it.")
    shards = require_folder(Path(str(settings.shards_dir)), "pack_corpus.py makes it.")
    return stage_of("checkpoint_quality", settings, {"model_name_or_path": model_input(folder), "shards_dir": shards})


def _tell_own_data(settings: TaskSettings) -> None:
    """Own data given to the public task of entities are a task of their own, of the same kind.

    Their output must not stand in the public one's place.
    """
    if settings.task == "ner" and settings.train_file:
        settings.task = "entities"


def finetuning_folder(settings: FinetuneSettings) -> Path:
    """The output of finetune.py."""
    _tell_own_data(settings)
    taught = "-silver" if settings.teacher or settings.teacher_file else ""
    name = f"{settings.task}{RANDOM_ENDINGS[settings.random_weights]}{taught}"
    return by_a_name(settings.output_dir or Path(settings.work_dir) / "finetuned" / name)


def settings_in_play(settings: FinetuneSettings) -> dict[str, Any]:
    """The settings without those that say nothing about this run, such as how own files are read without any."""
    absent = _KIND_SETTINGS - {*KINDS[TASK_KINDS[settings.task]].settings}
    if settings.decoding not in ("crf", "auto"):
        absent |= {"crf_gain"}
    if settings.decoding != "auto":
        absent |= {"validation_share"}
    if not settings.ignore_mismatched_labels:  # outputs that were made before there was such a setting stay valid
        absent |= {"ignore_mismatched_labels"}
    if not (settings.teacher or settings.teacher_file):
        absent |= _SILVER_SETTINGS
    kept = own_data_settings_left_out(vars(settings)) | _how_silver_is_read(settings)
    return {name: value for name, value in kept.items() if name not in absent}


def _how_silver_is_read(settings: FinetuneSettings) -> dict[str, Any]:
    """What says how the files of --unlabelled_file and --teacher_file are read, also beside a public task; what is not
    given is left out, as in records made before it was told."""
    column, encoding = settings.text_column, encoding_of_name(settings.encoding)
    by_column = settings.unlabelled_file and column != FinetuneSettings().text_column
    encoded = (settings.unlabelled_file or settings.teacher_file) and encoding != UTF8
    return ({"text_column": column} if by_column else {}) | ({"encoding": encoding} if encoded else {})


def usual_rate(settings: FinetuneSettings) -> float:
    """The learning rate that suits the structure, which a folder's config.json tells, or else the model's name."""
    structure = settings.random_weights or str(settings.model_name_or_path)
    config = Path(structure) / "config.json"
    if not settings.random_weights and config.is_file():
        known = read_json(config)
        structure = str(known.get("model_type")) if isinstance(known, dict) else ""
    return _MOBILEBERT_RATE if "mobilebert" in structure.lower() else _USUAL_RATE


def finetuning_stage(settings: FinetuneSettings) -> Stage:
    """Of a structure with random weights, nothing of --model_name_or_path is used but its tokenizer.

    What depends on the model or on the task, and was not given, is filled into `settings`.
    """
    output = finetuning_folder(settings)
    if settings.random_weights and settings.model_name_or_path:
        settings.tokenizer = settings.tokenizer or settings.model_name_or_path
        settings.model_name_or_path = None
    settings.learning_rate = settings.learning_rate or usual_rate(settings)
    if settings.teacher or settings.teacher_file or settings.unlabelled_file:
        check_teachers(settings, output)
        if settings.min_confidence is None:
            settings.min_confidence = 0.0 if TASK_KINDS[settings.task] is Kind.CLASSES else _SURE_ENTITY
    files = task_source(vars(settings), lambda: resolve_data_dir(settings)).files
    inputs = files | silver_inputs(settings, files)
    if settings.model_name_or_path and Path(settings.model_name_or_path).exists():
        inputs["model_name_or_path"] = model_input(Path(settings.model_name_or_path))
    if settings.tokenizer and Path(settings.tokenizer).exists():
        inputs["tokenizer"] = tokenizer_file(Path(settings.tokenizer))
    return stage_of(output.name, settings, inputs, output, settings_in_play(settings))


def baseline_stage(settings: BaselineSettings) -> Stage:
    _tell_own_data(settings)
    settings.method = suitable_method(settings.method, settings.task)
    files = task_source(vars(settings), lambda: resolve_data_dir(settings)).files
    usual = Path(settings.work_dir) / "finetuned" / f"{settings.task}-{settings.method}"
    output = by_a_name(settings.output_dir or usual)
    return stage_of(output.name, settings, dict(files), output, own_data_settings_left_out(vars(settings)))


def compression_settings_in_play(settings: CompressSettings) -> dict[str, Any]:
    """Those that say something about this run, as records made before there was a search or unlabelled text have them.

    Raises `UserError` for a --keep_layers that is none.
    """
    layers = settings.number_of_layers
    absent = set() if settings.unlabelled_file else _UNLABELLED_SETTINGS
    told = {"encoding": encoding_of_name(settings.encoding)} if settings.unlabelled_file else {}
    if settings.treatment != "fast":
        return _all_but(settings, {"keep_layers", *_SEARCH_SETTINGS, *absent}) | told
    if layers is None:
        return _all_but(settings, absent) | told
    return _all_but(settings, _SEARCH_SETTINGS | absent) | told | {"keep_layers": layers}


def compression_stage(settings: CompressSettings) -> Stage:
    if settings.treatment == "card":
        settings.per_channel = bool(settings.per_channel)
    if settings.unlabelled_file and settings.treatment != "fast":
        raise UserError(
            f"--unlabelled_file is for --treatment fast, which learns from it, not for {settings.treatment}."
        )
    encoding_of_name(settings.encoding)  # before anything is looked for
    work = Path(settings.work_dir)
    source = Path(settings.model_name_or_path or work / "finetuned" / settings.task)
    require_folder(source, f"finetune.py --task {settings.task} makes it.")
    files = task_source_of(source, settings.task, lambda: resolve_data_dir(settings)).files
    output = Path(settings.output_dir or work / "compressed" / settings.task / settings.treatment)
    record = f"compressed_{settings.task}_{settings.treatment}"
    inputs = {"model_name_or_path": source, **files, **unlabelled_inputs(settings)}
    return stage_of(record, settings, inputs, output, compression_settings_in_play(settings))


_SPED_UP = ("card", "onnx", "fast")
# By what the speed measurement calls it: who makes a contender's folder.
SPEED_MAKERS = {
    "bert": "finetune.py --random_weights bert",
    "mobilebert": "finetune.py",
    **{name: f"compress.py --treatment {name}" for name in _SPED_UP},
}


def speed_stage(settings: BenchmarkSettings) -> Stage:
    """Its inputs are the contenders' folders by name, and "data_dir"."""
    work, task = Path(settings.work_dir), settings.task
    usual = {
        "bert": work / "finetuned" / f"{task}-bert",
        "mobilebert": work / "finetuned" / task,
        **{name: work / "compressed" / task / name for name in _SPED_UP},
    }
    inputs = {}
    for name, folder in usual.items():
        named = getattr(settings, name)
        if named or name in ("mobilebert", "card") or folder.exists():
            inputs[name] = require_folder(named or folder, f"{SPEED_MAKERS[name]} --task {task} makes it.")
    inputs["data_dir"] = require_file(data_file(task, resolve_data_dir(settings)))
    return timing_stage(f"speed_{task}", settings, inputs, work / "speed" / task)


def checkpoint_is_there(settings: ExportSettings) -> bool:
    """True if the released checkpoint stands already, made from this student.

    Raises `UserError` if another one stands there and --overwrite is not given.
    """
    student, root = Path(str(settings.model_name_or_path)), Path(str(settings.output_dir))
    require_folder(student, "pretrain.py --model student makes it.")
    weights = root / WEIGHTS_NAME
    if settings.overwrite or not weights.exists():
        return False
    path = Path(str(settings.records_dir)) / "checkpoint.json"
    record = read_json(path) if path.is_file() else {}
    of_student = record.get("inputs") == {"model_name_or_path": fingerprint(student)}
    if of_student and _holds(root, record.get("files", {})):  # the record may speak of a checkpoint in another folder
        print(f"{weights} is already there, nothing to do (--overwrite makes it anew)")
        return True
    raise UserError(f"{weights} exists and holds another checkpoint; --overwrite replaces it.")


def _holds(folder: Path, files: dict[str, str]) -> bool:
    """Whether a folder has every one of the files that a record tells of, with the SHA-256 told there."""
    paths = {folder / name: digest for name, digest in files.items()}
    return bool(paths) and all(path.is_file() and sha256_of(path) == digest for path, digest in paths.items())


def card_is_current(settings: CardSettings) -> bool:
    """True if the card and its figures stand there, and no record was finished after they were."""
    card = Path(str(settings.output_dir)) / "README.md"
    figures = Path(settings.figures_dir) if settings.figures_dir else card.parent / "figures"
    if settings.overwrite or not card.is_file() or not figures.is_dir():
        return False
    rendered = datetime.datetime.fromtimestamp(card.stat().st_mtime, datetime.UTC)
    for path in Path(str(settings.records_dir)).glob("*.json"):
        finished = read_json(path).get("finished")
        if not finished or datetime.datetime.fromisoformat(finished) > rendered:
            return False
    print(f"{card} is already there, nothing to do (--overwrite makes it anew)")
    return True


STAGES: dict[str, Callable[[Any], Stage]] = {
    "build_corpus.py": corpus_stage,
    "train_tokenizer.py": tokenizer_stage,
    "measure.py tokenizer": tokenizer_quality_stage,
    "pack_corpus.py": shards_stage,
    "embed_words.py": word_vector_stage,
    "guide_corpus.py": guide_stage,
    "tag_corpus.py": tag_stage,
    "pretrain.py": pretraining_stage,
    "distill.py": transfer_stage,
    "measure.py checkpoint": checkpoint_quality_stage,
    "adapt.py": adaptation_stage,
    "finetune.py": finetuning_stage,
    "baseline.py": baseline_stage,
    "compress.py": compression_stage,
    "measure.py models": speed_stage,
}


def is_finished(command: str, settings: Any) -> bool:
    """True, with one line that says so, if a stage of the road has nothing left to do; False if that is not sure.

    Args:
        command: see `RoadStage.command`.
    """
    try:
        if command == "export_checkpoint.py":
            return checkpoint_is_there(settings)
        if command == "render_card.py":
            return card_is_current(settings)
        if command not in STAGES or _needs_network(settings):
            return False
        return STAGES[command](settings).is_done(settings.overwrite)
    except UserError:
        return False  # its script says what is the matter, or mends it


def _needs_network(settings: Any) -> bool:
    """Whether telling what a stage reads would have to fetch it."""
    if isinstance(settings, CorpusSettings):
        return settings.source == "hub" or any(map(is_url, comma_separated(settings.input)))
    names = (getattr(settings, name, None) for name in ("tokenizer",))
    if any(name and not Path(name).is_dir() for name in names):
        return True
    task = getattr(settings, "task", None)
    return task in JGLUE and settings.data_dir is None
