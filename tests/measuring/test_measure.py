"""measure.py itself: it lists its names without loading what they need, knows no others, and has a help for each."""

import subprocess
import sys

import pytest

from helpers.paths import SCRIPTS
from helpers.running.measurements import run_measurement
from measure import MEASUREMENTS, first_line


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["--help"], ["nothing"]])
def test_the_names_are_listed(arguments):
    code = "import sys, measure\ntry: measure.main()\nfinally: print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=SCRIPTS, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == (1 if arguments == ["nothing"] else 0), done.stderr
    assert done.stdout.endswith("False\n")  # what the measurements need is not loaded
    listed = done.stderr if arguments == ["nothing"] else done.stdout
    for name in MEASUREMENTS:
        assert f"\n  {name} " in listed
    assert ("There is no measurement 'nothing'" in done.stderr) == (arguments == ["nothing"])


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_each_has_its_own_help(name, capsys):
    done = run_measurement(capsys, name, "--help")
    assert done.status == 0 and f"usage: measure.py {name} " in done.out
    line = first_line(MEASUREMENTS[name])
    assert len(line) > 20 and (name == "compare" or line[:40] in " ".join(done.out.split()))
