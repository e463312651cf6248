"""Recipes and command lines: where settings get their values from.

A recipe is a YAML file with the shared keys (`work_dir`, `data_dir`, `records_dir`, `seed`) and one section per stage.
Default < recipe < command line. An unknown key anywhere in the recipe is an error that names the nearest valid one.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import require_file
from mobilebert_ja.settings.base import StageSettings, check_bounds
from mobilebert_ja.settings.reading.arguments import nearest, parse_arguments, parser_of, plain_type
from mobilebert_ja.settings.reading.stages import FORMER_SECTIONS, ROAD, section_of

SHARED_KEYS = ("work_dir", "data_dir", "records_dir", "seed")
T = TypeVar("T", bound=StageSettings)


def reject_unknown(keys: Any, valid: list[str], where: str) -> None:
    """Raise `UserError` for the first key that is not valid; it names the nearest one that is."""
    for key in keys:
        if key not in valid:
            raise UserError(f"{where}: unknown key '{key}'. Did you mean '{nearest(str(key), valid)}'?")


class _Loader(yaml.SafeLoader):
    """Raises a `YAMLError` for a key that stands twice, of which YAML would take the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        known: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in known:
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{key.value}' stands there twice", key.start_mark
                )
            known.add(key.value)
        return super().construct_mapping(node, deep)


def load_recipe(path: str | Path) -> dict[str, Any]:
    """Read and check a recipe. Raises `UserError` for bad YAML, an unknown section or an unknown key."""
    path = require_file(path, "Recipes stand in recipes/, for example recipes/tiny.yaml.")
    try:
        recipe = yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from None
    except ValueError:  # Python's limit for digits
        raise UserError(f"{path} holds a number of too many digits to be read.") from None
    if not isinstance(recipe, dict):
        raise UserError(f"{path} must hold keys and sections, not a {type(recipe).__name__}.")
    for former, section in FORMER_SECTIONS.items():
        if former in recipe:
            if section in recipe:
                raise UserError(f"{path}: section '{section}' stands there under its former name '{former}', too.")
            recipe[section] = recipe.pop(former)
    reject_unknown(recipe, [*SHARED_KEYS, *(stage.section for stage in ROAD)], str(path))
    for stage in ROAD:
        name, values = stage.section, recipe.get(stage.section)
        if values is None:
            continue
        if not isinstance(values, dict):
            raise UserError(f"{path}: section '{name}' must hold keys, not a {type(values).__name__}.")
        reject_unknown(values, [f.name for f in dataclasses.fields(stage.settings)], f"{path}, section '{name}'")
    return recipe


def _checked_value(each: dataclasses.Field[Any], hint: Any, value: Any, where: str) -> Any:
    """A value as its setting's annotation wants it: YAML reads 5e-4 as a string, 1 as an integer, 2024 as a number.

    Args:
        hint: the annotation, resolved.
    """
    wanted = plain_type(hint)
    if value is None and wanted is not hint:
        return None
    if isinstance(value, dict) and each.metadata.get("keys"):
        return json.dumps(value, default=str)
    if isinstance(value, dict):
        raise UserError(f"{where}: {each.name} must be a value, not keys with values.")
    if typing.get_origin(wanted) is Sequence:
        (wanted,) = typing.get_args(wanted)
        if isinstance(value, list):
            return [_checked_plain(each.name, wanted, item, where) for item in value]
    return _checked_plain(each.name, wanted, value, where)


def _checked_plain(name: str, wanted: type, value: Any, where: str) -> Any:
    """One value as a boolean, a number or text."""
    if wanted is bool:
        if not isinstance(value, bool):
            raise UserError(f"{where}: {name} must be true or false, not {value!r}.")
        return value
    if wanted is str:
        if value is None or isinstance(value, bool | list | dict):
            raise UserError(f"{where}: {name} must be text, not {value!r}.")
        return str(value)
    rounded = wanted is int and isinstance(value, float) and not value.is_integer()
    try:
        if isinstance(value, bool) or rounded:
            raise ValueError
        return wanted(value)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{where}: {name} must be a {wanted.__name__}, not {value!r}.") from None


def from_recipe(section: str, kind: type[T], recipe_path: str | None) -> T:
    """The settings of `section`: the defaults, and over them the recipe's values. Paths are not filled in yet."""
    settings = kind()
    if recipe_path is None:
        return settings
    recipe = load_recipe(recipe_path)
    values = {key: recipe[key] for key in SHARED_KEYS if key in recipe} | (recipe.get(section) or {})
    # A section may be another stage's, of which this one has some of the settings: `measure.py training` reads
    # pretrain_student. What the section may hold at all was checked above.
    hints = typing.get_type_hints(kind)
    for each in dataclasses.fields(kind):
        if each.name in values:
            setattr(settings, each.name, _checked_value(each, hints[each.name], values[each.name], recipe_path))
    settings.config = recipe_path
    return settings


def recipe_in_play(recipe_path: str | None, *scripts: str) -> dict[str, Any]:
    """What a recipe says to these scripts, as one setting of a command that runs them with it; {} without a recipe.

    Args:
        scripts: how the names of their sections begin: finetune, compress.
    """
    if recipe_path is None:
        return {}
    begun = tuple(f"{script}_" for script in scripts)
    return {"recipe": {name: value for name, value in load_recipe(recipe_path).items() if name.startswith(begun)}}


def fill_paths(settings: StageSettings) -> None:
    """Give every path that was left open its place under `work_dir`."""
    filled: set[tuple[str, str]] = set()
    for kind in reversed(type(settings).__mro__):  # a subclass's own place wins: it is assigned last
        for name, place in vars(kind).get("places", {}).items():
            if getattr(settings, name) is None or (name, getattr(settings, name)) in filled:
                setattr(settings, name, str(Path(settings.work_dir) / place))
                filled.add((name, getattr(settings, name)))


def parse_settings(
    kind: type[T], description: str | None, section: str | None = None, argv: list[str] | None = None
) -> T:
    """Parse the command line of an entry script.

    Args:
        kind: the settings class.
        description: the script's docstring, shown by --help.
        section: the recipe's section; it may name settings in braces, for example "finetune_{task}". None: the
            registry knows it; "": only the keys that all stages share.
        argv: the command line; None: this process's own.

    Returns:
        The resolved settings, paths filled in. Raises `UserError` for a value that is out of bounds.
    """
    parser = parser_of(kind, description)
    argv = sys.argv[1:] if argv is None else argv
    namespace = parse_arguments(parser, argv)
    if getattr(namespace, "config", None) is not None:
        if section is None:
            section = section_of(kind, vars(namespace))
        if section is not None:
            defaults = from_recipe(section.format(**vars(namespace)), kind, namespace.config)
            parser.set_defaults(**dataclasses.asdict(defaults))
            namespace = parse_arguments(parser, argv)
    settings = kind(**{each.name: getattr(namespace, each.name) for each in dataclasses.fields(kind)})
    check_bounds(settings)
    fill_paths(settings)
    return settings
