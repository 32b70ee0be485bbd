"""Tests that take many minutes run only when they are asked for, with every way of starting the tests."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tools import start


def test_the_tests_without_pytorch_leave_out_what_the_others_do() -> None:
    settings = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text("utf-8"))
    assert f"-m '{start.LEFT_OUT}'" in settings["tool"]["pytest"]["ini_options"]["addopts"]
