"""Writes down which versions were tested with the Python that runs this: tools/constraints/py311.txt, and so on.

.venv/bin/python tools/lock.py     once the tests have passed in this environment

tools/start.py installs exactly these; `pip install .` takes whatever the ranges in pyproject.toml allow. Listed is what
live-sr and its extras need and what is installed here. A version without a wheel for Windows is held on Linux only.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

FOLDER = Path(__file__).resolve().parent / "constraints"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
HEADER = f"""\
# The versions with which live-sr was tested on Python {PYTHON}. Written by tools/lock.py; do not edit.
# A package that is not listed was not tested with this Python.
"""


def canonical_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    """What an installed package requires here, with these extras of it."""
    for line in distribution(name).requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in extras | {""}):
            yield requirement


def installed_versions() -> dict[str, str]:
    """Name and version of every installed package that live-sr or one of its extras requires, directly or not."""
    all_extras = frozenset(distribution("live-sr").metadata.get_all("Provides-Extra") or ())
    versions: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [("live-sr", all_extras)]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            version = distribution(name).version
        except PackageNotFoundError:
            continue  # of an extra that is not installed here
        versions[name] = version.partition("+")[0]  # "+cpu" says where a build came from, not which release it is
        waiting += [(canonical_name(r.name), frozenset(r.extras)) for r in needed(name, extras)]
    del versions["live-sr"]
    return versions


def has_windows_wheel(name: str, version: str) -> bool:
    """Whether pip would find this version for Windows and this Python. Downloads little more than metadata."""
    with tempfile.TemporaryDirectory() as folder:
        asked = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps", "--only-binary=:all:"),
                *("--platform=win_amd64", f"--python-version={PYTHON}", f"--target={folder}", f"{name}=={version}"),
            ],
            capture_output=True,
            check=False,
        )
    return asked.returncode == 0


def main() -> int:
    lines = [HEADER]
    for name, version in sorted(installed_versions().items()):
        marker = "" if has_windows_wheel(name, version) else '; sys_platform == "linux"'
        lines.append(f"{name}=={version}{marker}\n")
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"py{PYTHON.replace('.', '')}.txt"
    file.write_text("".join(lines), encoding="utf-8")
    print(f"{len(lines) - 1} versions in {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
