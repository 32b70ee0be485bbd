"""Where the overlay goes when the game moves, is minimised or closed; what the keys step through."""

import pytest

from live_sr.app.controls import next_scale, other_model
from live_sr.app.follow import Placement, monitor_of, placement
from live_sr.contracts import Monitor, WindowState
from live_sr.engine.orders import Wish
from live_sr.frame import Rect, Size

LEFT = Monitor("left", Rect(-1920, 0, 1920, 1080))
MAIN = Monitor("main", Rect(0, 0, 2560, 1440), primary=True)


@pytest.mark.parametrize(
    ("window", "monitor"),
    [
        (Rect(100, 100, 640, 400), MAIN),
        (Rect(-1000, 100, 640, 400), LEFT),
        (Rect(-300, 100, 640, 400), MAIN),  # more of it is on the right one
        (Rect(-400, 100, 640, 400), LEFT),
        (Rect(9000, 9000, 640, 400), MAIN),  # on none
        (Rect(10, 10, 1, 1), MAIN),
    ],
)
def test_the_overlay_goes_to_the_monitor_that_shows_most_of_the_game(window: Rect, monitor: Monitor) -> None:
    assert monitor_of(window, [LEFT, MAIN]) == monitor
    assert placement(WindowState(window, minimised=False), [LEFT, MAIN]) == Placement(monitor.rect)


def test_the_overlay_hides_with_a_minimised_game_and_ends_with_a_closed_one() -> None:
    assert placement(WindowState(Rect(0, 0, 640, 400), minimised=True), [MAIN]) == Placement(None)
    assert placement(None, [MAIN]) == Placement(None, gone=True)


@pytest.mark.parametrize(
    ("picture", "room", "fitted"),
    [
        ((480, 270), (1920, 1080), (1920, 1080)),
        ((640, 400), (1920, 1080), (1728, 1080)),
        ((640, 480), (800, 2000), (800, 600)),
        ((1920, 1080), (960, 540), (960, 540)),
        ((1, 1080), (960, 540), (1, 540)),
    ],
)
def test_a_picture_is_as_large_as_fits_with_its_aspect_kept(
    picture: tuple[int, int], room: tuple[int, int], fitted: tuple[int, int]
) -> None:
    assert Size(*picture).fitted(Size(*room)) == fitted


SCALES = {"fast": (2, 4), "tall": (4,), "bicubic": (2, 3, 4)}
MODELS = list(SCALES)


@pytest.mark.parametrize(
    ("now", "step", "then"),
    [
        (Wish("fast", 2), 1, Wish("tall", 4)),  # has no ×2: the nearest it has
        (Wish("tall", 4), -1, Wish("fast", 4)),
        (Wish("fast", 2), -1, Wish("bicubic", 2)),  # round the end
        (Wish("bicubic", 3), 1, Wish("fast", 2)),
        (Wish("fast", None), 1, Wish("tall", None)),
        (Wish("my.onnx", 2), 1, Wish("fast", 2)),  # not in the cycle: starts it
    ],
)
def test_the_model_key_goes_round_the_models(now: Wish, step: int, then: Wish) -> None:
    assert other_model(now, MODELS, step, SCALES.__getitem__) == then


def test_the_scale_key_goes_through_the_scales_and_fit() -> None:
    wish, seen = Wish("fast", 2), []
    for _ in range(4):
        wish = next_scale(wish, SCALES["fast"])
        seen.append(wish.scale)
    assert seen == [4, None, 2, 4]
