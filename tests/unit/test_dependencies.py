"""What is installed tomorrow is what was tested: no dependency may grow by a major version unseen."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = {
    line: Requirement(line)
    for line in chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    if not line.startswith("live-sr[")
}


@pytest.mark.parametrize("line", REQUIREMENTS)
def test_every_dependency_has_an_upper_bound(line: str) -> None:
    assert {"<", "==", "<="} & {part.operator for part in REQUIREMENTS[line].specifier}


@pytest.mark.parametrize("line", REQUIREMENTS)
def test_what_is_installed_here_is_within_its_range(line: str) -> None:
    requirement = REQUIREMENTS[line]
    try:
        here = version(requirement.name)
    except PackageNotFoundError:
        pytest.skip(f"{requirement.name} is not installed")
    assert requirement.specifier.contains(here.partition("+")[0], prereleases=True)
