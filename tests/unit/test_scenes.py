"""Painted scenes: the same one at two sizes, and the same one again for the same seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tools.datasets.sprites import read_art

ROOT = Path(__file__).parents[2]


def paint(kind: str, out: Path, *more: object, seed: int = 1) -> None:
    command = [sys.executable, "-m", "tools.datasets.scenes", kind, "--count", "2", "--seed", str(seed)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "QT_QPA_PLATFORM": "offscreen"}
    subprocess.run([*command, "--out", str(out), *map(str, more)], env=environment, cwd=ROOT, check=True)


def art(folder: Path) -> Path:
    """A game's pictures: a sheet of ground tiles, and one of figures with nothing between them."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    tiles = random.integers(0, 256, (64, 128, 3)).astype(np.uint8)
    cv2.imwrite(str(folder / "tiles.png"), tiles)
    figures = np.zeros((48, 96, 4), np.uint8)
    for x in range(4, 96, 24):
        figures[8:40, x : x + 16] = (*random.integers(0, 256, 3), 255)
    cv2.imwrite(str(folder / "figures.png"), figures)
    return folder


@pytest.mark.torch  # what reads the pairs imports it
@pytest.mark.parametrize("kind", ["ui", "pixel", "menu", "sprites", "over a game"])
def test_a_scene_is_the_same_at_both_sizes(kind: str, tmp_path: Path) -> None:
    from live_sr.training.dataset import compute_psnr_y, read_pairs

    if kind == "sprites":
        paint("pixel", tmp_path / "out", "--sprites", art(tmp_path / "art"))
    elif kind == "over a game":
        paint("pixel", tmp_path / "game", seed=3)
        paint("menu", tmp_path / "out", "--behind", tmp_path / "game")
    else:
        paint(kind, tmp_path / "out")
    pairs = read_pairs(tmp_path / "out", 4)
    assert [pair.small.shape for pair in pairs] == [(270, 480, 3)] * 2
    assert len({pair.place for pair in pairs}) == 2
    for pair in pairs:
        assert pair.large.shape == (1080, 1920, 3)
        small = cv2.resize(pair.large, (480, 270), interpolation=cv2.INTER_AREA)
        there = compute_psnr_y(small, pair.small)
        for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            assert there > compute_psnr_y(np.roll(small, shift, (0, 1)), pair.small) + 1


def test_a_desktop_is_a_large_picture_with_small_text_all_over_it(tmp_path: Path) -> None:
    paint("desktop", tmp_path)
    pictures = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(tmp_path.glob("*.png"))]
    assert [picture.shape for picture in pictures] == [(1080, 1920)] * 2
    painted = np.mean([cv2.Canny(picture, 100, 200) > 0 for picture in pictures], axis=0)
    quarters = [half for rows in np.split(painted, 2) for half in np.split(rows, 2, axis=1)]
    assert min(quarter.mean() for quarter in quarters) > 0.005  # edges; a blank quarter has none


def test_a_seed_says_which_scene(tmp_path: Path) -> None:
    paint("ui", tmp_path / "a", seed=1)
    paint("ui", tmp_path / "b", seed=2)
    name = "ui0002_00000.png"
    assert (tmp_path / "a" / "lr" / name).read_bytes() == (tmp_path / "b" / "lr" / name).read_bytes()
    assert (tmp_path / "a" / "lr" / "ui0001_00000.png").read_bytes() != (tmp_path / "a" / "lr" / name).read_bytes()


def test_a_folder_without_art_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        paint("pixel", tmp_path / "out", "--sprites", tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_sheet_of_art_is_cut_into_its_tiles_and_figures(tmp_path: Path) -> None:
    (found,) = read_art([art(tmp_path / "art")])
    assert list(found.tiles) == [16]
    assert [tile.shape for tile in found.tiles[16]] == [(16, 16, 4)] * 16
    assert [figure.shape for figure in found.figures] == [(32, 16, 4)] * 4
