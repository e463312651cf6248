"""Commands that a page prints, run as a reader types them in the folder of a clone."""

import importlib
import shlex
import subprocess
import sys
from pathlib import Path

from helpers.paths import ROOT


def run_line(line, monkeypatch):
    """Run one line; an entry script in this process, because its libraries take seconds to import."""
    if not line.startswith("python scripts/"):
        subprocess.run(["bash", "-c", line], check=True)
        return
    expanded = subprocess.run(["bash", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True)
    _, script, *arguments = expanded.stdout.splitlines()  # the shell's own reading of quotes and braces
    assert (ROOT / script).is_file() and len(arguments) >= len(shlex.split(line)) - 2
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    importlib.import_module(Path(script).stem).main()
