"""The game's dialogs and menus are part of the enlarged picture, and are used there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from overlay_process import StartOverlay, grab_screen, upscale_to_screen, wait_until_shown
from patience import until
from pointer_hand import Hand, PointerToy, find_rect, wait_for_hold
from pointer_toy import OTHER_COLOUR
from screens import Screen, ToyWindow
from toy_window import make_noise
from Xlib import X
from Xlib.display import Display

from live_sr.capture.x11 import X11Source
from live_sr.desktop.x11 import X11Desktop
from live_sr.pipeline.desktop_contracts import Popups, StackedWindow
from live_sr.pipeline.frame import Pixels, Rect, Size

SIZE, TIMES = Size(320, 180), 4  # of the game, and as much larger is its picture
SETTINGS = f'hud.level = "off"\nmodel.name = "nearest"\nmodel.scale = {TIMES}\n'


class Desk:
    """A game, and a source of it that is told what the desktop finds over the game."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.toy = ToyWindow(screen, SIZE, at=(100, 120))
        self.picture = self.toy.draw(1)
        self.desktop = X11Desktop(screen.display)
        self.popups = Popups()
        self.source = X11Source(self.toy.id, display=screen.display, list_popups=lambda: self.popups)

    def find_rect(self) -> Rect:
        state = self.desktop.get_window_state(self.toy.id)
        assert state is not None
        return state.rect

    def look(self) -> None:
        stack = self.desktop.list_stack(self.toy.id, 0)
        game = next(number for number, window in enumerate(stack) if window.owner == "game")
        self.popups = Popups(self.find_rect(), tuple(w for w in reversed(stack[:game]) if w.owner == "popup"))

    def wait_for(self, is_right: Callable[[Pixels], bool], what: str) -> Pixels:
        """The first picture that is."""

        def find() -> Pixels | None:
            self.look()
            frame = self.source.next_frame(0.1)
            return frame.pixels if frame is not None and is_right(frame.pixels) else None

        return until(find, what, pause_s=0)

    def is_on_screen(self, pixels: Pixels) -> bool:
        """Whether the screen shows the same where the game is."""
        x, y, width, height = self.find_rect()
        return np.array_equal(grab_screen(self.screen)[y : y + height, x : x + width, :3], pixels[..., :3])


@pytest.fixture
def desk(screen: Screen) -> Iterator[Desk]:
    desk = Desk(screen)
    yield desk
    desk.source.close()
    desk.desktop.close()


def count(pixels: Pixels, colour: int) -> int:
    """How many pixels have that colour, 0xRRGGBB."""
    return int(np.count_nonzero(pixels[..., :3] @ np.uint32([1, 1 << 8, 1 << 16]) == colour))


@pytest.mark.parametrize("screen", ["openbox", "icewm", ""], indirect=True)
def test_a_dialog_and_a_menu_are_captured_as_the_screen_shows_them(desk: Desk) -> None:
    desk.toy.open_dialog(Rect(140, 170, 120, 70), 0x3060C0)
    desk.wait_for(lambda p: count(p, 0x3060C0) == 120 * 70 and desk.is_on_screen(p), "the dialog, with its frame")
    x, y, *_ = desk.find_rect()
    desk.toy.open_menu(Rect(x + 4, y + 3, 60, 90), 0xC06030)
    desk.wait_for(lambda p: count(p, 0xC06030) == 60 * 90 and desk.is_on_screen(p), "the menu over it")
    desk.toy.paint_other(0x20E040)
    desk.wait_for(lambda p: count(p, 0x20E040) == 60 * 90, "the menu in another colour, while the game stands still")
    desk.toy.close_other()
    desk.toy.close_other()
    desk.wait_for(lambda p: np.array_equal(p, desk.picture), "the game alone")


def test_what_reaches_outside_the_game_is_cut_off_and_follows_the_game(desk: Desk) -> None:
    x, y, *_ = desk.find_rect()
    desk.toy.open_menu(Rect(x + 300, y - 30, 60, 90), 0xC06030)
    desk.wait_for(lambda p: count(p, 0xC06030) == 20 * 60 and desk.is_on_screen(p), "a corner of the menu")
    desk.toy.move(x + 10, y)
    desk.wait_for(lambda p: count(p, 0xC06030) == 30 * 60 and desk.is_on_screen(p), "more of the menu")


def test_a_window_that_is_gone_harms_nothing(desk: Desk) -> None:
    x, y, *_ = desk.find_rect()
    place = Rect(x + 5, y + 5, 60, 90)
    desk.popups = Popups(desk.find_rect(), (StackedWindow(desk.toy.id + 1000, place, "popup"),))
    until(lambda: desk.source.next_frame(0.1), "a picture")
    desk.toy.open_menu(place, 0xC06030)
    desk.wait_for(lambda p: count(p, 0xC06030) == 60 * 90, "the menu")
    desk.toy.close_other()
    picture = desk.toy.draw(2)
    frame = until(lambda: desk.source.next_frame(0.1), "a picture, before anybody has said that the menu is gone")

    def is_right() -> bool:
        nonlocal frame
        if np.array_equal(frame.pixels, picture):
            return True
        frame = desk.source.next_frame(0.1) or frame
        return False

    until(is_right, "the game's picture")


