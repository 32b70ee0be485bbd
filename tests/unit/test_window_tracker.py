"""Where the overlay goes when the game moves, is minimised or closed; what the keys step through."""

import pytest
from fakes import fake_model

from live_sr.app.controls import step_model, step_scale
from live_sr.app.output_monitor import check_output_monitor, find_output_monitor
from live_sr.app.window_tracker import Placement, compute_placement, fills_screen, find_monitor
from live_sr.engines.live.build_request import Selection
from live_sr.errors import UsageError
from live_sr.pipeline.desktop_contracts import Monitor, WindowState
from live_sr.pipeline.frame import Rect, Size

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
    assert find_monitor(window, [LEFT, MAIN]) == monitor
    assert compute_placement(WindowState(window, minimised=False), [LEFT, MAIN]) == Placement(monitor.rect, game=window)


def test_the_overlay_hides_with_a_minimised_game_and_ends_with_a_closed_one() -> None:
    assert compute_placement(WindowState(Rect(0, 0, 640, 400), minimised=True), [MAIN]) == Placement(None)
    assert compute_placement(None, [MAIN]) == Placement(None, gone=True)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("auto", None),
        (1, LEFT),
        ("2", MAIN),  # as a flag gives it
        ("Main", MAIN),
        (3, None),  # has been unplugged
    ],
)
def test_the_output_monitor_has_a_number_or_a_name(wanted: str | int, found: Monitor | None) -> None:
    assert find_output_monitor(wanted, [LEFT, MAIN]) == found
    game = WindowState(Rect(100, 100, 640, 400), minimised=False)
    there = compute_placement(game, [LEFT, MAIN], found)
    assert there == Placement((found or MAIN).rect, game=game.rect)


@pytest.mark.parametrize("wanted", [0, 3, "3", "mein", ""])
def test_an_output_monitor_that_is_not_there_is_refused_with_a_list_of_those_that_are(wanted: str | int) -> None:
    with pytest.raises(UsageError) as refusal:
        check_output_monitor(wanted, [LEFT, MAIN])
    assert refusal.value.message.startswith(f"there is no monitor {wanted}.")
    assert refusal.value.remedy == "choose one of these: 1: left (1920x1080); 2: main (2560x1440)"
    assert ('Did you mean "main"?' in refusal.value.message) == (wanted == "mein")


@pytest.mark.parametrize(
    ("what", "game", "aspect", "fills"),
    [
        ("as large as the monitor", (0, 0, 2560, 1440), None, True),
        ("as high", (100, 0, 1920, 1440), None, True),
        ("smaller", (0, 0, 1280, 720), None, False),
        ("as large, on another monitor", (-1920, 0, 1920, 1440), None, False),
        ("as large, and stretched by the game", (0, 0, 2560, 1440), 4 / 3, False),
        ("as high, with that aspect already", (0, 0, 1920, 1440), 4 / 3, True),
        ("as high, and to be made narrower", (0, 0, 2304, 1440), 4 / 3, False),
    ],
)
def test_what_fills_the_screen_cannot_be_made_larger(
    what: str, game: tuple[int, int, int, int], aspect: float | None, fills: bool
) -> None:
    assert fills_screen(Rect(*game), MAIN.rect, aspect) == fills, what


@pytest.mark.parametrize(
    ("picture", "aspect", "shape"),
    [
        ((320, 200), 4 / 3, (320, 240)),
        ((640, 400), 4 / 3, (640, 480)),
        ((640, 480), 4 / 3, (640, 480)),
        ((959, 719), 4 / 3, (959, 719)),  # rounded
        ((720, 480), 16 / 9, (853, 480)),
        ((720, 480), None, (720, 480)),
        ((10, 10), 4.0, (40, 10)),
    ],
)
def test_an_aspect_makes_one_side_longer_and_none_shorter(
    picture: tuple[int, int], aspect: float | None, shape: tuple[int, int]
) -> None:
    assert Size(*picture).with_aspect(aspect) == shape


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
    assert Size(*picture).fit_into(Size(*room)) == fitted


MODELS = [fake_model("fast", 2, 4), fake_model("tall", 4), fake_model("bicubic", 2, 3, 4)]


def choose(name: str, scale: int | None) -> Selection:
    return Selection(next((model for model in MODELS if model.name == name), fake_model(name)), scale)


@pytest.mark.parametrize(
    ("now", "step", "then"),
    [
        (choose("fast", 2), 1, choose("tall", 4)),  # has no ×2: the nearest it has
        (choose("tall", 4), -1, choose("fast", 4)),
        (choose("fast", 2), -1, choose("bicubic", 2)),  # round the end
        (choose("bicubic", 3), 1, choose("fast", 2)),
        (choose("fast", None), 1, choose("tall", None)),
        (choose("my.onnx", 2), 1, choose("fast", 2)),  # not in the cycle: starts it
    ],
)
def test_the_model_key_goes_round_the_models(now: Selection, step: int, then: Selection) -> None:
    assert step_model(now, MODELS, step) == then


def test_the_scale_key_goes_through_the_scales_and_fit() -> None:
    wish, seen = choose("fast", 2), []
    for _ in range(4):
        wish = step_scale(wish)
        seen.append(wish.scale)
    assert seen == [4, None, 2, 4]
