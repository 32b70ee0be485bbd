"""Filters enlarge at any size, and FSR 1 has the properties that its authors describe."""

import numpy as np
import pytest

from live_sr.engines.filters.engine import FILTERS, FilterEngine, make_resizer, resize
from live_sr.engines.filters.fsr1 import Fsr1
from live_sr.errors import EngineError
from live_sr.pipeline.frame import Frame, Pixels, Size, Stamps, get_size, make_black

SIZES = [(1, 1), (1, 40), (40, 1), (2, 2), (37, 23), (64, 48)]


def noise(size: Size, seed: int = 0) -> Pixels:
    pixels = make_black(size)
    pixels[..., :3] = np.random.default_rng(seed).integers(0, 256, (size.height, size.width, 3))
    return pixels


def diagonal(side: int, slope: float = 0.5, low: int = 40, high: int = 200, fine: int = 8) -> Pixels:
    """A straight edge, each pixel the average of fine x fine samples."""
    at = (np.arange(side * fine) + 0.5) / fine
    bright = np.where(at[:, None] - side / 2 > slope * (at[None, :] - side / 2), high, low)
    pixels = make_black(Size(side, side))
    pixels[..., :3] = bright.reshape(side, fine, side, fine).mean((1, 3)).round()[..., None]
    return pixels


def enlarged(name: str, pixels: Pixels, scale: int = 2) -> Pixels:
    done = FilterEngine(name, scale).upscale(Frame(pixels))
    assert done is not None
    return done.pixels


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FILTERS)
def test_every_size_becomes_scale_times_larger_and_stays_opaque(name: str, size: tuple[int, int], scale: int) -> None:
    pixels = enlarged(name, noise(Size(*size)), scale)
    assert get_size(pixels) == Size(*size).times(scale)
    assert (pixels[..., 3] == 255).all()


@pytest.mark.parametrize("level", [0, 1, 127, 128, 254, 255])
@pytest.mark.parametrize("name", FILTERS)
def test_a_flat_picture_stays_as_it_is(name: str, level: int) -> None:
    pixels = make_black(Size(9, 7))
    pixels[..., :3] = (level, 255 - level, 77)
    assert (enlarged(name, pixels) == pixels[0, 0]).all()


@pytest.mark.parametrize("name", FILTERS)
def test_the_result_is_drawn_into_the_lent_picture_and_keeps_its_moment(name: str) -> None:
    engine = FilterEngine(name, 2)
    engine.warm_up(Size(20, 10))
    into = make_black(Size(40, 20))
    stamps = Stamps(seen=5)
    done = engine.upscale(Frame(noise(Size(20, 10)), stamps, 3), into)
    assert done is not None
    assert done.pixels is into
    assert (done.stamps, done.number) == (stamps, 3)
    engine.close()


@pytest.mark.parametrize("name", FILTERS)
def test_a_lent_picture_of_another_size_is_not_used(name: str) -> None:
    into = make_black(Size(7, 7))
    done = FilterEngine(name, 2).upscale(Frame(noise(Size(20, 10))), into)
    assert done is not None
    assert get_size(done.pixels) == Size(40, 20)


@pytest.mark.parametrize("name", FILTERS)
def test_a_picture_that_may_not_be_written_can_be_read(name: str) -> None:
    pixels = noise(Size(12, 8))
    expected = enlarged(name, pixels)
    pixels.flags.writeable = False
    assert (enlarged(name, pixels) == expected).all()


def test_fsr_follows_a_change_of_size() -> None:
    engine = FilterEngine("fsr", 2)
    for size in (Size(20, 10), Size(11, 30), Size(20, 10)):
        done = engine.upscale(Frame(noise(size)))
        assert done is not None
        assert (done.pixels == enlarged("fsr", noise(size))).all()


