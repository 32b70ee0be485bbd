"""The Dockerfile and the script that it calls fit each other and the project. `.ci/container.py` builds the image."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SCRIPT = (ROOT / "tools" / "container.sh").read_text("utf-8")
STEPS = [line.split() for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if line[:1] not in ("", "#")]


def test_every_step_is_one_of_the_script_and_every_extra_one_of_the_project() -> None:
    known = set(re.findall(r"^    ([a-z-]+)\) ", SCRIPT, re.MULTILINE))
    runs = [words for words in STEPS if words[0] == "RUN"]
    assert {words[3] for words in runs} == known
    extras = {extra for words in runs if words[3] == "install" for extra in words[5:]}
    assert extras == {"serve", "rtx"}
    assert extras <= set(PROJECT["optional-dependencies"])


def test_what_is_copied_is_there_and_what_the_build_needs_is_let_in() -> None:
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[0] == "!"]
    assert [name for name in let_in if not (ROOT / name).exists()] == []
    assert {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], "live_sr", "tools/constraints"} <= {*let_in}
    stages = {words[3] for words in STEPS if words[0] == "FROM"}
    for words in STEPS:
        if words[0] == "COPY" and words[1].startswith("--from="):
            assert words[1][7:] in stages
        elif words[0] == "COPY":
            assert {*words[1:-1]} <= {".", *let_in}


def test_the_health_check_is_a_file_of_the_image() -> None:
    (words,) = (words for words in STEPS if words[0] == "HEALTHCHECK")
    path = PurePosixPath(json.loads(" ".join(words[2:]))[-1])
    assert ["COPY", f"tools/{path.name}", f"{path.parent}/"] in [[w[0], w[-2], w[-1]] for w in STEPS]


def test_only_packages_for_windows_are_left_out() -> None:
    found = re.search(r'^windows="(.*)"$', SCRIPT, re.MULTILINE)
    assert found
    assert set(found[1].split()) <= {Requirement(line).name for line in PROJECT["dependencies"]}


def test_the_script_is_one() -> None:
    shell = shutil.which("sh")
    if shell is None:
        pytest.skip("there is no sh")
    done = subprocess.run([shell, "-n", ROOT / "tools" / "container.sh"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
