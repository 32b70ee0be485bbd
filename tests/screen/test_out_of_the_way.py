"""The overlay does not hide what the player needs to see: other programs, and the game's own dialogs."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from overlay_process import OverlayProcess, StartOverlay, grab_screen, upscale_to_screen, wait_until_shown
from patience import until
from screens import HD, Screen, ToyWindow
from Xlib import X
from Xlib.display import Display

from live_sr.desktop.x11 import X11Desktop
from live_sr.errors import UsageError
from live_sr.pipeline.frame import Pixels, Rect, Size

MANAGERS = ("openbox", "icewm", "metacity", "")
SETTINGS = 'hud.level = "off"\noverlay.pointer = "view"\n'  # no cursor over the picture
with_every_manager = pytest.mark.parametrize("screen", MANAGERS, indirect=True)


def activate(screen: Screen, window: int) -> None:
    """Makes it the active window, as Alt+Tab does."""
    display = Display(screen.display)
    root, target = display.screen().root, display.create_resource_object("window", window)
    managed = root.get_full_property(display.get_atom("_NET_SUPPORTING_WM_CHECK"), X.AnyPropertyType) is not None
    if not managed:
        target.configure(stack_mode=X.Above)
        target.set_input_focus(X.RevertToParent, X.CurrentTime)
    display.sync()
    display.close()
    if managed:
        command = ["xdotool", "windowactivate", "--sync", str(window)]
        subprocess.run(command, env=screen.env, check=True, timeout=60)


def is_shown_at(screen: Screen, picture: Pixels, x: int, y: int) -> bool:
    height, width, _ = picture.shape
    return np.array_equal(grab_screen(screen)[y : y + height, x : x + width, :3], picture[..., :3])


def is_seen(screen: Screen, colour: int, size: Size) -> bool:
    """Whether an area of one colour, 0xRRGGBB, is seen whole."""
    shown = grab_screen(screen)[..., :3].astype(np.uint32)
    return int(np.count_nonzero(shown @ np.uint32([1, 1 << 8, 1 << 16]) == colour)) == size.width * size.height


def open_game(screen: Screen) -> tuple[ToyWindow, Pixels]:
    """A game, active, and what the overlay shows of it."""
    game = ToyWindow(screen, Size(240, 136), at=(60, 60), title="A game")
    after = upscale_to_screen(game.draw(1), "nearest")
    activate(screen, game.id)
    return game, after


@with_every_manager
def test_another_program_that_is_activated_is_seen_and_the_game_brings_the_overlay_back(
    screen: Screen, start_overlay: StartOverlay
) -> None:
    game, after = open_game(screen)
    over = start_overlay("--window", "a game", "--model", "nearest", settings=SETTINGS)
    wait_until_shown(screen, after)
    browser = ToyWindow(screen, Size(300, 200), at=(500, 300), title="Browser")
    page = browser.draw(7)
    activate(screen, browser.id)
    until(lambda: over.rect is None, "the overlay hides")
    until(lambda: is_shown_at(screen, page, 500, 300), "the other program is seen")
    after = upscale_to_screen(game.draw(2), "nearest")
    activate(screen, game.id)
    wait_until_shown(screen, after)


@pytest.mark.parametrize(("setting", "seen"), [("stay", False), ("below", True)])
def test_the_overlay_stays_above_or_below_another_program_as_set(
    setting: str, seen: bool, screen: Screen, start_overlay: StartOverlay
) -> None:
    game, after = open_game(screen)
    settings = f'{SETTINGS}overlay.when_inactive = "{setting}"\n'
    over = start_overlay("--window", "a game", "--model", "nearest", settings=settings)
    wait_until_shown(screen, after)
    browser = ToyWindow(screen, Size(100, 80), at=(590, 320), title="Browser")
    page = browser.draw(7)
    activate(screen, browser.id)
    if seen:
        until(lambda: is_shown_at(screen, page, 590, 320), "the other program is seen")
        assert over.rect is not None
        activate(screen, game.id)
    wait_until_shown(screen, upscale_to_screen(game.draw(3), "nearest"))


def watch_top(screen: Screen, over: OverlayProcess) -> Callable[[], bool]:
    """Whether the overlay is the topmost window, as the middle of the screen shows it."""

    def is_topmost() -> bool:
        display = Display(screen.display)
        try:
            children = display.screen().root.query_tree().children
            seen = [w for w in children if w.get_attributes().map_state == X.IsViewable and w.get_geometry().x >= 0]
            g = seen[-1].get_geometry()
            return (g.x, g.y, g.width, g.height) == over.rect
        finally:
            display.close()

    return is_topmost


@with_every_manager
def test_the_overlay_is_above_the_game_again_when_the_game_was_raised(
    screen: Screen, start_overlay: StartOverlay
) -> None:
    game = ToyWindow(screen, Size(240, 136), at=(60, 60), title="A game")
    game.draw(1)
    over = start_overlay("--window", "a game", "--model", "nearest", settings=SETTINGS)
    is_topmost = watch_top(screen, over)
    until(is_topmost, "the overlay is on top")
    for _ in range(3):
        game.raise_to_top()
        until(is_topmost, "the overlay is on top again")


@pytest.mark.parametrize("screen", ["openbox", "icewm", ""], indirect=True)  # metacity draws dialogs darker
def test_a_dialog_and_a_menu_of_the_game_are_seen(screen: Screen, start_overlay: StartOverlay) -> None:
    game, after = open_game(screen)
    start_overlay("--window", "a game", "--model", "nearest", settings=SETTINGS)
    wait_until_shown(screen, after)
    game.open_dialog(Rect(700, 420, 200, 150), 0x3060C0)
    until(lambda: is_seen(screen, 0x3060C0, Size(200, 150)), "the dialog is seen")
    game.open_menu(Rect(400, 100, 90, 200), 0xC06030)
    until(lambda: is_seen(screen, 0xC06030, Size(90, 200)), "the menu is seen")
    assert is_seen(screen, 0x3060C0, Size(200, 150))
    game.close_other()
    game.close_other()
    activate(screen, game.id)
    wait_until_shown(screen, upscale_to_screen(game.draw(3), "nearest"))


@pytest.mark.parametrize("screen", ["openbox", ""], indirect=True)
def test_a_game_that_opens_another_window_is_followed(screen: Screen, start_overlay: StartOverlay) -> None:
    game, after = open_game(screen)
    over = start_overlay("--window", "a game", "--model", "nearest", settings=SETTINGS)
    wait_until_shown(screen, after)
    game.recreate()
    wait_until_shown(screen, upscale_to_screen(game.draw(2), "nearest"))
    assert over.process.poll() is None


def test_a_game_that_goes_to_full_screen_by_another_window_is_seen_and_followed_back(
    screen: Screen, start_overlay: StartOverlay
) -> None:
    game, after = open_game(screen)
    over = start_overlay("--window", "a game", "--model", "nearest", settings=SETTINGS)
    wait_until_shown(screen, after)
    game.show_full_screen(0x3060C0)
    until(lambda: is_seen(screen, 0x3060C0, HD), "the full-screen window is seen")
    game.close_other()
    game.map()
    wait_until_shown(screen, upscale_to_screen(game.draw(2), "nearest"))
    assert over.process.poll() is None


def test_a_captured_region_is_shown_in_a_window_that_lies_outside_it(
    screen: Screen, start_overlay: StartOverlay
) -> None:
    game = ToyWindow(screen, Size(240, 136), at=(60, 60), title="A game")
    game.draw(1)
    over = start_overlay("--region", "0,0,500,720", "--model", "nearest")
    desktop = X11Desktop(screen.display)

    def find_window() -> Rect | None:
        found = [w.rect for w in desktop.list_windows() if w.pid == over.process.pid]
        return found[0] if found else None

    try:
        shown = until(find_window, "the window is listed")
        until(lambda: not (find_window() or shown).overlaps(Rect(0, 0, 500, 720)), "it lies beside the region")
    finally:
        desktop.close()


def test_a_captured_monitor_without_another_one_opens_no_window(screen: Screen, start_overlay: StartOverlay) -> None:
    over = start_overlay("--monitor", "1", "--model", "nearest", visible=False)
    assert over.wait_for_exit() == UsageError("", "").exit_code
    assert "leaves no room" in over.output


def test_a_game_that_fills_the_screen_is_left_alone_with_one_sentence_until_it_is_smaller(
    screen: Screen, start_overlay: StartOverlay
) -> None:
    game = ToyWindow(screen, HD, at=(0, 0), title="A game", override=True)
    picture = game.draw(1)
    ToyWindow(screen, Size(200, 100), title="A game, too")
    over = start_overlay("--window", "a game", "--model", "nearest", settings=SETTINGS, visible=False)
    until(lambda: "no gain" in over.output, "it says that there is no gain")
    until(lambda: over.badge == "no gain: the game fills the screen", "and so does the screen")
    assert '"A game" (python' in over.output and 'also fitting: "A game, too"' in over.output

    def is_uncovered() -> bool:
        """The game above the sentence, which may come to the top a moment after it is there."""
        game.raise_to_top()
        return is_shown_at(screen, picture, 0, 0)

    until(is_uncovered, "the game's own picture is seen")
    assert over.rect is None
    game.resize(Size(240, 136))
    wait_until_shown(screen, upscale_to_screen(game.draw(2), "nearest"))
    assert over.output.count("no gain") == 1


def test_nothing_is_captured_while_the_window_lies_over_the_captured_part(
    screen: Screen, start_overlay: StartOverlay, tmp_path: Path
) -> None:
    game = ToyWindow(screen, Size(240, 136), at=(60, 60), title="A game", override=True)
    game.draw(0)
    over = start_overlay("--region", "60,60,240,136", "--model", "nearest", "--log", "frames.csv")
    seeds = itertools.count(1)

    def count_rows() -> int:
        return (tmp_path / "frames.csv").read_bytes().count(b"\n")

    def is_captured() -> bool:
        """Whether the next picture of the game makes a row of the log."""
        before = count_rows()
        game.draw(next(seeds))
        with suppress(TimeoutError):
            return until(lambda: count_rows() > before, "a row", 1.0)
        return False

    def move(x: int, y: int) -> None:
        desktop = X11Desktop(screen.display)
        window = next(w.id for w in desktop.list_windows() if w.pid == over.process.pid)
        desktop.close()
        command = ["xdotool", "windowmove", str(window), str(x), str(y)]
        subprocess.run(command, env=screen.env, check=True, timeout=60)

    until(is_captured, "the region is captured")
    move(200, 100)  # the left part of the game is still seen, and changes
    until(lambda: not any(is_captured() for _ in range(3)), "nothing is captured any more")
    move(400, 300)
    until(is_captured, "the region is captured again")
