"""What every stage takes, and how a setting is defined: its default, its meaning and its bounds in one place."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mobilebert_ja.common.errors import UserError


def setting(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Sequence[str] | None = None,
    form: tuple[str, str] | None = None,
    keys: bool | None = None,
) -> Any:
    """A field of a settings class.

    Args:
        help: shown by --help, with the unit if there is one.
        minimum, maximum: the smallest and the largest value allowed.
        above, below: limits that a value may not reach.
        choices: the only values allowed.
        form: a regular expression for the whole of a text, whatever its case, and what it is in words.
        keys: the value is JSON, for which a recipe may have keys with values.
    """
    bounds = {"minimum": minimum, "above": above, "maximum": maximum, "below": below, "choices": choices}
    bounds |= {"form": form, "keys": keys}
    return field(
        default=default, metadata={"help": help} | {name: value for name, value in bounds.items() if value is not None}
    )


def check_bounds(settings: Any) -> None:
    """Raise `UserError` for the first setting that its own definition does not allow. None is always allowed."""
    for each in dataclasses.fields(settings):
        bounds, value = each.metadata, getattr(settings, each.name)
        if value is None:
            continue
        if "choices" in bounds and value not in bounds["choices"]:
            listed = ", ".join(map(repr, bounds["choices"]))
            raise UserError(f"--{each.name} must be one of {listed}, not {value!r}.")
        if "form" in bounds and not re.fullmatch(bounds["form"][0], str(value), re.IGNORECASE | re.ASCII):
            raise UserError(f"--{each.name} must be {bounds['form'][1]}, not '{value}'.")
        limits = [
            (words, bounds[name], isinstance(value, int | float) and allowed(value, bounds[name]))
            for name, words, allowed in _LIMITS
            if name in bounds
        ]
        if not all(kept for _, _, kept in limits):
            said = " and ".join(f"{words} {limit}" for words, limit, _ in limits)
            raise UserError(f"--{each.name} must be {said}, not {value}.")


def comma_separated(text: str | None) -> list[str]:
    """The values of a setting that takes several: "svm, work/large", in their order; of None or blanks none."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def whole_numbers(name: str, text: str, minimum: int = 1) -> list[int]:
    """The values of a setting that takes several: "1,2,8", in their order.

    Raises `UserError` for what is no whole number, and for one that is smaller than `minimum`.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"--{name} takes whole numbers with commas between them, not '{text}'.")
    numbers = [int(part) for part in parts]
    if min(numbers) < minimum:
        raise UserError(f"--{name} must be at least {minimum}, not {min(numbers)}.")
    return numbers


_LIMITS = (  # written so that a value that is not a number is not allowed either
    ("minimum", "at least", lambda value, limit: value >= limit),
    ("above", "more than", lambda value, limit: value > limit),
    ("maximum", "at most", lambda value, limit: value <= limit),
    ("below", "less than", lambda value, limit: value < limit),
)


LARGEST_SEED = 2**32 - 1  # scikit-learn's


@dataclass
class StageSettings:
    """What every stage takes."""

    places: ClassVar[dict[str, str]] = {"records_dir": "records"}  # under work_dir, unless given
    config: str | None = setting(None, "Recipe (YAML); flags win over it.")
    work_dir: str = setting("work", "Folder under which stages find each other's output.")
    data_dir: str | None = setting(None, "Folder with corpus/, livedoor/ and ner/; none: the embedded sample.")
    records_dir: str | None = setting(None, "Folder that collects a copy of every stage's record.")
    seed: int = setting(0, "Seed of everything random.", minimum=0, maximum=LARGEST_SEED)
    overwrite: bool = setting(False, "Replace existing output.")


def setting_of(kind: type[StageSettings], name: str, **changed: Any) -> Any:
    """The setting that another stage has under this name: the same meaning and bounds, and the same default unless
    `default` is given."""
    known = next(each for each in dataclasses.fields(kind) if each.name == name)
    return field(default=changed.get("default", known.default), metadata=known.metadata)
