"""Recipes and command lines: where settings get their values from.

A recipe is a YAML file with the shared keys (`work_dir`, `data_dir`, `records_dir`, `seed`) and one section a stage.
Default < recipe < command line. An unknown key anywhere in the recipe is an error that names the nearest valid one.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
from pathlib import Path
from typing import Any, TypeVar

import yaml

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import require_file
from mobilebert_ja.settings.base import StageSettings
from mobilebert_ja.settings.corpus import CorpusSettings, PackSettings, TokenizerSettings, WordVectorSettings
from mobilebert_ja.settings.measuring import (
    BenchmarkSettings,
    CheckpointEvaluationSettings,
    TokenizerEvaluationSettings,
)
from mobilebert_ja.settings.pretraining import DistillSettings, ExportSettings, PretrainSettings
from mobilebert_ja.settings.release import CardSettings, CompressSettings
from mobilebert_ja.settings.tasks import BaselineSettings, FinetuneSettings

SECTIONS: dict[str, type[StageSettings]] = {
    "build_corpus": CorpusSettings,
    "train_tokenizer": TokenizerSettings,
    "evaluate_tokenizer": TokenizerEvaluationSettings,
    "pack_corpus": PackSettings,
    "embed_words": WordVectorSettings,
    "pretrain_teacher": PretrainSettings,
    "distill": DistillSettings,
    "pretrain_shallow": PretrainSettings,
    "pretrain_short": PretrainSettings,
    "pretrain_student": PretrainSettings,
    "export_checkpoint": ExportSettings,
    "evaluate_checkpoint": CheckpointEvaluationSettings,
    "finetune_livedoor": FinetuneSettings,
    "finetune_livedoor_bert": FinetuneSettings,
    "finetune_livedoor_random": FinetuneSettings,
    "finetune_ner": FinetuneSettings,
    "finetune_ner_bert": FinetuneSettings,
    "finetune_ner_random": FinetuneSettings,
    "finetune_classification": FinetuneSettings,
    "finetune_entities": FinetuneSettings,
    "finetune_jsts": FinetuneSettings,
    "finetune_jnli": FinetuneSettings,
    "finetune_jcommonsenseqa": FinetuneSettings,
    "finetune_jsquad": FinetuneSettings,
    "baseline_livedoor": BaselineSettings,
    "baseline_ner": BaselineSettings,
    "compress_livedoor": CompressSettings,
    "compress_livedoor_onnx": CompressSettings,
    "compress_livedoor_fast": CompressSettings,
    "compress_ner": CompressSettings,
    "compress_ner_onnx": CompressSettings,
    "compress_ner_fast": CompressSettings,
    "benchmark_livedoor": BenchmarkSettings,
    "benchmark_ner": BenchmarkSettings,
    "render_card": CardSettings,
}
SHARED_KEYS = ("work_dir", "data_dir", "records_dir", "seed")
T = TypeVar("T", bound=StageSettings)


def reject_unknown(keys: Any, valid: list[str], where: str) -> None:
    """Raise `UserError` for the first key that is not valid; it names the nearest one that is."""
    for key in keys:
        if key not in valid:
            near = difflib.get_close_matches(str(key), valid, n=1, cutoff=0.0)
            raise UserError(f"{where}: unknown key '{key}'. Did you mean '{near[0]}'?")


def load_recipe(path: str | Path) -> dict[str, Any]:
    """Read and check a recipe. Raises `UserError` for bad YAML, an unknown section or an unknown key."""
    path = require_file(path, "Recipes stand in recipes/, for example recipes/tiny.yaml.")
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(recipe, dict):
        raise UserError(f"{path} must hold keys and sections, not a {type(recipe).__name__}.")
    reject_unknown(recipe, [*SHARED_KEYS, *SECTIONS], str(path))
    for name, section in SECTIONS.items():
        values = recipe.get(name)
        if values is None:
            continue
        if not isinstance(values, dict):
            raise UserError(f"{path}: section '{name}' must hold keys, not a {type(values).__name__}.")
        reject_unknown(values, [f.name for f in dataclasses.fields(section)], f"{path}, section '{name}'")
    return recipe


def _checked_value(name: str, value: Any, default: Any, where: str) -> Any:
    """YAML reads 5e-4 as a string and 1 as an integer; bring numbers to the setting's own type."""
    if isinstance(default, bool) or default is None or value is None:
        if isinstance(default, bool) and not isinstance(value, bool):
            raise UserError(f"{where}: {name} must be true or false, not {value!r}.")
        return value
    try:
        return type(default)(value) if isinstance(default, int | float) else str(value)
    except (TypeError, ValueError):
        raise UserError(f"{where}: {name} must be a {type(default).__name__}, not {value!r}.") from None


def from_recipe(section: str, kind: type[T], recipe_path: str | None) -> T:
    """The settings of `section`: the defaults, and over them the recipe's values. Paths are not filled in yet."""
    settings = kind()
    if recipe_path is None:
        return settings
    recipe = load_recipe(recipe_path)
    values = {key: recipe[key] for key in SHARED_KEYS if key in recipe} | (recipe.get(section) or {})
    # A section may be another stage's, of which this one has some of the settings: `measure.py training` reads
    # pretrain_student. What the section may hold at all was checked above.
    values = {name: value for name, value in values.items() if hasattr(settings, name)}
    for name, value in values.items():
        setattr(settings, name, _checked_value(name, value, getattr(kind(), name), recipe_path))
    settings.config = recipe_path
    return settings


def fill_paths(settings: StageSettings) -> None:
    """Give every path that was left open its place under `work_dir`."""
    filled: set[tuple[str, str]] = set()
    for kind in reversed(type(settings).__mro__):  # a subclass's own place wins: it is assigned last
        for name, place in vars(kind).get("places", {}).items():
            if getattr(settings, name) is None or (name, getattr(settings, name)) in filled:
                setattr(settings, name, str(Path(settings.work_dir) / place))
                filled.add((name, getattr(settings, name)))


def parse_settings(kind: type[T], description: str | None, section: str | None = None, **choices: list[str]) -> T:
    """Parse the command line of an entry script.

    Args:
        kind: the settings class.
        description: the script's docstring, shown by --help.
        section: the recipe's section; it may name settings in braces, for example "finetune_{task}".
        choices: settings that take one of a few values, checked here.

    Returns:
        The resolved settings, paths filled in. Raises `UserError` for a value outside `choices`.
    """
    from transformers import HfArgumentParser  # here, so that reading a recipe needs no transformers

    parser = HfArgumentParser(kind, description=description, allow_abbrev=False)  # type: ignore[arg-type]
    argv = sys.argv[1:]
    known, _ = parser.parse_known_args([arg for arg in argv if arg not in ("-h", "--help")])
    if section is not None and known.config is not None:
        name = section.format(**vars(known)) if "{" in section else section
        defaults = dataclasses.asdict(from_recipe(name, kind, known.config))
        parser.set_defaults(**defaults)
    namespace = parser.parse_args(argv)
    settings = kind(**{each.name: getattr(namespace, each.name) for each in dataclasses.fields(kind)})
    for name, allowed in choices.items():
        value = getattr(settings, name)
        if value not in allowed:
            raise UserError(f"--{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}.")
    fill_paths(settings)
    return settings
