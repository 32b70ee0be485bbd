"""The pointer on the enlarged picture: real clicks on a real X server reach the game where the picture shows it."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from monitors import split_in_two
from overlay_process import OverlayProcess, StartOverlay, capture_window, grab_screen
from patience import until
from pointer_hand import PLAIN, Hand, PointerToy, click, find_picture, find_rect, wait_for_hold
from screens import HD, Screen, find_program

from live_sr.desktop.pointer_x11 import X11Pointer
from live_sr.desktop.window_picker import find_windows
from live_sr.desktop.x11 import X11Desktop
from live_sr.errors import SourceLost
from live_sr.pipeline.desktop_contracts import WindowInfo
from live_sr.pipeline.frame import Rect, Size

SETTINGS = 'hud.level = "off"\nmodel.name = "nearest"\n'


@pytest.fixture
def hand(screen: Screen) -> Iterator[Hand]:
    hand = Hand(screen)
    until(lambda: hand.saved == 0, "the test before has left nothing")
    hand.put(5, 5)
    yield hand
    hand.close()


@pytest.fixture
def start(start_overlay: StartOverlay) -> Callable[..., OverlayProcess]:
    return lambda settings="", **options: start_overlay("--window", "a game", settings=SETTINGS + settings, **options)


def choose_places(picture: Rect, count: int) -> list[tuple[int, int]]:
    dice = random.Random(7)
    return [
        (picture.x + dice.randrange(picture.width), picture.y + dice.randrange(picture.height)) for _ in range(count)
    ]


CASES = [
    pytest.param(Size(640, 360), "", id="x2"),
    pytest.param(Size(320, 180), "", id="x4"),
    pytest.param(Size(487, 273), "", id="fit"),
    pytest.param(Size(320, 240), "", id="letterboxed"),
    pytest.param(Size(320, 180), "1.5", id="QT_SCALE_FACTOR=1.5"),
]


@pytest.mark.parametrize(("size", "factor"), CASES)
def test_a_click_anywhere_on_the_picture_reaches_the_game_there(
    size: Size, factor: str, screen: Screen, hand: Hand, start: Callable[..., OverlayProcess],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if factor:
        monkeypatch.setitem(screen.env, "QT_SCALE_FACTOR", factor)
    toy = PointerToy(screen, size)
    start()
    wait_for_hold(hand, toy)
    check_clicks(toy, hand, find_picture(size, Rect(0, 0, *HD)))


def check_clicks(toy: PointerToy, hand: Hand, picture: Rect) -> None:
    """25 places by a tablet, and 25 by a mouse that goes as far as the places are apart on the picture."""
    places = choose_places(picture, 50)
    for number, (x, y) in enumerate(places):
        if number < 25:
            hand.put(x, y)
        else:
            before_x, before_y = places[number - 1]
            hand.push(x - before_x, y - before_y)
        click(toy, hand)
    clicks = toy.events("press")
    for (_, x, y), (at_x, at_y) in zip(clicks, places, strict=True):
        wanted = (
            (at_x - picture.x) * toy.rect.width / picture.width,
            (at_y - picture.y) * toy.rect.height / picture.height,
        )
        assert max(abs(x - wanted[0]), abs(y - wanted[1])) <= 1, (x, y, wanted)


@pytest.fixture
def two_monitors(screen: Screen) -> Iterator[tuple[Rect, Rect]]:
    with split_in_two(screen) as halves:
        yield halves


def test_with_another_aspect_clicks_reach_what_the_stretched_picture_shows(
    screen: Screen, hand: Hand, start: Callable[..., OverlayProcess]
) -> None:
    toy = PointerToy(screen, Size(320, 200))
    start('overlay.aspect = "4:3"\n')
    wait_for_hold(hand, toy)
    check_clicks(toy, hand, find_picture(toy.rect.size, Rect(0, 0, *HD), 4 / 3))


def test_a_picture_on_the_monitor_of_the_settings_takes_the_clicks_there(
    screen: Screen, hand: Hand, start: Callable[..., OverlayProcess], two_monitors: tuple[Rect, Rect]
) -> None:
    toy = PointerToy(screen, Size(320, 180), at=(800, 400))
    over = start('overlay.monitor = "half 0"\n')
    wait_for_hold(hand, toy)
    assert over.rect == tuple(two_monitors[0])
    check_clicks(toy, hand, find_picture(toy.rect.size, two_monitors[0]))


def test_a_window_beside_the_game_opens_on_the_monitor_of_the_settings(
    screen: Screen, start: Callable[..., OverlayProcess], two_monitors: tuple[Rect, Rect]
) -> None:
    PointerToy(screen, Size(320, 180), at=(60, 90))
    over = start('overlay.mode = "beside"\noverlay.monitor = 2\n')
    place, half = Rect(*until(lambda: over.rect, "the window is open")), two_monitors[1]
    assert place.intersect(half) == place


def test_a_monitor_that_is_not_there_ends_the_start_with_a_list(
    screen: Screen, start: Callable[..., OverlayProcess]
) -> None:
    PointerToy(screen, Size(320, 180))
    over = start('overlay.monitor = "HDMI-7"\n', visible=False)
    assert over.wait_for_exit() == 2
    assert "there is no monitor HDMI-7." in over.output
    assert "choose one of these: 1: " in over.output


def test_on_the_second_monitor_clicks_are_as_exact(
    screen: Screen, hand: Hand, start: Callable[..., OverlayProcess], two_monitors: tuple[Rect, Rect]
) -> None:
    toy = PointerToy(screen, Size(320, 180), at=(800, 400))
    over = start()
    wait_for_hold(hand, toy)
    assert over.rect == tuple(two_monitors[1])
    check_clicks(toy, hand, find_picture(toy.rect.size, two_monitors[1]))


def test_the_pointer_may_leave_to_the_other_monitor_and_come_back(
    screen: Screen, hand: Hand, start: Callable[..., OverlayProcess], two_monitors: tuple[Rect, Rect]
) -> None:
    toy = PointerToy(screen, Size(320, 180), at=(800, 400))
    start('overlay.pointer_edges = "leave"\n')
    wait_for_hold(hand, toy)
    hand.put(800, 300)
    for _ in range(40):
        hand.push(-10, 0)
        time.sleep(0.002)  # as a hand goes
    until(lambda: hand.saved == 0, "the pointer is let go")
    until(lambda: hand.place[0] < two_monitors[1].x, "it is on the other monitor")
    assert abs(hand.place[1] - 300) <= 2
    hand.put(700, 300)
    wait_for_hold(hand, toy)
    for _ in range(40):
        hand.push(0, -10)
    click(toy, hand)
    assert toy.events("press")[-1][2] == 0, "there is no monitor above"


def test_a_game_that_turns_its_view_with_the_mouse_is_left_alone(
    screen: Screen, hand: Hand, start: Callable[..., OverlayProcess]
) -> None:
    toy = PointerToy(screen, Size(320, 180))
    start()
    wait_for_hold(hand, toy)
    toy.command("cursor", "none")
    toy.command("centre", 1)

    def turn() -> bool:
        hand.push(9, 0)
        time.sleep(0.01)
        return hand.saved == 0

    until(turn, "a game that puts the pointer back gets it", pause_s=0)
    toy.command("centre", 0)
    toy.command("cursor", "arrow")
    wait_for_hold(hand, toy)
    toy.command("grab", 1)
    toy.command("cursor", "none")
    until(lambda: hand.saved == 0, "a game that takes the pointer and hides it gets it")
    toy.command("grab", 0)
    toy.command("cursor", "arrow")
    wait_for_hold(hand, toy)


def test_without_a_window_manager_the_pointer_is_held_as_well(tmp_path: Path) -> None:
    with Screen(HD, manager="") as screen:
        toy, hand = PointerToy(screen, Size(320, 180)), Hand(screen)
        (tmp_path / "config.toml").write_text(SETTINGS)
        subprocess.run(["xdotool", "windowfocus", "1"], env=screen.env, check=True)  # PointerRoot
        over = OverlayProcess(screen, tmp_path, "--window", "a game")
        try:
            wait_for_hold(hand, toy)
            check_clicks(toy, hand, find_picture(toy.rect.size, Rect(0, 0, *HD)))
        finally:
            over.kill()
            hand.close()


def test_in_view_mode_nothing_is_held(screen: Screen, hand: Hand, start: Callable[..., OverlayProcess]) -> None:
    toy = PointerToy(screen, Size(320, 180))
    start('overlay.pointer = "view"\n')
    for place in ((5, 5), (toy.rect.x + 30, toy.rect.y + 40)):
        hand.put(*place)
        time.sleep(0.3)
        assert (hand.place, hand.saved) == (place, 0)
    click(toy, hand)
    assert toy.events("press") == [(1, 30, 40)]


@pytest.mark.parametrize("present", ["raster", "gl"])
def test_the_games_own_cursor_is_drawn_on_the_picture_with_its_hotspot_there(
    present: str, screen: Screen, hand: Hand, start: Callable[..., OverlayProcess]
) -> None:
    toy = PointerToy(screen, Size(320, 180))
    start(f'overlay.present = "{present}"\n')
    wait_for_hold(hand, toy)
    for place in ((640, 360), (100, 500)):
        hand.put(*place)
        red = until(lambda place=place: find_red(screen, place), "the cursor is drawn there")
        assert red.width > 24, "it is enlarged like the picture"
    toy.command("cursor", "none")
    until(lambda: find_red(screen) is None, "a cursor that the game hides is not drawn")
    toy.command("cursor", "text")
    until(lambda: find_red(screen), "the cursor for text is drawn")


def find_red(screen: Screen, tip: tuple[int, int] | None = None) -> Rect | None:
    """What the toy's red cursor covers; with `tip` only if its upper left corner, where an arrow points, is there."""
    picture = grab_screen(screen).astype(int)
    red = (picture[..., 2] > 150) & (picture[..., 0] < 90) & (picture[..., 1] < 90)
    rows, columns = np.nonzero(red.any(1))[0], np.nonzero(red.any(0))[0]
    if not len(rows):
        return None
    found = Rect(columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
    # enlarged four times, the tip and its white rim are blurred
    near = tip is None or max(abs(found.x - tip[0]), abs(found.y - tip[1])) <= 8
    return found if near else None


def test_the_system_pointer_is_hidden_and_held_within_the_game(
    screen: Screen, hand: Hand, start: Callable[..., OverlayProcess]
) -> None:
    toy = PointerToy(screen, Size(320, 180))
    start()
    wait_for_hold(hand, toy)
    right, bottom = toy.rect.x + 319, toy.rect.y + 179
    for step, corner in ((150, (right, bottom)), (-150, (toy.rect.x, toy.rect.y))):
        for _ in range(20):
            hand.push(step, step)
        assert hand.place == corner


def test_movements_of_a_held_pointer_are_reported_until_it_was_read(screen: Screen, hand: Hand) -> None:
    pointer = X11Pointer(screen.display)

    def is_reported() -> bool:
        return bool(select.select([pointer.motion_file], [], [], 0)[0])

    def settle() -> bool:
        pointer.read()
        return not is_reported()

    try:
        hand.put(700, 300)
        game = Rect(600, 200, 320, 180)
        pointer.hold(game, game, Rect(0, 0, *HD))
        until(settle, "nothing more is reported")
        hand.push(40, 20)
        until(is_reported, "the movement is reported")
        state = pointer.read()
        assert (state.x, state.y) == (710, 305)
        until(settle, "nothing more is reported")
        pointer.free()
        hand.push(40, 20)
        assert not is_reported(), "nobody draws a pointer that is not held"
        until(lambda: pointer.read().x == 750, "it is read all the same")
    finally:
        pointer.close()


def test_a_mouse_goes_on_from_where_a_program_has_put_the_pointer(
    screen: Screen, hand: Hand, start: Callable[..., OverlayProcess]
) -> None:
    toy = PointerToy(screen, Size(320, 180))
    start()
    wait_for_hold(hand, toy)
    game = find_rect(screen, toy.id)
    toy.command("warp", 200, 100)
    until(lambda: hand.place == (game.x + 200, game.y + 100), "the program has put it there")
    time.sleep(0.3)  # a hand's
    hand.push(-40, 40)
    click(toy, hand)
    assert toy.events("press") == [(1, 190, 110)]


def test_buttons_wheel_and_drags_reach_the_game(
    screen: Screen, hand: Hand, start: Callable[..., OverlayProcess]
) -> None:
    toy = PointerToy(screen, Size(320, 180))
    start()
    wait_for_hold(hand, toy)
    hand.put(400, 200)
    for button in range(1, 10):
        click(toy, hand, button)
    hand.press(1)
    until(lambda: len(toy.events("press")) == 10, "the last press arrives")
    hand.push(400, 200)
    hand.release(1)
    until(lambda: len(toy.events("release")) == 10, "the last release arrives")
    assert [button for button, _, _ in toy.events("press")] == [*range(1, 10), 1]
    assert toy.events("press")[-1][1:] == (100, 50)
    assert toy.events("release")[-1][1:] == (200, 100)


def test_another_window_with_the_focus_has_the_pointer_to_itself(
    screen: Screen, hand: Hand, start: Callable[..., OverlayProcess]
) -> None:
    toy = PointerToy(screen, Size(320, 180))
    start()
    wait_for_hold(hand, toy)
    hand.put(800, 400)
    other = PointerToy(screen, Size(200, 100), at=(900, 500))
    until(lambda: hand.saved == 0, "the pointer is given back")
    assert set(hand.matrices) == {PLAIN}
    until(lambda: max(abs(hand.place[0] - 800), abs(hand.place[1] - 400)) <= 4, "it is where its picture was")
    hand.put(950, 550)
    hand.click()
    until(lambda: bool(other.events("press")), "the click goes to the other window")
    toy.focus()
    wait_for_hold(hand, toy)


@pytest.mark.needs("pynput")
@pytest.mark.parametrize("key", ["ctrl+alt+space", "ctrl+alt+o"])
def test_a_pause_and_a_hidden_overlay_give_the_pointer_back(
    key: str, screen: Screen, hand: Hand, start: Callable[..., OverlayProcess]
) -> None:
    toy = PointerToy(screen, Size(320, 180))
    start()
    wait_for_hold(hand, toy)
    for held in (0, 1):
        subprocess.run(["xdotool", "key", key], env=screen.env, check=True)
        until(lambda held=held: bool(hand.saved) == bool(held), "it is given back, and taken again")
    assert set(hand.matrices) != {PLAIN}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_pointer_is_as_before_when_the_program_has_ended(
    how: signal.Signals, screen: Screen, hand: Hand, start: Callable[..., OverlayProcess]
) -> None:
    toy = PointerToy(screen, Size(320, 180))
    acceleration = hand.acceleration
    over = start()
    wait_for_hold(hand, toy)
    hand.put(1000, 600)
    until(lambda: not is_cursor_seen(screen, hand), "the system's cursor is hidden")
    os.killpg(over.process.pid, how)
    over.process.wait()
    until(lambda: hand.saved == 0, "the speed is as before")
    assert set(hand.matrices) == {PLAIN}
    hand.put(toy.rect.x + 20, toy.rect.y + 20)
    hand.push(2000, 0)
    assert hand.place == (HD.width - 1, toy.rect.y + 20), "nothing holds it"
    hand.put(toy.rect.x + 20, toy.rect.y + 20)
    until(lambda: is_cursor_seen(screen, hand), "the cursor is seen")
    assert hand.acceleration == acceleration


NEW_GAME, GENERATE = (165, 151), (200, 365)  # buttons of OpenTTD in a window of 640x480: in its menu, and in the dialog
BUTTON_COLOUR, GENERATE_COLOUR = (48, 176, 252), (52, 156, 92)


def test_a_button_of_openttd_is_pressed_where_its_picture_is(
    screen: Screen, hand: Hand, start_overlay: StartOverlay
) -> None:
    settings = str(Path(screen.env["HOME"], "openttd.cfg"))
    drivers = ("-v", "sdl", "-s", "null", "-m", "null")
    program = find_program("openttd", "openttd openttd-opengfx")
    screen.run(program, "-r", "640x480", *drivers, "-c", settings)
    desktop = X11Desktop(screen.display)

    def find_game() -> WindowInfo | None:
        found = find_windows(desktop.list_windows(), "openttd")
        return found[0] if found and found[0].rect.size == (640, 480) else None

    def shows(place: tuple[int, int], colour: tuple[int, int, int]) -> bool:
        game = find_game()
        with suppress(SourceLost):  # while it opens, its window is hidden again for a moment
            return game is not None and tuple(capture_window(screen, game.id)[place[1], place[0], :3]) == colour
        return False

    until(lambda: shows(NEW_GAME, BUTTON_COLOUR), "the menu is seen", 120)
    game = until(find_game, "the game's window")
    subprocess.run(["xdotool", "windowfocus", "--sync", str(game.id)], env=screen.env, check=True)
    start_overlay("--window", "openttd", settings=SETTINGS)
    until(lambda: hand.saved > 0, "the pointer is held")
    picture = find_picture(Size(640, 480), Rect(0, 0, *HD))
    x, y = ((at + 0.5) * picture.width / 640 for at in NEW_GAME)

    def press() -> bool:
        """Longer than one of the game's ticks, at which it looks at the button."""
        hand.put(picture.x + round(x), picture.y + round(y))
        hand.press()
        time.sleep(0.3)
        hand.release()
        return shows(GENERATE, GENERATE_COLOUR)

    until(press, "the dialog for a new game is seen", pause_s=1.0)
    desktop.close()


def is_cursor_seen(screen: Screen, hand: Hand) -> bool:
    """Whether the server itself draws the toy's red cursor, at the place of the real pointer."""
    x, y = hand.place
    part = screen.read_framebuffer()[max(0, y - 2) : y + 16, max(0, x - 2) : x + 12].astype(int)
    return bool(((part[..., 2] > 200) & (part[..., 0] < 60) & (part[..., 1] < 60)).any())
