"""Pairs of frames to train on: aligned, named by place, with a manifest, from folders, videos and games."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from live_sr.errors import UsageError
from live_sr.imaging.degradation import Picture, shrink
from live_sr.imaging.picture_file import read_picture
from live_sr.training.pairs.degrade import write_picture
from live_sr.training.pairs.game_renders import TICS, DoomRenderer, make_walk_demo
from live_sr.training.pairs.options import MIXTURE
from live_sr.training.pairs.pair_folder import Alignment, get_place, make_pair_name, measure_alignment
from live_sr.training.pairs.registration import Registration
from live_sr.training.pairs.video_frames import NoveltyFilter, SceneDetector
from live_sr.training.pairs.video_pair import iterate_frame_pairs, match_videos

ROOT = Path(__file__).parents[2]

CLIP = ROOT / "live_sr" / "app" / "demo_clip" / "freedoom.mp4"


def make_pairs(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "live_sr", "pairs", *(str(a) for a in arguments)]
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
        write_picture(folder / f"game-{'abc'[number // 4]}_{number:05}.png", scene(number))
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
    assert measure_alignment(shrink(large, scale, kind), large).defect == ""


@pytest.mark.parametrize(("dx", "dy"), [(4, 0), (-4, 0), (0, 4), (3, -3), (8, 0)])
def test_a_moved_one_is_not(dx: int, dy: int) -> None:
    large = scene(2)
    moved = np.roll(large, (dy, dx), (0, 1))
    assert "shifted" in measure_alignment(shrink(moved, 4, "box"), large).defect


@pytest.mark.parametrize(("width", "height"), [(320, 180), (134, 74), (270, 46), (90, 90)])
def test_the_shift_is_right_at_every_size(width: int, height: int) -> None:
    large = scene(7, width * 2, height * 2)
    found = measure_alignment(shrink(large, 2, "box"), large)
    assert max(map(abs, found.shift)) < 0.05
    assert found.psnr > 60 > found.shifted_psnr


def test_another_instant_is_not_aligned() -> None:
    assert measure_alignment(shrink(scene(3), 4, "box"), scene(4)).defect != ""


def test_another_colour_is_no_pair() -> None:
    large = scene(5)
    small = shrink(large, 4, "box")
    assert measure_alignment(small, large).offset < 1
    assert "colours differ" in measure_alignment(small[..., [2, 0, 1]], large).defect


def test_a_flat_one_is_of_no_use() -> None:
    large = np.full((192, 320, 3), 30, np.uint8)
    assert measure_alignment(shrink(large, 4, "box"), large).defect == "it is flat"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Alignment(30, 25, (0.1, 0.2), 40), ""),
        (Alignment(30, 25, (0.1, -0.6), 40), "it is shifted by +0.10, -0.60 small pixels"),
        (Alignment(30, 31, (0.1, 0.2), 40), "it fits better one pixel aside"),
        (Alignment(30, 25, (0.1, 0.2), 1), "it is flat"),
    ],
)
def test_the_fault_is_told(found: Alignment, told: str) -> None:
    assert found.defect == told


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
    assert make_pair_name(stem) == name
    assert get_place(name) == place


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
        assert np.array_equal(read_picture(out / "hr" / row["file"]), read_picture(frames / row["file"]))
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
    write_picture(tmp_path / "frames" / "odd_1.png", scene(1, 323, 194))
    done = make_pairs("folder", tmp_path / "frames", "--out", tmp_path / "pairs", "--kind", "box")
    assert done.returncode == 0, done.stderr
    (row,) = manifest(tmp_path / "pairs")
    assert (row["small"], row["large"]) == ("80x48", "320x192")


def test_more_pairs_join_those_that_are_there(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    write_picture(tmp_path / "more" / "other_00001.png", scene(40))
    for source in (frames, tmp_path / "more", frames):
        assert make_pairs("folder", source, "--out", out).returncode == 0
    rows = manifest(out)
    assert len(rows) == 13
    assert [row["file"] for row in rows] == files(out / "lr")


def test_pairs_that_the_manifest_lacks_count_all_the_same(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    write_picture(tmp_path / "more" / "other_00001.png", scene(40))
    assert make_pairs("folder", frames, "--out", out).returncode == 0
    (out / "manifest.csv").unlink()
    write_picture(out / "lr" / "alone_00001.png", scene(41))  # is no pair
    (out / "lr" / "torn_00001.part").write_bytes(b"")
    done = make_pairs("folder", tmp_path / "more", "--out", out)
    assert "1 pairs written, 0 left out, 4 places in all" in done.stdout


def test_only_one_command_at_a_time_writes_into_a_folder(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    program = (
        "import sys; from pathlib import Path; from live_sr.training.pairs.pair_folder import PairFolder\n"
        "with PairFolder(Path(sys.argv[1]), 'png'): print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(out)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "open\n"
            refused = make_pairs("folder", frames, "--out", out)
            assert refused.returncode == 2
            assert f"another live-sr is writing pairs into {out}" in refused.stderr
            assert "wait until it has ended, or choose another folder" in refused.stderr
        finally:
            other.kill()  # what it has left does not block
    done = make_pairs("folder", frames, "--out", out)
    assert done.returncode == 0, done.stderr
    assert files(out) == ["hr", "lr", "manifest.csv"]


def test_places_of_the_test_split_are_never_made(frames: Path, tmp_path: Path) -> None:
    for side in ("lr", "hr"):
        write_picture(tmp_path / "test" / side / "game-b_00077.webp", scene(9))
    done = make_pairs("folder", frames, "--out", tmp_path / "pairs", "--never", tmp_path / "test")
    assert done.returncode == 0, done.stderr
    assert {row["place"] for row in manifest(tmp_path / "pairs")} == {"game-a", "game-c"}
    assert done.stdout.count("left out: game-b") == 1


# Two sizes


def test_pairs_that_are_drawn_already_are_checked(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    for number in range(5):
        picture = scene(number)
        write_picture(large / f"map_{number:05}.png", picture)
        lying = np.roll(picture, 5, 1) if number == 3 else picture
        write_picture(small / f"map_{number:05}.webp", shrink(lying, 4, "point"))
    (large / "map_00004.png").unlink()
    write_picture(large / "map_00000.png", scene(0, 320, 196))
    done = make_pairs("two", small, large, "--out", tmp_path / "pairs", "--format", "webp", "--game", "Doom")
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "pairs" / "lr") == files(tmp_path / "pairs" / "hr") == ["map_00001.webp", "map_00002.webp"]
    assert {(row["kind"], row["game"]) for row in manifest(tmp_path / "pairs")} == {("render", "Doom")}
    assert "left out: map_00000: 320x196 is no whole multiple of 80x48" in done.stdout
    assert "left out: map_00003: it is shifted by" in done.stdout
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
    sieve = NoveltyFilter()
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


# Two videos


def film(seed: int, frames: int, width: int = 480, height: int = 288, start: int = 0) -> Iterator[Picture]:
    """Things that move across a picture which moves too; instant `start` + n of it is always the same."""
    random = np.random.default_rng(seed)
    wide = scene(seed, width * 2, height)
    shapes = [(*random.integers(0, (width, height)), *random.integers(-9, 10, 2)) for _ in range(12)]
    for number in range(start, start + frames):
        shift = round(width / 2 * (1 + np.sin(number / 37 + seed)))
        picture = np.ascontiguousarray(wide[:, shift : shift + width])
        for at, (x, y, dx, dy) in enumerate(shapes):
            place = int((x + dx * number) % width), int((y + dy * number) % height)
            colour = tuple(int(c) for c in (40 * at % 256, 90 * at % 256, 255 - 20 * at))
            cv2.rectangle(picture, place, (place[0] + 50, place[1] + 34), colour, -1)
        yield picture


def small_film(large: Iterator[Picture], scale: int = 2) -> Iterator[Picture]:
    for picture in large:
        yield shrink(picture, scale, "box")


def written(path: Path, pictures: Iterator[Picture], rate: Fraction | int = 25, crf: int = 12) -> Path:
    with av.open(str(path), "w") as container:
        stream = None
        for picture in pictures:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": "veryfast"})
                stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv444p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        assert stream is not None
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("start", "left", "top", "right", "bottom"),
    [(0, 0, 0, 0, 0), (7, 0, 0, 0, 0), (0, 24, 12, 8, 4), (13, 6, 0, 30, 20)],
)
def test_an_offset_and_a_crop_are_found_exactly(
    tmp_path: Path, start: int, left: int, top: int, right: int, bottom: int
) -> None:
    """The large version begins `start` frames later, and has lost so many pixels at its sides."""
    small = written(tmp_path / "small.mp4", small_film(film(3, 90)))
    cropped = (p[top : p.shape[0] - bottom, left : p.shape[1] - right] for p in film(3, 90 - start, start=start))
    large = written(tmp_path / "large.mp4", cropped)
    match = match_videos(small, large)
    assert (match.clock.offset, match.clock.drift) == (pytest.approx(-start / 25, abs=1e-6), 1)
    assert match.common_area.registration == Registration(2, 2, -left, -top)
    assert match.common_area.exact and match.common_area.scale == 2
    box = match.common_area.box
    assert (box.left, box.top) == (-(-left // 2), -(-top // 2))
    assert (240 - box.right, 144 - box.bottom) == (-(-right // 2), -(-bottom // 2))
    assert match.partner.tolist() == [-1] * start + list(range(90 - start))


def test_two_videos_become_pairs(tmp_path: Path) -> None:
    small = written(tmp_path / "small.mp4", small_film(film(9, 60, 320, 192)))
    large = written(tmp_path / "large.mp4", film(9, 53, 320, 192, start=7))
    done = make_pairs("videos", small, large, "--every", 10, "--out", tmp_path / "pairs", "--game", "Film")
    assert done.returncode == 0, done.stderr
    rows = manifest(tmp_path / "pairs")
    assert {(row["kind"], row["game"], row["place"]) for row in rows} == {("video", "Film", "small-000")}
    assert [int(row["file"][:-4].rsplit("_", 1)[1]) for row in rows] == [10, 20, 30, 40, 50]
    assert all(float(row["psnr"]) > 30 for row in rows)
    assert max(abs(float(s)) for row in rows for s in row["shift"].split()) < 0.1
    assert "left out: 1 frames of which large.mp4 has none of the same instant" in done.stdout


def test_black_bars_are_left_out(tmp_path: Path) -> None:
    """The small version is letterboxed, the large one is not."""

    def boxed() -> Iterator[Picture]:
        for picture in small_film(film(4, 60)):
            yield cv2.copyMakeBorder(picture, 24, 40, 0, 0, cv2.BORDER_CONSTANT)

    match = match_videos(written(tmp_path / "small.mp4", boxed()), written(tmp_path / "large.mp4", film(4, 60)))
    assert match.common_area.registration == Registration(2, 2, 0, -48)
    assert (
        match.common_area.box.left,
        match.common_area.box.top,
        match.common_area.box.right,
        match.common_area.box.bottom,
    ) == (0, 24, 240, 168)


def test_clocks_that_drift_are_found(tmp_path: Path) -> None:
    """One version runs at 24 frames a second and the other, as on television, at 25: the same frames."""
    small = written(tmp_path / "small.mp4", small_film(film(5, 240)), 24)
    large = written(tmp_path / "large.mp4", film(5, 228, start=12), 25)
    match = match_videos(small, large)
    assert match.clock.drift == pytest.approx(24 / 25, abs=1e-4)
    assert match.clock.offset == pytest.approx(-12 / 25, abs=0.005)
    assert match.partner.tolist() == [-1] * 12 + list(range(228))


def test_of_a_rate_that_differs_only_the_same_instants_are_taken(tmp_path: Path) -> None:
    """The small version has every second frame."""
    half = (picture for number, picture in enumerate(film(6, 120)) if number % 2 == 0)
    small = written(tmp_path / "small.mp4", small_film(half), 25)
    match = match_videos(small, written(tmp_path / "large.mp4", film(6, 120), 50))
    assert match.partner.tolist() == list(range(0, 120, 2))


@pytest.mark.parametrize("factor", [2.25, 3.2])
def test_a_version_of_any_larger_size_is_resampled_to_a_whole_scale(tmp_path: Path, factor: float) -> None:
    size = round(240 * factor), round(132 * factor)
    larger = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in film(7, 60, 960, 528)]
    small = (cv2.resize(p, (240, 132), interpolation=cv2.INTER_AREA) for p in film(7, 60, 960, 528))
    match = match_videos(
        written(tmp_path / "small.mp4", small), written(tmp_path / "large.mp4", iter(np.asarray(p) for p in larger))
    )
    assert (match.common_area.registration.sx, match.common_area.registration.sy) == (
        pytest.approx(size[0] / 240, abs=0.004),
        pytest.approx(size[1] / 132, abs=0.004),
    )
    assert abs(match.common_area.registration.ox) < 0.5 and abs(match.common_area.registration.oy) < 0.5
    assert not match.common_area.exact and match.common_area.scale == int(factor)
    for one in list(iterate_frame_pairs(match))[5::20]:
        assert one.large is not None
        found = measure_alignment(match.common_area.crop_small(one.small), match.common_area.crop_large(one.large))
        assert found.defect == "" and found.psnr > 30 and max(map(abs, found.shift)) < 0.1


def test_fades_and_stills_of_two_videos_are_left_out(tmp_path: Path) -> None:
    """Moving, then a still picture, then moving and fading to black."""

    def all_of_it() -> list[Picture]:
        moves = list(film(8, 150))
        return [*moves[:60], *[moves[60]] * 50, *moves[60:110], *_faded(moves[110:150])]

    small = written(tmp_path / "small.mp4", small_film(iter(all_of_it())))
    large = written(tmp_path / "large.mp4", iter(all_of_it()))
    done = make_pairs("videos", small, large, "--every", 5, "--out", tmp_path / "pairs")
    assert done.returncode == 0, done.stderr
    numbers = [int(row["file"][:-4].rsplit("_", 1)[1]) for row in manifest(tmp_path / "pairs")]
    assert [n for n in numbers if n < 60] == list(range(0, 60, 5))
    assert len([n for n in numbers if 60 <= n <= 110]) == 1
    assert max(numbers) < 160 + 12  # the first frames of a fade cannot be told from a shadow


def _faded(pictures: list[Picture]) -> list[Picture]:
    return [(p * (1 - n / (len(pictures) - 1))).astype(np.uint8) for n, p in enumerate(pictures)]


@pytest.mark.parametrize(
    ("large", "told"),
    [
        (lambda: film(21, 90), "do not show the same"),
        (lambda: (np.ascontiguousarray(p[:, ::-1]) for p in film(20, 90)), "do not"),
        (lambda: small_film(film(20, 90)), "the large one is only 1.00 times as large"),
        (lambda: iter([scene(1)] * 90), "do not show the same"),
        (lambda: film(20, 4), "do not"),
        (lambda: (_turned(p) for p in film(20, 90)), "the two videos do not fit: "),
    ],
)
def test_videos_that_do_not_fit_are_refused_in_a_sentence(
    tmp_path: Path, large: Callable[[], Iterator[Picture]], told: str
) -> None:
    small = written(tmp_path / "small.mp4", small_film(film(20, 90)))
    done = make_pairs("videos", small, written(tmp_path / "large.mp4", large()), "--out", tmp_path / "pairs")
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2  # a sentence and a remedy
    assert not (tmp_path / "pairs").exists()


def _turned(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 1.5, 1)
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height)), np.uint8)


# Scenes


def test_one_frame_of_each_scene_is_taken(tmp_path: Path) -> None:
    shots = [(31, 25), (32, 40), (33, 8), (34, 30)]
    pictures = (picture for seed, frames in shots for picture in film(seed, frames))
    clip = written(tmp_path / "clip.mp4", pictures)
    done = make_pairs("video", clip, "--scenes", "--scale", 2, "--kind", "box", "--out", tmp_path / "pairs")
    assert done.returncode == 0, done.stderr
    numbers = [int(row["file"][:-4].rsplit("_", 1)[1]) for row in manifest(tmp_path / "pairs")]
    assert numbers == [3, 28, 68, 76]


def test_movement_is_no_new_scene() -> None:
    scenes = SceneDetector()
    assert sum(scenes.wanted(picture) for picture in film(35, 120)) == 1


# Games


def test_a_walk_is_a_demo_as_doom_reads_it() -> None:
    demo = make_walk_demo(2, 7, seed=1)
    assert demo[:4] == bytes([109, 1, 2, 7])
    assert demo[-1] == 0x80
    assert (len(demo) - 14) % 4 == 0
    assert (len(demo) - 14) / 4 >= 12 * TICS
    assert demo == make_walk_demo(2, 7, seed=1)
    assert demo != make_walk_demo(2, 7, seed=2)


@pytest.mark.parametrize(("level", "place"), [("e1m1", "syn1_e1m1"), ("E4M9", "syn1_e4m9"), ("map32", "syn2_map32")])
def test_pairs_of_a_map_have_its_name(level: str, place: str) -> None:
    assert DoomRenderer(Path(), 0, 1, 1, 0).place(level) == place


@pytest.mark.parametrize("level", ["e5m1", "map33", "map00", "oa_dm5", ""])
def test_an_unknown_map_is_told(level: str) -> None:
    with pytest.raises(UsageError, match="Freedoom has no map"):
        DoomRenderer(Path(), 0, 1, 1, 0).place(level)


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["folder", "nowhere"], "there is no file or folder nowhere"),
        (["folder", "empty"], "holds no pictures"),
        (["folder", "broken"], "is not a readable picture"),
        (["folder", "good", "--never", "empty"], "holds no lr/"),
        (["video", "nowhere.mp4"], "nowhere.mp4 cannot be played"),
        (["video", "notes.txt"], "notes.txt "),
        (["video", "notes.txt", "--every", "3", "--scenes"], "not allowed with argument"),
        (["videos", "notes.txt", "nowhere.mp4"], "notes.txt "),
        (["two", "good", "nowhere"], "there is no file or folder nowhere"),
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
    write_picture(tmp_path / "good" / "a_1.png", scene(1))
    done = make_pairs(*arguments, "--out", "pairs")
    assert done.returncode not in (0, 1)  # the code of an error that is named
    assert told in done.stderr
    assert "Traceback" not in done.stderr
