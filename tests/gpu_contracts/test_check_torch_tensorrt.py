"""tools/gpu/check_torch_tensorrt.py, without the 6 GB that it installs, and with stand-ins for its worker."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import namedtuple
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from live_sr.errors import EngineError, MissingPart
from live_sr.models import zoo
from tools.gpu import check_torch_tensorrt as check
from tools.gpu.torch_tensorrt_report import Run, find_problem, write_report

Usage = namedtuple("Usage", "total used free")

# Answers as the real one, but for a network that kills it.
WORKER = """
import json, os, sys
request = json.load(sys.stdin)
print(json.dumps({"versions": {"torch": "2.14.1"}}), flush=True)
for job in request["jobs"]:
    if job.get("precision") == "fp32":
        print("Segmentation fault", file=sys.stderr, flush=True)
        os._exit(139)
    engines = {name: {"bytes": 1000, "seconds": 0.5} for name in ["none named", *request["capabilities"]]}
    print(json.dumps(job | {"seconds": {}, "network": {}, "engines": engines}), flush=True)
"""


def answer(**other: Any) -> dict[str, Any]:
    """As a worker's, for a network that compiled."""
    network = {"layers": 87, "inputs": ["uint8 1x540x960x4"], "outputs": ["uint8 1x1080x1920x4"]}
    engines = {"none named": {"bytes": 894484, "seconds": 0.44}, "SM75": {"bytes": 895692, "seconds": 0.3}}
    engines["SM75"] |= {"kernels": 10, "moved": 156723200, "activations": 37709824}
    job = {"kind": "network", "model": "fast", "scale": 2, "precision": "fp16", "width": 960, "height": 540}
    return job | {"seconds": {"export": 0.4, "convert": 0.8}, "network": network, "engines": engines} | other


REFUSED = answer(kind="reordered uint8", refused="first input has type UInt8", network={}, engines={})


def run_main(monkeypatch: pytest.MonkeyPatch, *flags: object) -> int:
    """Its exit code. It cannot make an environment, which would install 6 GB if a check before that were broken."""
    monkeypatch.setattr(sys, "executable", "/no/python")
    monkeypatch.setattr(sys, "argv", ["check_torch_tensorrt", *map(str, flags)])
    return check.main()


def test_every_shipped_network_is_built_in_both_precisions_at_every_size() -> None:
    control, *builds = check.list_jobs([], check.SIZES)
    assert control["kind"] != "network"
    expected = {(card.name, card.scale, p) for card in zoo.list_cards() for p in ("fp16", "fp32")}
    assert {(job["model"], job["scale"], job["precision"]) for job in builds} == expected
    assert len(builds) == len(expected) * len(check.SIZES)
    assert {(job["width"], job["height"]) for job in builds} >= {(960, 540), (1920, 1080), (487, 273)}
    assert {job["model"] for job in check.list_jobs(["turbo"], ["64x36"])[1:]} == {"turbo"}


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--models", "fats"), 7, 'there is no model called "fats". Did you mean "fast"?'),
        (("--sizes", "960"), 2, '"960" is no size of frames'),
        (("--sizes", "0x540"), 2, '"0x540" is no size of frames'),
    ],
)
def test_a_wrong_flag_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], code: int, words: str
) -> None:
    assert run_main(monkeypatch, *flags) == code
    assert words in capsys.readouterr().err


def test_a_full_disk_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(9e9, 6e9, 3e9))
    assert run_main(monkeypatch, "--venv", tmp_path / "new" / "venv") == 8
    said = capsys.readouterr().err.splitlines()
    assert "has 3.0 GB free, and the packages take 10.0 GB" in said[0] and len(said) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    precious = tmp_path / "thesis.txt"
    precious.write_text("years of work")
    assert run_main(monkeypatch, "--venv", tmp_path) == 2
    assert "has something else in it" in capsys.readouterr().err
    assert precious.read_text() == "years of work"


def test_an_environment_without_a_python_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyvenv.cfg").touch()
    assert run_main(monkeypatch, "--venv", tmp_path) == 8
    assert "does not run: No such file or directory" in capsys.readouterr().err


