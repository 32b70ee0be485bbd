"""Painted scenes: the same one at two sizes, and the same one again for the same seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tools"))
from frames import psnr_y, read_pairs  # noqa: E402


def paint(kind: str, out: Path, seed: int = 1) -> None:
    command = [sys.executable, str(ROOT / "tools" / "scenes.py"), kind, "--count", "2", "--seed", str(seed)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "QT_QPA_PLATFORM": "offscreen"}
    subprocess.run([*command, "--out", str(out)], env=environment, check=True)


@pytest.mark.parametrize("kind", ["ui", "pixel"])
def test_a_scene_is_the_same_at_both_sizes(kind: str, tmp_path: Path) -> None:
    paint(kind, tmp_path)
    pairs = read_pairs(tmp_path, 4)
    assert [pair.small.shape for pair in pairs] == [(270, 480, 3)] * 2
    assert len({pair.place for pair in pairs}) == 2
    for pair in pairs:
        assert pair.large.shape == (1080, 1920, 3)
        small = cv2.resize(pair.large, (480, 270), interpolation=cv2.INTER_AREA)
        there = psnr_y(small, pair.small)
        for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            assert there > psnr_y(np.roll(small, shift, (0, 1)), pair.small) + 1


def test_a_seed_says_which_scene(tmp_path: Path) -> None:
    paint("ui", tmp_path / "a", seed=1)
    paint("ui", tmp_path / "b", seed=2)
    name = "ui0002_00000.png"
    assert (tmp_path / "a" / "lr" / name).read_bytes() == (tmp_path / "b" / "lr" / name).read_bytes()
    assert (tmp_path / "a" / "lr" / "ui0001_00000.png").read_bytes() != (tmp_path / "a" / "lr" / name).read_bytes()
