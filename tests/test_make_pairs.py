"""Pairs of frames to train on: aligned, named by place, with a manifest, from folders, videos and games."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from live_sr.degradation import Picture, shrink
from live_sr.errors import UsageError

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tools"))
from aligned import Alignment, alignment, named, place_of  # noqa: E402
from degrade import MIXTURE, read, write  # noqa: E402
from make_pairs import Sieve  # noqa: E402
from renders import TICS, Doom, walk  # noqa: E402

CLIP = ROOT / "live_sr" / "demo" / "freedoom.mp4"


def make_pairs(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(ROOT / "tools" / "make_pairs.py"), *(str(a) for a in arguments)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("DISPLAY", None)
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False)


def scene(seed: int, width: int = 320, height: int = 192) -> Picture:
    """Blocks, an edge and grain: something to align by."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 24, width // 16, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(float)
    cv2.circle(picture, (width // 3, height // 2), height // 5, (240, 240, 60), -1)
    return np.clip(picture + random.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """What a recording leaves: twelve pictures of three places, and its own manifest."""
    folder = tmp_path / "frames"
    for number in range(12):
        write(folder / f"game-{'abc'[number // 4]}_{number:05}.png", scene(number))
    (folder / "recording.jsonl").write_text("{}\n")
    return folder


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def manifest(out: Path) -> list[dict[str, str]]:
    with (out / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# Alignment


@pytest.mark.parametrize("kind", ["box", "bicubic", "lanczos", "point"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_shrunk_picture_is_aligned(kind: str, scale: int) -> None:
    large = scene(1, 384, 288)
    assert alignment(shrink(large, scale, kind), large).fault == ""


@pytest.mark.parametrize(("dx", "dy"), [(4, 0), (-4, 0), (0, 4), (3, -3), (8, 0)])
def test_a_moved_one_is_not(dx: int, dy: int) -> None:
    large = scene(2)
    moved = np.roll(large, (dy, dx), (0, 1))
    assert "moved" in alignment(shrink(moved, 4, "box"), large).fault


@pytest.mark.parametrize(("width", "height"), [(320, 180), (134, 74), (270, 46), (90, 90)])
def test_the_shift_is_right_at_every_size(width: int, height: int) -> None:
    large = scene(7, width * 2, height * 2)
    found = alignment(shrink(large, 2, "box"), large)
    assert max(map(abs, found.shift)) < 0.05
    assert found.psnr > 60 > found.moved_psnr


def test_another_instant_is_not_aligned() -> None:
    assert alignment(shrink(scene(3), 4, "box"), scene(4)).fault != ""


def test_a_flat_one_is_of_no_use() -> None:
    large = np.full((192, 320, 3), 30, np.uint8)
    assert alignment(shrink(large, 4, "box"), large).fault == "it is flat"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Alignment(30, 25, (0.1, 0.2), 40), ""),
        (Alignment(30, 25, (0.1, -0.6), 40), "it is moved by +0.10, -0.60 small pixels"),
        (Alignment(30, 31, (0.1, 0.2), 40), "it fits better one pixel aside"),
        (Alignment(30, 25, (0.1, 0.2), 1), "it is flat"),
    ],
)
def test_the_fault_is_told(found: Alignment, told: str) -> None:
    assert found.fault == told


@pytest.mark.parametrize(
    ("stem", "name", "place"),
    [
        ("syn1_e1m1_00035", "syn1_e1m1_00035", "syn1_e1m1"),
        ("game-a_00001", "game-a_00001", "game-a"),
        ("my_shot", "my_shot_00000", "my_shot"),
        ("0017", "0017_00000", "0017"),
    ],
)
def test_a_name_tells_its_place(stem: str, name: str, place: str) -> None:
    assert named(stem) == name
    assert place_of(name) == place


# A folder


def test_a_recording_becomes_pairs(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    done = make_pairs("folder", frames, "--out", out, "--licence", "CC0")
    assert done.returncode == 0, done.stderr
    assert files(out) == ["hr", "lr", "manifest.csv"]
    assert files(out / "lr") == files(out / "hr") == [path.name for path in sorted(frames.glob("*.png"))]
    for row in manifest(out):
        assert (row["kind"], row["small"], row["large"], row["licence"]) == ("point", "80x48", "320x192", "CC0")
        assert row["game"] == "pairs"
        assert np.array_equal(read(out / "hr" / row["file"]), read(frames / row["file"]))
    assert {row["place"] for row in manifest(out)} == {"game-a", "game-b", "game-c"}
    assert "12 pairs written, 0 left out, 3 places" in done.stdout


def test_a_mixture_names_the_kernel_of_each_pair_and_repeats_itself(frames: Path, tmp_path: Path) -> None:
    results = []
    for name in ("one", "two"):
        done = make_pairs("folder", frames, "--out", tmp_path / name, "--kind", "mixture", "--scale", 2)
        assert done.returncode == 0, done.stderr
        results.append([(path.name, path.read_bytes()) for path in sorted((tmp_path / name / "lr").iterdir())])
    assert results[0] == results[1]
    kinds = {row["kind"] for row in manifest(tmp_path / "one")}
    assert kinds <= set(MIXTURE)
    assert len(kinds) > 1


def test_a_frame_of_any_size_is_cropped_to_whole_blocks(tmp_path: Path) -> None:
    write(tmp_path / "frames" / "odd_1.png", scene(1, 323, 194))
    done = make_pairs("folder", tmp_path / "frames", "--out", tmp_path / "pairs", "--kind", "box")
    assert done.returncode == 0, done.stderr
    (row,) = manifest(tmp_path / "pairs")
    assert (row["small"], row["large"]) == ("80x48", "320x192")


def test_more_pairs_join_those_that_are_there(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    write(tmp_path / "more" / "other_00001.png", scene(40))
    for source in (frames, tmp_path / "more", frames):
        assert make_pairs("folder", source, "--out", out).returncode == 0
    rows = manifest(out)
    assert len(rows) == 13
    assert [row["file"] for row in rows] == files(out / "lr")


def test_places_of_the_test_split_are_never_made(frames: Path, tmp_path: Path) -> None:
    for side in ("lr", "hr"):
        write(tmp_path / "test" / side / "game-b_00077.webp", scene(9))
    done = make_pairs("folder", frames, "--out", tmp_path / "pairs", "--never", tmp_path / "test")
    assert done.returncode == 0, done.stderr
    assert {row["place"] for row in manifest(tmp_path / "pairs")} == {"game-a", "game-c"}
    assert done.stdout.count("left out: game-b") == 1


# Two sizes


def test_pairs_that_are_drawn_already_are_checked(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    for number in range(5):
        picture = scene(number)
        write(large / f"map_{number:05}.png", picture)
        lying = np.roll(picture, 5, 1) if number == 3 else picture
        write(small / f"map_{number:05}.webp", shrink(lying, 4, "point"))
    (large / "map_00004.png").unlink()
    write(large / "map_00000.png", scene(0, 320, 196))
    done = make_pairs("two", small, large, "--out", tmp_path / "pairs", "--format", "webp", "--game", "Doom")
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "pairs" / "lr") == files(tmp_path / "pairs" / "hr") == ["map_00001.webp", "map_00002.webp"]
    assert {(row["kind"], row["game"]) for row in manifest(tmp_path / "pairs")} == {("render", "Doom")}
    assert "left out: map_00000: 320x196 is no whole multiple of 80x48" in done.stdout
    assert "left out: map_00003: it is moved" in done.stdout
    assert "left out: map_00004: only one of the folders has it" in done.stdout


# A video


def test_a_video_becomes_pairs(tmp_path: Path) -> None:
    done = make_pairs("video", CLIP, "--every", 35, "--kind", "box", "--scale", 2, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = manifest(tmp_path)
    assert 2 <= len(rows) <= 6
    assert {(row["place"], row["small"]) for row in rows} == {("freedoom-000", "240x135")}
    assert all((int(row["file"][:-4].rsplit("_", 1)[1])) % 35 == 0 for row in rows)


def moving(count: int) -> Iterator[Picture]:
    wide = scene(5, 960, 192)
    for number in range(count):
        yield np.ascontiguousarray(wide[:, number * 4 : number * 4 + 320])


def passed(pictures: list[Picture], every: int = 5) -> list[int]:
    sieve = Sieve()
    return [n for n, picture in enumerate(pictures) if sieve.passes(picture, n % every == 0)]


def test_a_moving_scene_passes_the_sieve() -> None:
    assert passed(list(moving(40))) == list(range(0, 40, 5))


def test_a_still_scene_passes_once() -> None:
    still = scene(6)
    noise = np.random.default_rng(1)
    assert passed([np.clip(still + noise.normal(0, 2, still.shape), 0, 255).astype(np.uint8) for _ in range(40)]) == [0]


def test_a_fade_does_not_pass() -> None:
    dark = [np.zeros((192, 320, 3), np.uint8)] * 10
    moves = list(moving(100))
    level = np.interp(range(100), [0, 40, 60, 100], [0, 1, 1, 0])  # in, shown, out
    faded = [(picture * bright).astype(np.uint8) for picture, bright in zip(moves, level, strict=True)]
    shown = {n - 10 for n in passed([*dark, *faded, *dark])}
    assert shown
    assert shown <= set(range(39, 66))  # the first frames of a fade cannot be told from a shadow


def test_a_video_that_is_cut_off_gives_what_is_there(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mkv"
    with av.open(str(whole), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(10), options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"
        for picture in moving(150):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        container.mux(stream.encode(None))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    done = make_pairs("video", cut, "--every", 5, "--out", tmp_path / "pairs")
    assert done.returncode == 0, done.stderr
    assert 0 < len(manifest(tmp_path / "pairs")) < 30


# Games


def test_a_walk_is_a_demo_as_doom_reads_it() -> None:
    demo = walk(2, 7, seed=1)
    assert demo[:4] == bytes([109, 1, 2, 7])
    assert demo[-1] == 0x80
    assert (len(demo) - 14) % 4 == 0
    assert (len(demo) - 14) / 4 >= 12 * TICS
    assert demo == walk(2, 7, seed=1)
    assert demo != walk(2, 7, seed=2)


@pytest.mark.parametrize(("level", "place"), [("e1m1", "syn1_e1m1"), ("E4M9", "syn1_e4m9"), ("map32", "syn2_map32")])
def test_pairs_of_a_map_have_its_name(level: str, place: str) -> None:
    assert Doom(Path(), 0, 1, 1, 0).place(level) == place


@pytest.mark.parametrize("level", ["e5m1", "map33", "map00", "oa_dm5", ""])
def test_an_unknown_map_is_told(level: str) -> None:
    with pytest.raises(UsageError, match="Freedoom has no map"):
        Doom(Path(), 0, 1, 1, 0).place(level)


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["folder", "nowhere"], "there is no nowhere"),
        (["folder", "empty"], "holds no pictures"),
        (["folder", "broken"], "is not a readable picture"),
        (["folder", "good", "--never", "empty"], "holds no lr/"),
        (["video", "nowhere.mp4"], "nowhere.mp4 cannot be played"),
        (["video", "notes.txt"], "notes.txt "),
        (["two", "good", "nowhere"], "there is no nowhere"),
        (["doom", "--maps", "e1m1"], "a game needs a DISPLAY"),
        (["openarena", "demo.dm_71"], "a game needs a DISPLAY"),
        (["doom"], "name demos, or --maps"),
        (["doom", "--maps", "e1m1", "--large", "1920x1000"], "--large must be --small times"),
        (["openarena", "--match", "oa_dm5", "--small", "480"], '"480" is not a size'),
        (["folder", "good", "--kind", "blur"], "invalid choice: 'blur'"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "broken"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "a.png").write_text("no picture")
    (tmp_path / "notes.txt").write_text("no video")
    write(tmp_path / "good" / "a_1.png", scene(1))
    done = make_pairs(*arguments, "--out", "pairs")
    assert done.returncode not in (0, 1)  # the code of an error that is named
    assert told in done.stderr
    assert "Traceback" not in done.stderr
