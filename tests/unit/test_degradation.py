"""Large pictures made small: each kernel does what its name says, and the same seed the same thing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from live_sr.errors import UsageError
from live_sr.imaging import degradation
from live_sr.imaging.degradation import (
    KINDS,
    LIGHT,
    PAPER,
    Picture,
    degrade_second_order,
    make_blur_kernel,
    make_sinc_kernel,
    shrink,
)
from live_sr.training.pairs import degrade, options

ROOT = Path(__file__).parents[2]

SCALES = (2, 3, 4)


@pytest.fixture
def scene() -> Picture:
    """192x144: soft shapes, a hard edge and some grain."""
    random = np.random.default_rng(3)
    soft = cv2.resize(random.integers(0, 256, (9, 12, 3)).astype(np.uint8), (192, 144), interpolation=cv2.INTER_CUBIC)
    soft[40:90, 60:120] = (20, 200, 240)
    return np.clip(soft + random.normal(0, 6, soft.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", options.KINDS)
@pytest.mark.parametrize("scale", SCALES)
def test_a_picture_becomes_as_many_times_smaller(scene: Picture, kind: str, scale: int) -> None:
    small = degrade.degrade(scene, scale, kind, seed=5)
    assert small.shape == (144 // scale, 192 // scale, 3)
    assert small.dtype == np.uint8


@pytest.mark.parametrize("kind", options.KINDS)
def test_the_same_seed_gives_the_same_picture(scene: Picture, kind: str) -> None:
    assert np.array_equal(degrade.degrade(scene, 4, kind, 7), degrade.degrade(scene, 4, kind, 7))


def test_another_seed_gives_another_second_order_degradation(scene: Picture) -> None:
    results = {shrink(scene, 4, "realesrgan", seed).tobytes() for seed in range(6)}
    assert len(results) == 6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0, 90, 255])
def test_a_single_colour_stays_what_it_is(kind: str, value: int) -> None:
    flat = np.full((48, 64, 3), value, np.uint8)
    small = np.mean([shrink(flat, 4, kind, seed).mean() for seed in range(20)])
    assert abs(small - value) < (20 if kind == "realesrgan" else 0.01)  # noise is clipped at black and at white


@pytest.mark.torch
@pytest.mark.parametrize("scale", SCALES)
def test_bicubic_is_the_antialiased_one_of_other_libraries(scene: Picture, scale: int) -> None:
    torch = pytest.importorskip("torch")
    planes = torch.from_numpy(scene.transpose(2, 0, 1).astype(np.float32))[None]
    size = (144 // scale, 192 // scale)
    theirs = torch.nn.functional.interpolate(planes, size=size, mode="bicubic", antialias=True)[0]
    theirs = theirs.permute(1, 2, 0).clamp(0, 255).numpy()
    inner = np.s_[4:-4, 4:-4]  # edges are continued differently
    assert np.abs(shrink(scene, scale, "bicubic")[inner] - theirs[inner]).max() < 0.51


def test_box_is_the_mean_of_each_block(scene: Picture) -> None:
    means = scene.reshape(36, 4, 48, 4, 3).mean((1, 3))
    assert np.abs(shrink(scene, 4, "box") - means).max() <= 0.5


def test_kernels_differ_in_how_they_treat_what_is_too_fine() -> None:
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[:, ::3] = 255
    spread = {kind: float(shrink(stripes, 4, kind)[:, 3:-3].std()) for kind in ("box", "bicubic", "lanczos", "point")}
    assert spread["lanczos"] < spread["bicubic"] < spread["box"] < spread["point"]


@pytest.mark.parametrize("scale", SCALES)
def test_a_point_sample_lies_where_its_description_says(scale: int) -> None:
    rows, columns = np.mgrid[:48, :96]
    ramp = np.dstack((rows, columns, rows)).astype(np.uint8)
    small = shrink(ramp, scale, "point")
    assert [int(v) for v in small[1, 2, :2]] == [scale + scale // 2, 2 * scale + scale // 2]


def test_the_command_s_point_samples_lie_around_the_middle_in_the_mean() -> None:
    rows, columns = np.mgrid[:48, :96]
    ramp = np.dstack((rows, columns, rows)).astype(np.uint8)
    off = [degrade.degrade(ramp, 4, "point", seed)[3, 5, :2] - (13.5, 21.5) for seed in range(400)]
    assert np.abs(off).max() == 0.5
    assert np.abs(np.mean(off, 0)).max() < 0.1


@pytest.mark.parametrize("kind", [kind for kind in options.KINDS if kind != "point"])
def test_nothing_is_moved(kind: str) -> None:
    y, x = np.mgrid[:128, :128] - 63.5
    blob = (255 * np.exp(-(x**2 + y**2) / 800)).astype(np.uint8)
    picture = np.dstack((blob,) * 3)
    shifts = []
    for seed in range(10):
        small = degrade.degrade(picture, 4, kind, seed).astype(float).mean(2)
        small = np.clip(small - 60, 0, None)  # noise on the black around it would weigh as much
        weights = small / small.sum()
        middle = (weights.sum(1) @ np.arange(32) - 15.5, weights.sum(0) @ np.arange(32) - 15.5)
        shifts.append(middle)
    assert np.abs(np.mean(shifts, 0)).max() < 0.15


def test_light_spoils_less_than_the_paper_s(scene: Picture) -> None:
    clean = shrink(scene, 4, "box").astype(float)
    errors = {
        name: np.mean([
            np.abs(degrade_second_order(scene, 4, np.random.default_rng(n), settings) - clean).mean() for n in range(20)
        ])
        for name, settings in (("paper", PAPER), ("light", LIGHT))
    }  # fmt: skip
    assert 1 < errors["light"] < errors["paper"]


@pytest.mark.parametrize("side", [7, 13, 21])
@pytest.mark.parametrize("cutoff", [1.0, 2.0, 3.1])
def test_the_sinc_filter_passes_what_is_slow_and_stops_what_is_fast(side: int, cutoff: float) -> None:
    kernel = make_sinc_kernel(cutoff, side)
    response = np.abs(np.fft.rfft(np.pad(kernel.sum(0), (0, 256 - side))))
    assert response[0] == pytest.approx(1, abs=1e-4)
    if cutoff == 1.0 and side == 21:
        assert response[round(256 * 2.5 / (2 * np.pi))] < 0.1


@pytest.mark.torch
def test_the_bessel_function_is_right() -> None:
    torch = pytest.importorskip("torch")
    x = np.linspace(0.01, 60, 500)
    assert np.abs(degradation.compute_bessel_j1(x) - torch.special.bessel_j1(torch.from_numpy(x)).numpy()).max() < 1e-6


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0])
def test_a_kernel_is_wider_along_than_across(flat: bool, shape: float) -> None:
    kernel = make_blur_kernel(3.0, 1.0, 0.0, 21, shape, flat=flat)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert kernel[10, 14] > kernel[14, 10]


@pytest.mark.parametrize(
    ("width", "height", "scale", "kind", "told"),
    [
        (65, 64, 2, "box", "65x64 cannot be made 2 times smaller"),
        (64, 63, 4, "point", "64x63"),
        (64, 64, 2, "bicubik", 'no degradation is called "bicubik"'),
    ],
)
def test_what_cannot_be_shrunk_is_told(width: int, height: int, scale: int, kind: str, told: str) -> None:
    with pytest.raises(UsageError) as error:
        shrink(np.zeros((height, width, 3), np.uint8), scale, kind)
    assert told in error.value.message
    assert error.value.remedy


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_a_stream_keeps_size_and_brightness_and_gets_worse_with_its_quality(
    size: tuple[int, int], scene: Picture
) -> None:
    picture = np.ascontiguousarray(scene[: size[0], : size[1]])
    errors = []
    for crf in (10, 28, 44):
        streamed = degrade.compress_h264(picture, crf)
        assert streamed.shape == picture.shape
        errors.append(float(np.abs(streamed.astype(float) - picture).mean()))
        if crf == 10:
            assert abs(streamed.astype(float).mean() - picture.mean()) < 0.5
    assert errors == sorted(errors)


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "live_sr", "pairs", "degrade", *(str(a) for a in arguments)]
    return subprocess.run(words, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_the_command_writes_what_the_library_makes_and_nothing_half_done(
    tmp_path: Path, scene: Picture, suffix: str
) -> None:
    frames, out = tmp_path / "frames", tmp_path / "out"
    frames.mkdir()
    for name in ("a", "b"):
        degrade.write_picture(frames / f"{name}.png", scene)
    done = command(frames, "--kind", "realesrgan", "--scale", 2, "--out", out, "--seed", 3, "--format", suffix)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == [f"a.{suffix}", f"b.{suffix}"]
    expected = degrade.degrade(scene, 2, "realesrgan", degrade.derive_seed("a", 3))
    assert np.array_equal(degrade.read_picture(out / f"a.{suffix}"), expected)


@pytest.mark.parametrize(
    ("frames", "out", "told"),
    [
        ("nowhere", "out", "there is no file or folder "),
        ("empty", "out", "holds no pictures"),
        ("broken.png", "out", "is not a readable picture"),
        ("scene.png", "broken.png", "cannot be written"),
        ("scene.png", ".", "would be overwritten"),
    ],
)
def test_the_command_tells_bad_input_in_one_sentence(
    tmp_path: Path, scene: Picture, frames: str, out: str, told: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.png").write_text("no picture")
    degrade.write_picture(tmp_path / "scene.png", scene)
    done = command(tmp_path / frames, "--out", tmp_path / out)
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2  # a sentence and a remedy