def test_fsr_treats_the_colours_and_the_axes_alike() -> None:
    pixels = noise(Size(24, 24))
    swapped = np.ascontiguousarray(pixels[..., [2, 1, 0, 3]])
    turned = np.ascontiguousarray(pixels.transpose(1, 0, 2))
    done = enlarged("fsr", pixels).astype(int)
    assert np.abs(enlarged("fsr", swapped)[..., [2, 1, 0, 3]] - done).max() <= 1
    assert np.abs(enlarged("fsr", turned).transpose(1, 0, 2) - done).max() <= 1


def test_fsr_enlarges_strip_by_strip_as_it_would_at_once() -> None:
    tall = noise(Size(16, 90))
    part = np.ascontiguousarray(tall[:40])
    assert (enlarged("fsr", tall)[:70] == enlarged("fsr", part)[:70]).all()


@pytest.mark.parametrize("slope", [0.3, 0.5, 1.0])
def test_easu_draws_a_slanted_edge_better_than_bilinear_and_bicubic(slope: float) -> None:
    small, truth = diagonal(32, slope), diagonal(64, slope)[..., 0].astype(float)
    inner = np.s_[8:-8, 8:-8]
    error = {
        name: np.abs(enlarged(name, small)[..., 0].astype(float) - truth)[inner].mean()
        for name in ("bilinear", "bicubic", "fsr")
    }
    assert error["fsr"] < 0.8 * error["bilinear"]
    assert error["fsr"] < error["bicubic"]


def test_easu_does_not_ring() -> None:
    small = diagonal(32)
    large = make_black(Size(64, 64))
    Fsr1(Size(32, 32), 2, sharpness=0).draw(small, large)
    assert (large[..., :3].min(), large[..., :3].max()) == (small[..., :3].min(), small[..., :3].max())
    busy = noise(Size(32, 32))
    Fsr1(Size(32, 32), 2, sharpness=0).draw(busy, large)
    for y in range(63):
        for x in range(63):  # each output pixel stays between the four input pixels around it
            top, left = max((y - 1) // 2, 0), max((x - 1) // 2, 0)
            around = busy[top : top + 2, left : left + 2, :3]
            assert (large[y, x, :3] >= around.min((0, 1))).all()
            assert (large[y, x, :3] <= around.max((0, 1))).all()


def test_rcas_sharpens_more_the_more_it_is_asked_to() -> None:
    small = diagonal(32)
    contrast = []
    for sharpness in (0.0, 0.25, 0.5, 1.0):
        large = make_black(Size(64, 64))
        Fsr1(Size(32, 32), 2, sharpness).draw(small, large)
        contrast.append(float((np.diff(large[..., 0].astype(float), axis=0) ** 2).sum()))
    assert contrast == sorted(contrast)
    assert contrast[-1] > 1.1 * contrast[0]


@pytest.mark.parametrize(("name", "scale", "says"), [("bicubci", 2, 'Did you mean "bicubic"'), ("fsr", 0, "x0")])
def test_an_unknown_filter_is_one_sentence(name: str, scale: int, says: str) -> None:
    with pytest.raises(EngineError, match=says) as caught:
        FilterEngine(name, scale)
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["auto", *FILTERS])
@pytest.mark.parametrize("target", [(64, 48), (96, 72), (32, 24), (50, 37), (1, 1), (20, 90), (641, 7)])
def test_pictures_are_fitted_to_any_size(name: str, target: tuple[int, int]) -> None:
    pixels = make_black(Size(64, 48))
    pixels[..., :3] = (10, 120, 250)
    into = make_black(Size(*target))
    done = make_resizer(name)(pixels, Size(*target), into)
    assert done is into
    assert (done == (10, 120, 250, 255)).all()


def test_halving_averages_every_pixel() -> None:
    pixels = noise(Size(64, 48))
    mean = pixels.astype(float).reshape(24, 2, 32, 2, 4).mean((1, 3))
    assert np.abs(resize(pixels, Size(32, 24)) - mean).max() <= 0.5


def test_an_unknown_resizer_is_one_sentence() -> None:
    with pytest.raises(EngineError, match='Did you mean "nearest"'):
        make_resizer("neerest")
