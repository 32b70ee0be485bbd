"""The parts of `live-sr evaluate` that are tables of numbers."""

import numpy as np
import pytest

from live_sr.evaluate.crop_selection import CROP, find_greatest_mean
from live_sr.evaluate.datasets import get_sequence_name
from live_sr.evaluate.metrics import METRICS, BgrImage, Flicker, compute_psnr_y
from live_sr.evaluate.plot import find_pareto_front

LEVEL = 219 / 255  # of the luma, for one level of grey


def grey(level: int) -> BgrImage:
    return np.full((40, 50, 3), level, np.uint8)


def textured(seed: int) -> BgrImage:
    return np.random.default_rng(seed).integers(0, 256, (200, 220, 3), dtype=np.uint8)


@pytest.mark.parametrize(("level", "decibels"), [(101, 20 * np.log10(255 / LEVEL)), (110, 20 * np.log10(25.5 / LEVEL))])
def test_psnr_is_on_the_limited_range_luma(level: int, decibels: float) -> None:
    assert compute_psnr_y(grey(level), grey(100)) == pytest.approx(decibels, abs=1e-3)


# What some metrics are computed with
PACKAGES = {"ssim_y": ("torch", "piq"), "haarpsi": ("torch", "piq"), "flip": ("flip_evaluator",)}


@pytest.mark.parametrize(
    ("shown", "target", "places", "flicker"),
    [
        ([100, 120], [100, 120], "aa", 0.0),
        ([110, 130], [100, 120], "aa", 0.0),  # an error that stands still does not flicker
        ([100, 110], [100, 100], "aa", 10 * LEVEL),
        ([100, 110, 100], [100, 100, 100], "aaa", 10 * LEVEL),
        ([100, 110], [100, 100], "ab", None),  # a cut is no flicker
        ([100, 110, 110], [100, 100, 100], "abb", 0.0),
        ([100], [100], "a", None),
    ],
)
def test_flicker_is_the_change_of_the_error_within_a_place(
    shown: list[int], target: list[int], places: str, flicker: float | None
) -> None:
    tally = Flicker()
    for ours, theirs, where in zip(shown, target, places, strict=True):
        tally.add(grey(ours), grey(theirs), where)
    assert tally.mean() == pytest.approx(flicker, abs=1e-4)


@pytest.mark.parametrize(
    "metric",
    [
        pytest.param(metric, id=metric.name, marks=pytest.mark.needs(*PACKAGES.get(metric.name, ())))
        for metric in METRICS
        if metric.usual and metric.name != "flicker"
    ],
)
def test_every_usual_metric_prefers_the_closer_picture(metric: object) -> None:
    target = textured(1)
    near = np.clip(target.astype(int) + 4, 0, 255).astype(np.uint8)
    far = textured(2)
    figures = []
    for shown in (target, near, far):
        tally = metric.load()()  # type: ignore[attr-defined]
        tally.add(shown, target, "")
        figures.append(tally.mean())
    assert figures == sorted(figures, reverse=metric.higher)  # type: ignore[attr-defined]
    assert len(set(figures)) == 3


@pytest.mark.parametrize(
    ("stem", "where"),
    [
        ("map07_00315", "map07"),
        ("syn1_e1m3_00315", "syn1_e1m3"),
        ("frame-12", "frame"),
        ("frame00012", "frame"),
        ("000123", ""),
        ("7", ""),
        ("map07", "map07"),
        ("24_styl3d_Samples", "24_styl3d_Samples"),
    ],
)
def test_a_place_is_what_stands_before_the_number(stem: str, where: str) -> None:
    assert get_sequence_name(stem) == where


def test_the_front_holds_what_nothing_cheaper_beats() -> None:
    marks = [(3.0, 30.0), (1.0, 31.0), (10.0, 33.0), (20.0, 32.0), (1.0, 30.5)]
    assert find_pareto_front(marks, higher=True) == [(1.0, 31.0), (10.0, 33.0)]
    assert find_pareto_front(marks, higher=False) == [(1.0, 30.5), (3.0, 30.0)]


@pytest.mark.parametrize(("height", "width"), [(540, 960), (60, 50), (109, 145)])
def test_the_crop_lies_where_most_is_to_be_seen(height: int, width: int) -> None:
    values = np.zeros((height, width))
    values[height // 2 :, width // 2 :] = 1
    y, x, interest = find_greatest_mean(values)
    assert 0 <= y <= max(0, height - CROP.height)
    assert 0 <= x <= max(0, width - CROP.width)
    assert interest == pytest.approx(values[y : y + CROP.height, x : x + CROP.width].mean())
    if height > 500:
        assert interest == 1
