"""Where the pointer of a small game belongs on the enlarged picture, and when it is the game's alone."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pytest

from live_sr.app.pointer_geometry import FAR, PictureMapping, clamp_to_pixel, compute_area, find_exit
from live_sr.app.pointer_mapping import (
    GRAB_S,
    MOVING_S,
    REST_S,
    RESTING_S,
    CursorScale,
    PointerMapping,
)
from live_sr.app.pointer_steering import SteeringDetector
from live_sr.desktop.pointer_matrix_x11 import compute_matrix
from live_sr.desktop.pointer_x11 import compute_barriers
from live_sr.desktop.x11_requests import parse_master_pointer
from live_sr.overlay.cursor import DrawnCursor
from live_sr.pipeline.desktop_contracts import CursorShape, Monitor, PointerState
from live_sr.pipeline.frame import Rect

LEFT = Monitor("left", Rect(0, 0, 1280, 720), primary=True)
RIGHT = Monitor("right", Rect(1280, 0, 1920, 1080))
BELOW = Monitor("below", Rect(0, 720, 1280, 720))
GAME = Rect(100, 200, 320, 180)
MAPPING = PictureMapping((7,), GAME, Rect(0, 0, 1280, 720), LEFT.rect)
LETTERBOXED = PictureMapping((7,), Rect(100, 200, 320, 240), Rect(160, 0, 960, 720), LEFT.rect)
ARROW = CursorShape(np.full((16, 16, 4), 255, np.uint8), (3, 2))
NOTHING = CursorShape(np.zeros((16, 16, 4), np.uint8), (0, 0))


@pytest.mark.parametrize(
    ("mapping", "shown", "game"),
    [
        (MAPPING, (0, 0), (100, 200)),
        (MAPPING, (1279, 719), (419, 379)),
        (MAPPING, (643, 363), (260, 290)),
        (MAPPING, (-50, 5000), (100, 379)),
        (LETTERBOXED, (160, 0), (100, 200)),
        (LETTERBOXED, (163, 2), (101, 200)),
        (LETTERBOXED, (1119, 719), (419, 439)),
        (LETTERBOXED, (20, 719), (100, 439)),
        (LETTERBOXED, (1270, 0), (419, 200)),
    ],
)
def test_a_place_on_the_picture_is_a_pixel_of_the_game(
    mapping: PictureMapping, shown: tuple[int, int], game: tuple[int, int]
) -> None:
    assert mapping.to_game(*shown) == game


@pytest.mark.parametrize("size", [(320, 180), (487, 273), (640, 400), (1279, 719), (1, 1), (3, 200)])
def test_each_pixel_of_the_game_is_found_again_where_it_is_drawn(size: tuple[int, int]) -> None:
    mapping = PictureMapping((1,), Rect(-11, 17, *size), Rect(40, 3, 1000, 700), LEFT.rect)
    for x in range(-11, size[0] - 11):
        y = 17 + (x * 7919) % size[1]
        drawn_x, drawn_y = mapping.to_picture(x + 0.5, y + 0.5)
        assert mapping.to_game(drawn_x, drawn_y) == (x, y)


@pytest.mark.parametrize(
    ("monitors", "let_go", "area"),
    [
        ([LEFT], True, GAME),
        ([LEFT, RIGHT, BELOW], False, GAME),
        ([LEFT, RIGHT], True, Rect(100, 200, 320 + FAR, 180)),
        ([LEFT, BELOW], True, Rect(100, 200, 320, 180 + FAR)),
        ([LEFT, Monitor("apart", Rect(1280, 720, 800, 600))], True, GAME),
        ([LEFT, Monitor("above", Rect(0, -600, 800, 600)), Monitor("west", Rect(-800, 0, 800, 600))], True,
         Rect(100 - FAR, 200 - FAR, 320 + FAR, 180 + FAR)),
    ],
)  # fmt: skip
def test_the_pointer_may_leave_only_where_it_is_let_and_a_monitor_is(
    monitors: Sequence[Monitor], let_go: bool, area: Rect
) -> None:
    assert compute_area(MAPPING, monitors, let_go) == area


@pytest.mark.parametrize(
    ("place", "reached"),
    [
        ((420, 245.0), (1280, 180)),
        ((500, 200.0), (1280, 0)),
        ((420, 379.9), (1280, 716)),
        ((300, 380.0), (800, 720)),
        ((99, 245.0), None),  # no monitor there
        ((300, 199.0), None),
        ((300, 300.0), None),  # within the game
    ],
)
def test_a_pointer_that_leaves_the_game_reaches_the_monitor_behind_the_edge(
    place: tuple[float, float], reached: tuple[int, int] | None
) -> None:
    assert find_exit(*place, MAPPING, [LEFT, RIGHT, BELOW]) == reached


def test_the_bars_beside_the_picture_are_crossed_at_once() -> None:
    assert find_exit(420, 320, LETTERBOXED, [LEFT, RIGHT]) == (1280, 360)


PATHS = {
    # (seconds, x, y) of a game that puts the pointer back to 200, 150 while the hand moves
    "put back at 60 fps": ([(n * 0.005, 200 + (n % 3 > 0) * 9, 150) for n in range(60)], True),
    "put back at 20 fps": ([(n * 0.005, 200 + (n % 10) * 2, 150) for n in range(120)], True),
    "a hand that goes on": ([(n * 0.005, 200 + n * 3, 150 + n) for n in range(120)], False),
    "a hand that trembles": ([(n * 0.005, 200 + n % 2, 150) for n in range(400)], False),
    "a hand that goes to and fro": ([(n * 0.02, 200 + abs(n % 40 - 20) * 4, 150) for n in range(200)], False),
    "a hand at rest": ([(n * 0.005, 200, 150) for n in range(400)], False),
}


@pytest.mark.parametrize("name", PATHS)
def test_a_game_that_puts_the_pointer_back_is_told_from_a_hand(name: str) -> None:
    path, steered = PATHS[name]
    detector = SteeringDetector()
    found = [detector.observe(*step, hidden=True, pressed=False, grabbed=False) for step in path]
    assert found[-1] is steered
    assert any(found) is steered


def test_a_game_that_steers_does_so_until_it_shows_the_pointer() -> None:
    detector = SteeringDetector()
    path, _ = PATHS["put back at 60 fps"]
    shown = [detector.observe(*step, hidden=False, pressed=False, grabbed=True) for step in path]
    dragged = [detector.observe(*step, hidden=True, pressed=True, grabbed=False) for step in path]
    assert not any(shown), "a pointer that is seen belongs to the player"
    assert not any(dragged), "a map that is dragged under a fixed pointer is no view"
    assert detector.observe(1.0, 5, 5, hidden=True, pressed=False, grabbed=True), "taken by the game"
    for step in path:
        detector.observe(*step, hidden=True, pressed=False, grabbed=False)
    assert detector.observe(99.0, 400, 300, hidden=True, pressed=False, grabbed=False)
    assert not detector.observe(99.1, 400, 300, hidden=False, pressed=False, grabbed=False)
    assert not detector.observe(99.2, 400, 300, hidden=True, pressed=False, grabbed=False)


class FakePointer:
    """A pointer that does what it is told. `focused` and `taken`: what the game has."""

    def __init__(self, x: float = 640, y: float = 360) -> None:
        self.x, self.y, self.pressed, self.shape = x, y, False, ARROW
        self.focused, self.taken, self.pressed_by_asking = 7, False, False
        self.held: tuple[Rect, Rect, Rect] | None = None
        self.closed = False
        self.motion_file: int | None = None

    def read(self) -> PointerState:
        return PointerState(self.x, self.y, self.pressed, self.shape)

    def has_focus(self, windows: Sequence[int]) -> bool:
        return self.focused in windows

    def is_grabbed(self) -> bool:
        assert not self.pressed
        self.pressed = self.pressed_by_asking
        return self.taken

    def hold(self, area: Rect, game: Rect, picture: Rect) -> None:
        self.held = (area, game, picture)

    def free(self) -> None:
        self.held = None

    def move(self, x: int, y: int) -> None:
        self.x, self.y = x, y

    def close(self) -> None:
        self.closed = True


class Table:
    """A mapping over a fake pointer, with a clock that `look` advances."""

    def __init__(
        self, *, let_go: bool = False, scale: CursorScale = "picture", monitors: Sequence[Monitor] = (LEFT, RIGHT)
    ) -> None:
        self.pointer = FakePointer()
        self.drawn: DrawnCursor | None = None
        self.now = 0.0
        self.mapping = PointerMapping(
            self.pointer, self.draw, lambda: monitors, let_go=let_go, scale=scale, clock=lambda: self.now
        )

    def draw(self, cursor: DrawnCursor | None) -> None:
        self.drawn = cursor

    def look(self, seconds: float = 0.03) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += self.mapping.pause_s or 0.05
            self.mapping.update()

    def start(self, mapping: PictureMapping = MAPPING) -> Table:
        self.mapping.follow(mapping)
        self.look()
        return self

    @property
    def place(self) -> tuple[float, float]:
        return self.pointer.x, self.pointer.y


def test_the_pointer_goes_into_the_game_and_its_picture_stays_where_it_was() -> None:
    table = Table().start()
    assert table.pointer.held == (GAME, GAME, MAPPING.picture)
    assert table.place == (260, 290)
    assert table.drawn == DrawnCursor(ARROW, 4.0, 640.0, 360.0)
    table.pointer.move(300, 250)
    table.pointer.x += 0.25
    table.look()
    assert table.drawn == DrawnCursor(ARROW, 4.0, 801.0, 200.0)
    table.mapping.follow(None)
    assert (table.pointer.held, table.drawn, table.place) == (None, None, (801, 200))


@pytest.mark.parametrize(("scale", "drawn"), [("picture", 3.0), (1, 1.0), (2, 2.0)])
def test_the_cursor_is_as_large_as_asked_for(scale: CursorScale, drawn: float) -> None:
    table = Table(scale=scale).start(LETTERBOXED)
    assert table.drawn is not None
    assert table.drawn.scale == drawn


def test_without_the_focus_and_while_a_button_is_held_nothing_is_taken() -> None:
    table = Table()
    table.pointer.focused, table.pointer.pressed = 99, True
    table.start()
    assert table.pointer.held is None
    table.pointer.focused = 7
    table.look()
    assert table.pointer.held is None, "the click that chose the game ends where it began"
    table.pointer.pressed = False
    table.look()
    assert table.pointer.held is not None
    table.pointer.focused = 99
    table.look()
    assert (table.pointer.held, table.drawn, table.place) == (None, None, (640, 360))


def test_a_game_that_moves_or_grows_takes_the_hold_along() -> None:
    table = Table().start()
    moved = PictureMapping((7,), Rect(500, 300, 320, 180), MAPPING.picture, LEFT.rect)
    table.mapping.follow(moved)
    table.look()
    assert table.pointer.held == (moved.game, moved.game, moved.picture)
    assert moved.game.x <= table.pointer.x < moved.game.x + 320


@pytest.mark.parametrize(
    ("put", "mapping", "place"),
    [
        ((900, 600), MAPPING, (325, 350)),  # on the picture: what is shown there is meant
        ((5, 100), LETTERBOXED, (100, 200)),  # on a bar
        ((2000, 400), LETTERBOXED, (419, 400)),  # on another monitor
    ],
)
def test_a_pointer_that_was_put_elsewhere_comes_back(
    put: tuple[int, int], mapping: PictureMapping, place: tuple[int, int]
) -> None:
    table = Table().start(mapping)
    table.pointer.move(*put)
    table.look()
    assert table.place == place


def test_the_pointer_leaves_to_another_monitor_and_comes_back() -> None:
    table = Table(let_go=True).start()
    assert table.pointer.held is not None
    assert table.pointer.held[0].width > 320
    table.pointer.move(420, 290)
    table.pointer.pressed = True
    table.look()
    assert table.place == (419, 290), "not while a button is held"
    table.pointer.move(420, 290)
    table.pointer.pressed = False
    table.look()
    assert (table.place, table.pointer.held, table.drawn) == ((1280, 360), None, None)
    table.look(1.0)
    assert table.pointer.held is None
    table.pointer.move(1279, 364)
    table.look()
    assert table.pointer.held is not None
    assert table.place == (419, 291)


def test_a_game_that_takes_the_pointer_and_hides_it_has_it_alone() -> None:
    table = Table().start()
    table.pointer.shape, table.pointer.taken = NOTHING, True
    table.look(2 * GRAB_S)
    assert (table.pointer.held, table.drawn) == (None, None)
    before = table.place
    table.look(1.0)
    assert table.place == before
    table.pointer.shape = ARROW  # its menu
    table.look()
    assert table.pointer.held is not None


def test_a_button_pressed_while_the_game_is_asked_about_is_no_grab() -> None:
    table = Table()
    table.pointer.shape, table.pointer.taken, table.pointer.pressed_by_asking = NOTHING, True, True
    table.start()
    table.pointer.pressed = False
    table.look()
    assert table.pointer.held is not None


def test_a_game_that_fills_its_monitor_keeps_the_pointer_as_it_is() -> None:
    table = Table().start(PictureMapping((7,), LEFT.rect, LEFT.rect, LEFT.rect))
    assert (table.mapping.active, table.pointer.held, table.drawn, table.place) == (False, None, None, (640, 360))


def test_a_game_that_draws_a_cursor_of_its_own_is_mapped_and_nothing_is_drawn_over_it() -> None:
    table = Table()
    table.pointer.shape = NOTHING
    table.start()
    assert table.pointer.held is not None
    assert table.drawn is not None
    assert table.drawn.shape.is_empty


def test_a_pointer_that_rests_is_looked_at_less_often_and_a_moved_one_at_once_again() -> None:
    table = Table().start()
    assert table.mapping.pause_s == MOVING_S
    table.look(REST_S + 0.1)
    assert table.mapping.pause_s == RESTING_S
    table.pointer.x += 1
    table.look()
    assert table.mapping.pause_s == MOVING_S


def test_a_pointer_whose_movements_are_reported_is_left_alone_while_it_rests() -> None:
    table = Table()
    table.pointer.motion_file = 3
    table.start().look(REST_S + 0.1)
    assert table.mapping.pause_s is None
    table.pointer.x += 1
    table.mapping.update()  # it was reported
    assert table.mapping.pause_s == RESTING_S, "a game may put it back"
    table.look(REST_S + 0.1)
    assert table.mapping.pause_s is None


def test_the_end_gives_the_pointer_back() -> None:
    table = Table().start()
    table.mapping.close()
    assert (table.pointer.held, table.pointer.closed, table.place) == (None, True, (640, 360))


@pytest.mark.parametrize(
    ("x_range", "y_range", "place", "game"),
    [
        ((0.0, 1280.0), (0.0, 720.0), (0.5, 0.5), (260, 290)),  # a tablet: parts of the desktop
        ((0.0, 1280.0), (0.0, 720.0), (0.25, 1.0), (180, 380)),
        ((-1.0, 1.0), (-1.0, 1.0), (641, 361), (260, 290)),  # without a range: pixels, from -1 on
    ],
)
def test_a_device_acts_on_the_game_as_it_would_on_the_picture(
    x_range: tuple[float, float], y_range: tuple[float, float], place: tuple[float, float], game: tuple[int, int]
) -> None:
    matrix = np.reshape(compute_matrix(MAPPING.picture, GAME, x_range, y_range), (3, 3))
    x, y, one = matrix @ (*place, 1.0)
    assert one == 1.0
    assert (x_range[0] + x * x_range[1], y_range[0] + y * y_range[1]) == pytest.approx(game)
    assert (matrix @ (8.0, 8.0, 0.0))[:2] == pytest.approx((2.0, 2.0)), "a way of the hand is a quarter as long"


def test_barriers_stand_around_the_area_except_where_the_desktop_ends() -> None:
    desktop = Rect(0, 0, 1280, 720)
    assert compute_barriers(Rect(100, 200, 320, 180), desktop) == [
        (100, 150, 100, 430),
        (420, 150, 420, 430),
        (50, 200, 470, 200),
        (50, 380, 470, 380),
    ]
    assert compute_barriers(desktop, desktop) == []
    assert compute_barriers(Rect(-20, 500, 320, 400), desktop) == [(300, 450, 300, 950), (0, 500, 350, 500)]


def test_place_and_buttons_are_read_from_the_servers_reply() -> None:
    def valuator(number: int, whole: int, part: int) -> bytes:
        return struct.pack("=HHHHIiIiIiIIBxxx", 2, 11, 4, number, 0, -1, 0, -1, 0, whole, part, 0, 0)

    def buttons(mask: int) -> bytes:
        return struct.pack("=HHHHI10I", 1, 13, 4, 10, mask, *range(10))

    for mask, pressed in ((0, False), (2, True)):
        name = b"Virtual core pointer1".ljust(24, b"\0")
        device = struct.pack("=HHHHHBx", 2, 1, 3, 3, 21, 1)
        reply = bytes(32) + device + name + buttons(mask) + valuator(0, 419, 1 << 30) + valuator(1, 7, 0)
        assert parse_master_pointer(reply) == (419.25, 7.0, pressed)


def test_points_are_clamped_to_whole_pixels() -> None:
    assert clamp_to_pixel(3.9, -4.0, Rect(0, 0, 4, 4)) == (3, 0)
    assert clamp_to_pixel(4.0, 3.99, Rect(0, 0, 4, 4)) == (3, 3)