def test_a_transparent_menu_shows_the_game_below_where_the_screen_does(screen: Screen, desk: Desk) -> None:
    x, y, *_ = desk.find_rect()
    place = Rect(x + 5, y + 5, 60, 90)
    menu = ToyWindow(screen, place.size, at=(place.x, place.y), depth=32, override=True)
    menu.draw(3)
    display = Display(screen.display)
    owner = display.screen().root.create_window(0, 0, 1, 1, 0, 0, X.InputOnly)
    owner.set_selection_owner(display.get_atom("_NET_WM_CM_S0"), X.CurrentTime)  # as a compositor does
    display.sync()
    desk.popups = Popups(desk.find_rect(), (StackedWindow(menu.id, place, "popup"),))
    over = make_noise(*place.size, 3).astype(float)
    under = desk.picture[5:95, 5:65].astype(float)
    expected = np.minimum(over + under * (1 - over[..., 3:] / 255), 255)

    def is_blended() -> bool:
        frame = desk.source.next_frame(0.1)
        return frame is not None and bool(np.abs(frame.pixels[5:95, 5:65, :3] - expected[..., :3]).max() <= 1)

    until(is_blended, "the menu over the game", pause_s=0)
    display.close()


@pytest.fixture
def hand(screen: Screen) -> Iterator[Hand]:
    hand = Hand(screen)
    until(lambda: hand.saved == 0, "the test before has left nothing")
    yield hand
    hand.close()


def find_enlarged(screen: Screen) -> Rect | None:
    """What the colour of the toy's dialog or menu covers on the screen."""
    shown = grab_screen(screen)[..., :3] @ np.uint32([1, 1 << 8, 1 << 16]) == OTHER_COLOUR
    rows, columns = np.nonzero(shown.any(1))[0], np.nonzero(shown.any(0))[0]
    if not len(rows):
        return None
    return Rect(int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)


def point(hand: Hand, shown: tuple[int, int], real: tuple[int, int]) -> None:
    """Puts the pointer to a place of the screen, until it is held at that place of the game."""

    def is_there() -> bool:
        hand.put(*shown)
        return hand.place == real

    until(is_there, f"the pointer is held at {real}")


@pytest.mark.parametrize("screen", ["openbox", "icewm", ""], indirect=True)  # metacity draws dialogs darker
def test_clicks_reach_a_dialog_and_a_menu_where_they_are_enlarged(
    screen: Screen, hand: Hand, start_overlay: StartOverlay
) -> None:
    toy = PointerToy(screen, SIZE)
    start_overlay("--window", "a game", settings=SETTINGS)
    wait_for_hold(hand, toy)
    x, y, *_ = toy.rect
    for kind in ("dialog", "menu"):
        toy.command(kind, x + 110, y + 60, 100, 70)
        shown = until(lambda: (r := find_enlarged(screen)) and r.width == 100 * TIMES and r, "it is enlarged")
        real = find_rect(screen, toy.newest)
        assert shown == Rect((real.x - x) * TIMES, (real.y - y) * TIMES, 400, 280)
        for at_x, at_y in ((3, 3), (50, 40), (97, 66)):
            point(hand, (shown.x + at_x * TIMES + 2, shown.y + at_y * TIMES + 2), (real.x + at_x, real.y + at_y))
            done = len(toy.events("dialog-release"))
            hand.click()
            until(lambda done=done: len(toy.events("dialog-release")) > done, "the click arrives")
            assert toy.events("dialog-press")[-1] == (1, at_x, at_y)
        toy.command("close")
        until(lambda: find_enlarged(screen) is None, "it is gone")
        toy.focus()
    point(hand, (42, 62), (x + 10, y + 15))
    hand.click()
    until(lambda: bool(toy.events("release")), "a click on the game arrives")
    assert toy.events("press") == [(1, 10, 15)]


def test_the_picture_stays_while_dialogs_come_and_go(screen: Screen, start_overlay: StartOverlay) -> None:
    game = ToyWindow(screen, SIZE, at=(60, 60), title="A game")
    after = upscale_to_screen(game.draw(1), "nearest")
    start_overlay("--window", "a game", "--model", "nearest")
    wait_until_shown(screen, after)
    for number in range(12):
        inside = number % 3 > 0  # the others are let through at their real size, far from the corner
        game.open_dialog(Rect(110 if inside else 700, 110, 90 + number, 60), 0x3060C0)
        for _ in range(4):
            shown = grab_screen(screen)
            assert np.array_equal(shown[660:, :160, :3], after[660:, :160, :3]), "the game is seen all the time"
        until(lambda: count(grab_screen(screen), 0x3060C0), "the dialog is seen")
        game.close_other()
    wait_until_shown(screen, upscale_to_screen(game.draw(2), "nearest"))
