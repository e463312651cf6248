"""From records to the two pages, the card and the report: every number in them is read from a record here."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mobilebert_ja.card import processors, teachers
from mobilebert_ja.card.metadata import metadata
from mobilebert_ja.card.names import TASKS, in_japanese
from mobilebert_ja.card.tables import checkpoint, cuts, scores, service, speed, summary, unlabelled
from mobilebert_ja.card.tables.ablations import TRIAL_COLUMNS, ablation_tables, trial_tables
from mobilebert_ja.card.values import MISSING, find, megabytes, minutes, myriads, number, percent
from mobilebert_ja.common.errors import UserError, warn
from mobilebert_ja.common.former_names import read_record, todays_record_name

ROOT = Path(__file__).resolve().parents[3]
# What others have measured; the same for every run, so it always comes from the repository.
REFERENCES = ("published_card",)
CONTENTS = "<!-- contents -->"
GUIDE_START, GUIDE_END = "<!-- what you have -->\n", "<!-- /what you have -->\n"
BEFORE_UNIT, NO_BREAK = r"(?<=\d) (?=%|±|ms|MB|MiB|秒|分|時間|倍|万|億)|(?<=±) (?=\d)", "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Page:
    """Where a page's links lead, relative to the page.

    Attributes:
        figures: a figure's name -> the light one's address.
        root: the folder that holds the card.
        other: the other page: the report for the card, the card for the report.
    """

    figures: dict[str, str]
    root: str
    other: str


def load_records(folder: Path) -> dict[str, dict[str, Any]]:
    """Every record of a folder by its name (see `processors.told_apart`), and the references.

    Scores of a part of the training data, by which settings are chosen, and of models that learned a share of it are
    left out with a warning: the pages speak of the test part and of all rows. Raises `UserError` if there is no record
    at all.
    """
    paths = [path for path in sorted(folder.glob("*.json")) if path.stem not in REFERENCES]
    found = {todays_record_name(path.stem): read_record(path) for path in paths}
    for name, record in [*found.items()]:
        settings = record.get("settings", {})
        for setting, usual in (("validate_on", None), ("train_share", 1)):
            if (value := settings.get(setting, usual)) != usual:
                warn(f"{folder / name}.json is left out: it was made with --{setting} {value}")
                found.pop(name, None)
    records = processors.told_apart(found)
    if not records:
        raise UserError(f"{folder} holds no records; the stages of the road write them.")
    for name in REFERENCES:
        records[name] = read_record(ROOT / "records" / f"{name}.json")
    return records


def render_card(records: dict[str, Any], page: Page) -> str:
    """The card as Markdown."""
    return _render("card.md", records, page)


def render_report(records: dict[str, Any], page: Page) -> str:
    """The report as Markdown, with a table of contents."""
    text = _render("report.md", records, page)
    before, after = text.split(CONTENTS)
    return before + contents(after) + after


def with_table(guide: str, records: dict[str, Any], name: str) -> str:
    """scripts/README.md with its table of what one may have, and what that brought, rendered anew between its marks.

    Args:
        guide: the file's text.
        name: of the file, for the error.

    Raises `UserError` if the marks are not there, once each and in their order.
    """
    parts = re.split(f"({GUIDE_START}|{GUIDE_END})", guide)
    if parts[1::2] != [GUIDE_START, GUIDE_END]:
        raise UserError(
            f"{name} has no place for the table: {GUIDE_START.strip()} and {GUIDE_END.strip()}, once each."
        )
    before, start, _, end, after = parts
    page = Page({}, "..", "../README.md")
    return before + start + _render("guide.md", records, page) + end + after


def contents(text: str) -> str:
    """The headings of the second and third level as a list of links."""
    headings = re.findall(r"^(##|###) (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    return "\n".join(f"{'  ' * (len(marks) - 2)}- [{words}](#{anchor(words)})" for marks, words in headings)


def anchor(heading: str) -> str:
    """A heading's anchor, as GitHub and the Hub make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def picture(title: str, address: str) -> str:
    """A figure in its light and its dark form, of which the Hub shows the one that suits the reader's page."""
    dark = address.replace(".png", "-dark.png")
    return f"![{title}]({address}#hf-light-mode-only)\n![{title}]({dark}#hf-dark-mode-only)"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose cells do not break between a number and its unit, as narrow ones on a phone would."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in rows:
        lines.append(f"| {' | '.join(re.sub(BEFORE_UNIT, NO_BREAK, cell) for cell in row)} |")
    return "\n".join(lines)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["percent"] = percent
    return environment


def _render(template: str, records: dict[str, Any], page: Page) -> str:
    def bound(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: function(records, *arguments)

    return (
        _environment()
        .get_template(template)
        .render(
            metadata=metadata(records),
            practice=checkpoint.is_practice(records),
            page=page,
            figures=page.figures,
            picture=picture,
            anchor=anchor,
            table=table,
            tasks=TASKS,
            find=bound(find),
            percent=percent,
            number=number,
            megabytes=megabytes,
            minutes=minutes,
            myriads=myriads,
            ablation_tables=ablation_tables(records),
            trial_tables=trial_tables(records),
            trial_columns=TRIAL_COLUMNS,
            in_japanese=in_japanese,
            scores=scores,
            checkpoint=checkpoint,
            cuts=cuts,
            processors=processors,
            service=service,
            speed=speed,
            summary=summary,
            teachers=teachers,
            unlabelled=unlabelled,
            brought=bound(unlabelled.brought),
            records=records,
            missing=MISSING,
        )
    )


def relative_address(path: Path, start: Path) -> str:
    """Address of a file as a link in a page that stands in the folder `start`."""
    return os.path.relpath(path, start).replace(os.sep, "/")
