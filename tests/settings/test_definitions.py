"""Settings are read by their stage, bounded in their definitions, and shown by --help."""

import ast
import dataclasses
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.paths import SCRIPTS
from measure import MEASUREMENTS
from mobilebert_ja import plans, settings
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.records import Stage
from mobilebert_ja.compression.treatments import TREATMENTS
from mobilebert_ja.corpus.executors import EXECUTORS
from mobilebert_ja.data.sources import SOURCES
from mobilebert_ja.finetuning.classical import METHODS
from mobilebert_ja.inference.decoding import DECODINGS
from mobilebert_ja.model.checkpoint import SAVED_DTYPES
from mobilebert_ja.settings import (
    ROAD,
    AdaptSettings,
    BaselineSettings,
    CompressSettings,
    CorpusScalingSettings,
    CorpusSettings,
    CostSettings,
    DistillSettings,
    FinetuneSettings,
    PretrainSettings,
    StageSettings,
    WordVectorSettings,
    parse_settings,
    setting,
    whole_numbers,
)
from mobilebert_ja.settings.base import check_bounds
from mobilebert_ja.settings.reading.arguments import GROUPS
from mobilebert_ja.tasks import JGLUE, TASKS
from mobilebert_ja.training.checkpoints import CHOICES
from mobilebert_ja.training.optimizers import OPTIMIZERS
from mobilebert_ja.training.pace import SCHEDULES

EVERY_STAGES = {field.name for field in dataclasses.fields(StageSettings)}  # the road hands them to all alike


def modules_of(path: Path, seen: dict[Path, str]) -> dict[Path, str]:
    """A script and all of our modules that it imports, directly or not, with their text."""
    if path in seen:
        return seen
    seen[path] = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(seen[path])):
        names = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mobilebert_ja"):
            names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        for name in names:
            place = SCRIPTS / name.replace(".", "/")
            for file in (place.with_suffix(".py"), place / "__init__.py"):
                # Settings are defined there, not read; of the plans only a stage's own is its own.
                if file.is_file() and "settings" not in file.parts and file.name not in ("plans.py", "road.py"):
                    modules_of(file, seen)
    return seen


def source_of(command: str) -> Path:
    """The script of a command; of measure.py what it measures with."""
    script, _, name = command.partition(" ")
    if not name:
        return SCRIPTS / script
    return SCRIPTS / "mobilebert_ja" / "measuring" / f"{MEASUREMENTS[name].replace('.', '/')}.py"


# Read by a loop over names, or by a room that takes settings by name: of these a quoted name will do.
READ_BY_NAME = {
    "exclude_file",
    "model_name_or_path",
    "text_file",
    "encoding",
    "test_file",
    "train_share",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_hidden_layers",
    "batch_sizes",
    "processes",
    "bert",
    "card",
    "fast",
    "mobilebert",
    "onnx",
}


@functools.cache
def read_in(text: str) -> set[str]:
    """What code reads of settings: `settings.NAME`, `settings["NAME"]` and `getattr(..., "NAME")`."""
    found, quoted = set(), set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Attribute(value=owner, attr=name) if ast.unparse(owner).endswith("settings"):
                found.add(name)
            case ast.Subscript(value=owner, slice=ast.Constant(name)) if ast.unparse(owner).endswith("settings"):
                found.add(name)
            case ast.Call(func=ast.Name("getattr"), args=[_, ast.Constant(name), *_]):
                found.add(name)
            case ast.Constant(str(name)):
                quoted.add(name)
    return found | (quoted & READ_BY_NAME)


def called_plans(plan: Callable | None) -> set[Callable]:
    """A plan and the functions of plans.py that it calls, they that those call, and so on."""
    found: set[Callable] = set()
    left = [plan] if plan else []
    while left:
        found.add(each := left.pop())
        named = {node.id for node in ast.walk(ast.parse(inspect.getsource(each))) if isinstance(node, ast.Name)}
        functions = [vars(plans)[name] for name in named if inspect.isfunction(vars(plans).get(name))]
        left += [one for one in functions if one.__module__ == plans.__name__ and one not in found]
    return found


def unread(command: str, kind: type) -> set[str]:
    """The settings of a stage that neither its script, nor what it imports, nor its plan reads."""
    texts = list(modules_of(source_of(command), {}).values())
    own = plans.STAGES.get(command) or {"export_checkpoint.py": plans.checkpoint_is_there}.get(command)
    texts += [textwrap.dedent(inspect.getsource(each)) for each in called_plans(own)]
    names = {field.name for field in dataclasses.fields(kind)} - EVERY_STAGES - {"output_dir"}
    return names - set().union(*map(read_in, texts))


