"""What every stage takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar


def setting(default: Any, help: str) -> Any:
    """A field with a help text."""
    return field(default=default, metadata={"help": help})


@dataclass
class StageSettings:
    """What every stage takes."""

    places: ClassVar[dict[str, str]] = {"records_dir": "records"}  # under work_dir, unless given
    config: str | None = setting(None, "Recipe (YAML); flags win over it.")
    work_dir: str = setting("work", "Folder under which stages find each other's output.")
    data_dir: str | None = setting(None, "Folder with corpus/, livedoor/ and ner/; none: the embedded sample.")
    records_dir: str | None = setting(None, "Folder that collects a copy of every stage's record.")
    seed: int = setting(0, "Seed of everything random.")
    overwrite: bool = setting(False, "Replace existing output.")
