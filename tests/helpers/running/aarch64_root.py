"""Makes a folder with what an emulated ARM processor needs: Python and the libraries that answers rest on.

    python tests/helpers/running/aarch64_root.py build/aarch64
    AARCH64_ROOT=build/aarch64 python -m pytest tests/inference/test_aarch64.py

Debian's packages come by apt from the sources that this machine is set up with, the wheels by pip, in the versions
that are installed here. The machine's own packages are not touched. The emulator itself is Debian's qemu-user, 10 or
later: under 7.2, onnxruntime 1.32 ends with a segmentation fault when it is imported (1.22 does not).
"""

import importlib.util
import subprocess
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = ("python3", "libstdc++6")
WHEELS = ("numpy", "tokenizers", "fugashi", "onnxruntime")
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")


def apt_options(state: Path) -> list[str]:
    """Of an apt that knows no installed package, keeps its files in `state`, and is for ARM."""
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    options = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "true",
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": state,
    }
    return [part for name, value in options.items() for part in ("-o", f"{name}={value}")]


def make_root(root: Path) -> None:
    """Fill `root`: the packages' files, and the wheels in root/site."""
    options = apt_options(root / "apt")
    subprocess.run(["apt-get", *options, "-q", "update"], check=True)
    subprocess.run(["apt-get", *options, "-q", "-y", "--download-only", "install", *PACKAGES], check=True)
    for package in sorted((root / "apt" / "archives").glob("*.deb")):
        subprocess.run(["dpkg", "-x", package, root], check=True)
    if not (root / "lib").exists():  # where the packages have it in /usr alone
        (root / "lib").symlink_to("usr/lib")
    version = (root / "usr" / "bin" / "python3").readlink().name.removeprefix("python")
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile", "--only-binary=:all:"]
    pip += ["--python-version", version, "--upgrade", "--target", str(root / "site")]
    pip += [part for platform in PLATFORMS for part in ("--platform", platform)]
    subprocess.run([*pip, *(f"{name}=={metadata.version(name)}" for name in WHEELS)], check=True)
    dictionary = importlib.util.find_spec("unidic_lite")  # data alone, the same everywhere
    assert dictionary is not None and dictionary.origin is not None
    link = root / "site" / "unidic_lite"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(dictionary.origin).parent)


if __name__ == "__main__":
    make_root(Path(sys.argv[1]).resolve())