def settings_of(command: str) -> type | None:
    """The class that a command parses its flags into; None if it defines its few flags itself."""
    found = re.search(r"\bparse_settings\((\w+)", source_of(command).read_text(encoding="utf-8"))
    return getattr(settings, found[1]) if found else None


COMMANDS = sorted(
    {path.name for path in SCRIPTS.glob("*.py")} - {"measure.py"} | {f"measure.py {name}" for name in MEASUREMENTS}
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_setting_is_read(command):
    kind = settings_of(command)
    if kind is None:
        text = source_of(command).read_text(encoding="utf-8")
        flags = re.findall(r"add_argument\(\"(?:--)?(\w+)", text)
        assert flags and all(re.search(rf"(options|given)\.{name}\b", text) for name in flags)
    else:
        assert unread(command, kind) == set()


def test_the_registry_knows_what_its_commands_parse():
    assert all(settings_of(stage.command) is stage.settings for stage in ROAD)


def test_a_setting_that_nobody_reads_is_found():
    extra = [("dropout", bool, setting(True, "")), ("embedding_gain", float, setting(1.0, ""))]
    extra.append(("metrics", bool, setting(False, "")))  # a word that stands in quotes in many a module
    with_more = dataclasses.make_dataclass("WithMore", extra, bases=(DistillSettings,))
    assert unread("distill.py", with_more) == {"dropout", "embedding_gain", "metrics"}
    for name in ("dropout", "lr_scheduler_type", "model_name_or_path", "word_embeddings", "normalization_type"):
        with pytest.raises(UserError, match=f"--{name} is no flag of"):
            parse_settings(DistillSettings, None, argv=[f"--{name}", "1"])


@pytest.mark.parametrize(
    ("kind", "flags", "message"),
    [
        (FinetuneSettings, ["--num_seeds", "0"], "--num_seeds must be at least 1, not 0."),
        (FinetuneSettings, ["--validation_share", "1"], "--validation_share must be more than 0 and less than 1"),
        (FinetuneSettings, ["--train_share", "1.5"], "--train_share must be more than 0 and at most 1, not 1.5."),
        (FinetuneSettings, ["--adam_beta2", "1"], "--adam_beta2 must be at least 0 and less than 1, not 1.0."),
        (FinetuneSettings, ["--crf_gain", "nan"], "--crf_gain must be more than 0, not nan."),
        (FinetuneSettings, ["--seed", "-1"], "--seed must be at least 0 and at most 4294967295, not -1."),
        (CompressSettings, ["--prune_amount", "1"], "--prune_amount must be at least 0 and less than 1, not 1.0."),
        (CompressSettings, ["--margin", "nan"], "--margin must be at least 0, not nan."),
        (WordVectorSettings, ["--window", "0"], "--window must be at least 1, not 0."),
        (CostSettings, ["--teacher_utilisation", "0"], "--teacher_utilisation must be more than 0, not 0.0."),
        (CorpusScalingSettings, ["--repetitions", "0"], "--repetitions must be at least 1, not 0."),
        (PretrainSettings, ["--optimizer", "sgd"], "--optimizer must be one of 'adamw', 'lamb', 'muon', not 'sgd'."),
        (PretrainSettings, ["--num_hidden_layers", "0"], "--num_hidden_layers must be at least 1, not 0."),
        (PretrainSettings, ["--dropout", "maybe"], "must be true or false, not 'maybe'"),
        (PretrainSettings, ["--max_steps", "many"], "--max_steps: invalid int value: 'many'"),
        (PretrainSettings, ["--max_step", "3"], "--max_step is no flag of .* Did you mean --max_steps?"),
    ],
)
def test_a_value_out_of_bounds_is_one_sentence(kind, flags, message):
    with pytest.raises(UserError, match=message):
        parse_settings(kind, None, argv=flags)


def test_several_numbers_in_one_setting():
    assert whole_numbers("workers", "2, 1,8") == [2, 1, 8]
    for text in ("many", "1,", "", "1,-2", "1.5"):
        with pytest.raises(UserError, match=f"--workers takes whole numbers with commas between them, not '{text}'"):
            whole_numbers("workers", text)
    with pytest.raises(UserError, match="--lengths must be at least 8, not 4"):
        whole_numbers("lengths", "32,4", minimum=8)


def test_several_files_after_one_flag_or_in_a_recipe(tmp_path):
    (tmp_path / "r.yaml").write_text("adapt: {text_file: [a.txt, b, c.csv]}\n")
    typed = parse_settings(AdaptSettings, None, argv=["--text-file", "a.txt", "b, c.csv", "--overwrite"])
    assert (typed.text_file, typed.exclude_file, typed.overwrite) == (["a.txt", "b, c.csv"], None, True)
    given = ["--config", str(tmp_path / "r.yaml")]
    assert parse_settings(AdaptSettings, None, argv=given).text_file == ["a.txt", "b", "c.csv"]
    assert parse_settings(AdaptSettings, None, argv=[*given, "--text_file", "d"]).text_file == ["d"]


def test_bounds_hold_for_recipes_too(tmp_path):
    (tmp_path / "r.yaml").write_text("finetune_ner: {num_seeds: 0}\npretrain_student: {num_hidden_layers: six}\n")
    given = ["--config", str(tmp_path / "r.yaml")]
    with pytest.raises(UserError, match="--num_seeds must be at least 1"):
        parse_settings(FinetuneSettings, None, argv=[*given, "--task", "ner"])
    with pytest.raises(UserError, match="num_hidden_layers must be a int, not 'six'"):
        parse_settings(PretrainSettings, None, argv=given)


def test_defaults_are_within_their_bounds():
    for command in COMMANDS:
        kind = settings_of(command)
        if kind is not None:
            check_bounds(kind())


def choices(kind: type, name: str) -> set[str]:
    (field,) = (each for each in dataclasses.fields(kind) if each.name == name)
    return set(field.metadata["choices"])


def test_choices_are_those_that_are_implemented():
    """Their definitions stand where no torch is imported; what they choose among stands elsewhere."""
    assert choices(CorpusSettings, "source") == set(SOURCES)
    assert choices(CorpusSettings, "executor") == set(EXECUTORS)
    assert choices(PretrainSettings, "save_dtype") == set(SAVED_DTYPES)
    assert choices(PretrainSettings, "lr_scheduler_type") == set(SCHEDULES)
    assert choices(PretrainSettings, "optimizer") == choices(AdaptSettings, "optimizer") == set(OPTIMIZERS)
    assert choices(AdaptSettings, "save_dtype") == set(SAVED_DTYPES)
    assert choices(PretrainSettings, "resume_from_checkpoint") == set(CHOICES)
    assert choices(FinetuneSettings, "task") == {*TASKS, *JGLUE}
    assert choices(FinetuneSettings, "decoding") == {*DECODINGS, "auto"}
    assert choices(FinetuneSettings, "random_weights") == set(plans.RANDOM_ENDINGS)
    assert choices(BaselineSettings, "task") == choices(CompressSettings, "task") == set(TASKS)
    assert choices(BaselineSettings, "method") == {"", *METHODS}
    assert choices(CompressSettings, "treatment") == set(TREATMENTS)


def test_help_keeps_its_lines_and_stands_in_groups(capsys, monkeypatch):
    import pretrain

    monkeypatch.setattr(sys, "argv", ["pretrain.py", "--help"])
    with pytest.raises(SystemExit):
        pretrain.main()
    shown = capsys.readouterr().out
    assert pretrain.__doc__.strip() in shown
    titles = re.findall(r"^([a-z ]+):$", shown, re.M)
    assert titles == ["options", "what it does", *GROUPS]
    flat = " ".join(shown.split())
    assert "--save_seconds X Seconds between two checkpoints. (default: 300.0)" in flat
    assert "Output of pack_corpus.py. (default: WORK_DIR/shards)" in flat


def test_a_setting_stands_in_one_group():
    names = [name for each in GROUPS.values() for name in each.split()]
    assert len(names) == len(set(names))


def test_hyphens_and_bare_switches():
    given = parse_settings(FinetuneSettings, None, argv=["--num-seeds=2", "--overwrite", "--work-dir", "a-b"])
    assert (given.num_seeds, given.overwrite, given.work_dir) == (2, True, "a-b")
    assert not parse_settings(CorpusSettings, None, argv=["--no_near_duplicates"]).near_duplicates


def test_records_that_hold_settings_of_before(tmp_path):
    """What a setting was that the stage no longer has is no reason to make the output anew."""
    old = {"token_masking": 0.1, "dropout": True, "model": "student"}
    made = Stage("made", {"size": 3} | old, tmp_path / "out", {})
    made.begin()
    made.finish({})
    assert Stage("made", {"size": 3}, tmp_path / "out", {}).is_done()
    with pytest.raises(UserError, match="size was 3, is now 4"):
        Stage("made", {"size": 4}, tmp_path / "out", {}).is_done()


def test_a_stage_that_still_has_such_a_setting_reads_it(tmp_path):
    made = Stage("made", {"dropout": True}, tmp_path / "out", {})
    made.begin()
    made.finish({})
    with pytest.raises(UserError, match="dropout was True, is now False"):
        Stage("made", {"dropout": False}, tmp_path / "out", {}).is_done()
