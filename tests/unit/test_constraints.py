"""The versions that tools/start.py installs: a file for every Python we say we support, and nothing of one machine."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FILES = sorted((ROOT / "tools" / "constraints").glob("py*.txt"))
LINUX = {"sys_platform": "linux"}
PIN = re.compile(r'[a-z0-9-]+==[0-9][0-9a-z.]*(; sys_platform == "linux")?')


def pins(file: Path) -> dict[str, str]:
    lines = [line for line in file.read_text("utf-8").splitlines() if not line.startswith("#")]
    return {r.name: str(r.specifier).removeprefix("==") for r in map(Requirement, lines)}


def name_of(requirement: Requirement) -> str:
    return re.sub(r"[-_.]+", "-", requirement.name).lower()


def ranges(lists: list[list[str]]) -> list[Requirement]:
    return [r for listed in lists for line in listed if (r := Requirement(line)).name != "live-sr"]


def test_every_supported_python_has_its_file() -> None:
    told = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.fullmatch(r".*Python :: 3\.\d+", c)]
    assert told
    assert [file.name for file in FILES] == [f"py{version.replace('.', '')}.txt" for version in told]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_holds_exact_versions_and_names_no_place(file: Path) -> None:
    lines = [line for line in file.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert [line for line in lines if not PIN.fullmatch(line)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_holds_every_package_that_is_always_installed(file: Path) -> None:
    always = [r for r in ranges([PROJECT["dependencies"]]) if r.marker is None or r.marker.evaluate(LINUX)]
    assert {name_of(r) for r in always} - set(pins(file)) == set(), "test with it, then run tools/lock.py"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_its_versions_are_within_the_ranges_of_the_project(file: Path) -> None:
    held = pins(file)
    asked = ranges([PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()])
    wrong = [
        (str(r), held[name_of(r)]) for r in asked if name_of(r) in held and not r.specifier.contains(held[name_of(r)])
    ]
    assert wrong == []