def make_environment(folder: Path, pip: str) -> Path:
    """What looks like a virtual environment; `pip` is what its Python does when pip is asked for."""
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").touch()
    python = folder / "bin" / "python"
    python.write_text(f"#!/bin/sh\n{pip}\n")
    python.chmod(0o755)
    return folder


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Python is a shell script")
def test_without_a_network_pip_is_quoted_and_an_environment_that_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pip = 'echo "WARNING: retrying" >&2; echo "ERROR: No matching distribution found for torch" >&2; exit 1'
    folder = make_environment(tmp_path / "venv", pip)
    assert run_main(monkeypatch, "--venv", folder) == 8
    said = capsys.readouterr().err
    assert "pip cannot install torch==2.14.1 and torch-tensorrt-rtx==2.14.0: No matching distribution found" in said
    assert "Traceback" not in said and (folder / "bin" / "python").is_file()


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Python is a shell script")
@pytest.mark.parametrize("keep", [False, True])
def test_an_environment_that_was_there_is_used_and_stays(tmp_path: Path, keep: bool) -> None:
    folder = make_environment(tmp_path / "venv", "exit 0")
    with check.open_venv(folder, keep) as (python, size):
        assert python == folder / "bin" / "python" and size > 0
    assert python.is_file()


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Python is a shell script")
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("pip", ["exit 0", "exit 1"])
def test_an_environment_that_is_made_here_is_removed_unless_it_is_to_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool, pip: str
) -> None:
    made = make_environment(tmp_path / "made", pip)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncp -r {made} "$3"\n')  # in place of: python -m venv FOLDER
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(check, "VENV_BYTES", 0)
    folder = tmp_path / "venv"
    with suppress(MissingPart), check.open_venv(folder, keep) as (found, _):
        assert found == folder / "bin" / "python" and found.is_file() and pip == "exit 0"
    assert folder.exists() == keep


def test_a_network_that_kills_the_worker_does_not_take_the_others_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = check.list_jobs(["fast"], ["64x36"])
    versions, results = check.run_jobs([sys.executable, "-c", WORKER], jobs)
    assert versions == {"torch": "2.14.1"}
    assert [{key: result[key] for key in job} for job, result in zip(jobs, results, strict=True)] == jobs
    refused = {result["precision"] for result in results if "refused" in result}
    assert refused == {"fp32"} and "Segmentation fault" in results[-1]["refused"]
    assert all(len(result["engines"]) == 1 + len(check.CAPABILITIES) for result in results if "refused" not in result)
    assert "5/5 fast x4 fp32 64x36: the process ended while it compiled" in capsys.readouterr().out


def test_packages_that_do_not_start_are_told() -> None:
    broken = [sys.executable, "-c", "import sys; sys.exit('ImportError: libcudart.so.13')"]
    with pytest.raises(MissingPart, match="torch-tensorrt does not start: ImportError: libcudart"):
        check.run_jobs(broken, check.list_jobs(["fast"], ["64x36"]))


WRONG = [
    (answer(refused="TensorRT cannot build fast x2: no"), "TensorRT cannot build fast x2: no"),
    (answer(engines={"none named": {"bytes": 9, "seconds": 1.0}, "SM75": {"refused": "no kernel"}}), "SM75: no kernel"),
    (answer(width=480), "it goes from"),
    (answer(scale=4), "it goes from"),
    (answer(network={"layers": 1, "inputs": ["half 1x540x960x4"], "outputs": ["uint8 1x1080x1920x4"]}), "half"),
    (answer(network={}, engines={}), "it goes from"),
]


@pytest.mark.parametrize(("build", "words"), WRONG)
def test_whatever_is_wrong_with_a_build_ends_the_check_with_an_error(build: dict[str, Any], words: str) -> None:
    assert find_problem(answer()) == "" and words in find_problem(build)
    check.judge(REFUSED, [answer()])
    with pytest.raises(EngineError, match="1 of 2 builds"):
        check.judge(REFUSED, [answer(), build])


def test_a_check_that_refuses_nothing_proves_nothing() -> None:
    with pytest.raises(EngineError, match="should refuse"):
        check.judge(answer(kind="reordered uint8"), [answer()])


def test_the_report_has_everything_as_data_and_the_compilers_words_on_its_page(tmp_path: Path) -> None:
    builds = [answer(), answer(precision="fp32", refused="no kernel for | here", network={}, engines={})]
    versions = {"torch": "2.14.1", "tensorrt-rtx-cu13-libs": "1.6.1.120"}
    page = write_report(tmp_path / "new", Run(versions, REFUSED, builds, 6_000_000_000, 600.0, 2))
    text = page.read_text("utf-8")
    assert "1 builds have problems; compiled: 2 engines from 2 builds" in text
    assert "| fast x2 fp32 960x540 | no kernel for \\| here |" in text
    assert "| fast ×2 fp16 | 87 | 0.4 | 0.8 | 0.4 | 0.89 | 0.90 |" in text
    assert "| fast ×2 fp16 | 10, 157 |" in text
    assert "first input has type UInt8" in text and "| torch | 2.14.1 |" in text
    data = json.loads(page.with_suffix(".json").read_text("utf-8"))
    assert data["builds"] == builds and data["control"] == REFUSED and data["versions"] == versions
    assert len(list(page.parent.iterdir())) == 2


def test_a_report_without_problems_says_so(tmp_path: Path) -> None:
    page = write_report(tmp_path, Run({}, REFUSED, [answer()], 6_000_000_000, 600.0, 2))
    text = page.read_text("utf-8")
    assert "**2 engines from 1 builds, none refused.**" in text and "Problems" not in text
