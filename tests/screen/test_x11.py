"""Captures and follows real windows on a real X server."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from monitors import split_in_two
from patience import until
from screens import Game, Screen, ToyWindow
from Xlib import X, protocol
from Xlib.display import Display

from live_sr.capture.mss import MssSource
from live_sr.capture.x11 import X11Source
from live_sr.desktop.window_picker import find_window
from live_sr.desktop.x11 import X11Desktop
from live_sr.errors import DisplayLost, LiveSRError, SourceClosed, SourceLost, UsageError
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, make_black

ROOT = Path(__file__).parents[2]


@pytest.fixture
def desktop(screen: Screen) -> Iterator[X11Desktop]:
    desktop = X11Desktop(screen.display)
    yield desktop
    desktop.close()


@pytest.fixture
def toy(screen: Screen) -> ToyWindow:
    return ToyWindow(screen)


def wait_for_last_frame(source: X11Source, into: Pixels | None = None) -> Frame[Pixels]:
    """The last frame of a window that no longer draws."""
    frame = until(lambda: source.next_frame(0.1, into), "a frame", pause_s=0)
    while (newer := source.next_frame(0.1, into)) is not None:
        frame = newer
    return frame


@pytest.mark.parametrize(("depth", "border"), [(24, 0), (24, 3), (32, 0)])
def test_a_fully_covered_window_is_captured_pixel_for_pixel(screen: Screen, depth: int, border: int) -> None:
    toy = ToyWindow(screen, depth=depth, border=border)
    picture = toy.draw(seed=1)
    cover = ToyWindow(screen, Size(1280, 720), at=(0, 0), override=True)
    covering = cover.draw(seed=2)
    with_cover, source = MssSource(Rect(0, 0, 1280, 720)), X11Source(toy.id)
    try:
        assert np.array_equal(wait_for_last_frame(source).pixels, picture)
        picture = toy.draw(seed=3)
        assert np.array_equal(wait_for_last_frame(source).pixels, picture)
        on_screen = with_cover.next_frame(1.0)
        assert on_screen is not None
        assert np.array_equal(on_screen.pixels, covering)
    finally:
        with_cover.close()
        source.close()


def test_a_shadow_that_a_window_draws_itself_is_no_part_of_its_picture(
    screen: Screen, toy: ToyWindow, desktop: X11Desktop
) -> None:
    picture = toy.draw(seed=1)
    source = X11Source(toy.id)
    toy.set_shadow(26, 24, 23, 29)
    inside = picture[23 : 200 - 29, 26 : 320 - 24]
    until(lambda: np.array_equal(wait_for_last_frame(source).pixels, inside), "the picture without its shadow")
    assert source.size == Size(270, 148)
    state = desktop.get_window_state(toy.id)
    assert state is not None
    assert state.rect == Rect(40 + 26, 60 + 23, 270, 148)
    toy.set_shadow(300, 300, 0, 0)  # more than there is of the window: not believed
    until(lambda: np.array_equal(wait_for_last_frame(source).pixels, picture), "the whole window")
    source.close()


def test_a_game_that_draws_in_halves_is_captured_whole(screen: Screen, toy: ToyWindow) -> None:
    source, count = X11Source(toy.id), 60
    wait_for_last_frame(source)
    playing = threading.Thread(target=toy.play_halves, args=(count,))
    playing.start()
    frames = halves = 0
    while playing.is_alive():
        frame = source.next_frame(0.1)
        if frame is not None:
            frames += 1
            halves += not np.array_equal(frame.pixels[0, 0], frame.pixels[-1, 0])
    playing.join()
    source.close()
    assert frames >= count // 3
    assert halves <= frames // 4, f"{halves} of {frames} frames are half drawn"


def test_a_window_partly_off_the_screen_is_captured_whole(screen: Screen, toy: ToyWindow) -> None:
    toy.move(-100, 650)
    picture = toy.draw(seed=1)
    source = X11Source(toy.id)
    assert np.array_equal(wait_for_last_frame(source).pixels, picture)
    source.close()


def test_a_window_may_take_any_size_and_come_back(screen: Screen, toy: ToyWindow) -> None:
    source = X11Source(toy.id)
    for seed, size in enumerate([(487, 273), (1, 1), (1, 300), (1601, 901), (320, 200)]):
        toy.resize(Size(*size))
        picture = toy.draw(seed)
        assert np.array_equal(wait_for_last_frame(source).pixels, picture)
        assert source.size == size
    source.close()


def test_a_still_window_gives_one_frame_and_then_one_a_drawing(screen: Screen, toy: ToyWindow) -> None:
    toy.draw(seed=1)
    source = X11Source(toy.id)
    first = wait_for_last_frame(source)
    assert 0 < first.stamps.seen <= first.stamps.captured
    assert source.next_frame(0.1) is None
    picture = toy.draw(seed=2)
    second = until(lambda: source.next_frame(0.1), "a frame", pause_s=0)
    assert np.array_equal(second.pixels, picture)
    assert second.stamps.seen > first.stamps.captured
    assert source.next_frame(0.1) is None
    source.close()


def test_a_frame_is_written_into_what_was_lent_if_that_fits(screen: Screen, toy: ToyWindow) -> None:
    picture = toy.draw(seed=1)
    source = X11Source(toy.id)
    lent = make_black(toy.size)
    assert wait_for_last_frame(source, lent).pixels is lent
    assert np.array_equal(lent, picture)
    toy.draw(seed=2)
    too_small = make_black(Size(10, 10))
    assert wait_for_last_frame(source, too_small).pixels is not too_small
    source.close()


def test_a_minimised_window_is_lost_until_it_is_restored(screen: Screen, toy: ToyWindow) -> None:
    picture = toy.draw(seed=1)
    source = X11Source(toy.id)
    wait_for_last_frame(source)
    toy.minimise()
    for _ in range(2):
        with pytest.raises(SourceLost, match="minimised") as lost:
            source.next_frame(0.1)
        assert not isinstance(lost.value, SourceClosed)
    with pytest.raises(SourceLost, match="minimised"):
        X11Source(toy.id)
    toy.map()
    assert np.array_equal(wait_for_last_frame(source).pixels, picture)
    reopened = X11Source(toy.id)
    picture = toy.draw(seed=2)
    assert np.array_equal(wait_for_last_frame(reopened).pixels, picture)
    assert np.array_equal(wait_for_last_frame(source).pixels, picture)
    source.close()
    reopened.close()


@pytest.mark.parametrize("how", ["destroy", "kill"])
def test_a_closed_window_ends_the_source_and_nothing_is_printed(
    screen: Screen, toy: ToyWindow, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    source = X11Source(toy.id)
    wait_for_last_frame(source)
    getattr(toy, how)()
    with pytest.raises(SourceClosed, match="was closed"):
        until(lambda: source.next_frame(0.1) and None, "the end of the source", pause_s=0)
    source.close()
    with pytest.raises(SourceClosed, match="was closed"):
        X11Source(toy.id)
    assert capfd.readouterr() == ("", "")


def test_both_ways_to_capture_agree_on_a_window_nothing_covers(
    screen: Screen, toy: ToyWindow, desktop: X11Desktop
) -> None:
    toy.draw(seed=1)
    toy.raise_to_top()
    state = desktop.get_window_state(toy.id)
    assert state is not None
    source, region = X11Source(toy.id), MssSource(state.rect)
    for seed in (2, 3):  # drawn while it is captured: it has to reach the screen all the same
        picture = toy.draw(seed)
        ours, other = wait_for_last_frame(source), region.next_frame(1.0)
        assert other is not None
        assert np.array_equal(ours.pixels, picture)
        assert np.array_equal(other.pixels, picture)
    assert region.size == toy.size
    source.close()
    region.close()


def test_a_real_game_delivers_distinct_frames(game: Game) -> None:
    source = X11Source(game.window)
    seen: set[bytes] = set()

    def has_many() -> bool:
        frame = source.next_frame(0.1)
        if frame is not None:
            assert frame.pixels.shape == (400, 640, 4)
            assert (frame.pixels[..., 3] == 255).all()
            seen.add(frame.pixels.tobytes())
        return len(seen) >= 20

    until(has_many, "20 distinct frames", pause_s=0)
    source.close()


def test_two_hundred_openings_leave_no_handle_and_no_shared_memory(screen: Screen, toy: ToyWindow) -> None:
    def list_handles() -> tuple[int, list[str]]:
        rows = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
        segments = [row for row in rows if str(os.getpid()) in row.split()[4:6]]
        return len(list(Path("/proc/self/fd").iterdir())), segments

    gc.collect()
    before = list_handles()
    for _ in range(200):
        source = X11Source(toy.id)
        until(lambda source=source: source.next_frame(0.1), "a frame", pause_s=0)  # type: ignore[misc]
        source.close()
        source.close()
        with pytest.raises(SourceClosed):
            source.next_frame(0.0)
    until(lambda: list_handles() == before, f"only the handles from before are left: {before}", 5.0)


def test_a_refused_opening_leaves_no_handle(screen: Screen, toy: ToyWindow) -> None:
    toy.unmap()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for window in (toy.id, 12345) * 10:
        with pytest.raises(SourceLost):
            X11Source(window)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_capturing_allocates_nothing_of_the_size_of_a_frame(game: Game) -> None:
    source = X11Source(game.window)
    lent = until(lambda: source.next_frame(0.1), "a frame", pause_s=0).pixels
    tracemalloc.start()
    for _ in range(30):
        source.next_frame(0.1, lent)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    source.close()
    assert peak < lent.nbytes / 8


@pytest.mark.parametrize(
    ("region", "sentence"),
    [
        (Rect(0, 0, 0, 5), "is empty"),
        (Rect(0, 0, 5, -5), "is empty"),
        (Rect(1200, 0, 100, 100), "is not on the screen, which is 1280x720"),
        (Rect(-1, 0, 100, 100), "is not on the screen"),
    ],
)
def test_a_region_that_cannot_be_captured_is_refused_with_a_sentence(
    screen: Screen, region: Rect, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        MssSource(region)


def test_the_game_is_listed_with_title_size_and_process(game: Game, desktop: X11Desktop) -> None:
    found = find_window(desktop.list_windows(), "chocolate doom")
    assert "Chocolate Doom" in found.title
    assert found.rect.size == (640, 400)
    assert (found.process, found.pid, found.id) == ("chocolate-doom", game.pid, game.window)


def test_windows_are_listed_topmost_first_without_ours_and_without_small_nameless_ones(
    screen: Screen, desktop: X11Desktop
) -> None:
    lower, upper = ToyWindow(screen, title="Lower"), ToyWindow(screen, title="Größer", depth=32)
    ToyWindow(screen, Size(31, 31), title="")
    ours = Display(screen.display)
    window = ours.screen().root.create_window(0, 0, 200, 100, 0, X.CopyFromParent)
    window.set_wm_name("Ours")
    window.change_property(ours.get_atom("_NET_WM_PID"), ours.get_atom("CARDINAL"), 32, [os.getpid()])
    window.map()
    ours.sync()
    listed = "_NET_CLIENT_LIST"
    root = ours.screen().root
    until(
        lambda: window.id in root.get_full_property(ours.get_atom(listed), X.AnyPropertyType).value, "ours is managed"
    )
    assert {w.title for w in desktop.list_windows()} == {"Lower", "Größer"}
    lower.raise_to_top()
    until(lambda: [w.title for w in desktop.list_windows()] == ["Lower", "Größer"], "the lower one is listed first")
    upper.raise_to_top()
    until(lambda: [w.title for w in desktop.list_windows()] == ["Größer", "Lower"], "the upper one is listed first")
    ours.close()


def test_windows_are_listed_without_a_window_manager_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with Screen(Size(640, 480), manager="") as screen:
        toy = ToyWindow(screen, at=(12, 34))
        cover = ToyWindow(screen, title="An overlay", override=True)
        desktop = X11Desktop(screen.display)
        assert [(w.title, w.rect) for w in desktop.list_windows()] == [("Toy", Rect(12, 34, 320, 200))]
        assert [m.rect for m in desktop.list_monitors()] == [Rect(0, 0, 640, 480)]
        toy.unmap()
        assert desktop.get_window_state(toy.id).minimised
        toy.map()
        desktop.place_overlay(cover.id, Rect(-5, 7, 400, 300))
        assert desktop.get_window_state(cover.id).rect == Rect(-5, 7, 400, 300)
        desktop.close()


def test_the_state_follows_the_window(toy: ToyWindow, desktop: X11Desktop) -> None:
    toy.move(300, 200)
    state = desktop.get_window_state(toy.id)
    assert state is not None
    assert (state.rect, state.minimised) == (Rect(300, 200, 320, 200), False)
    toy.resize(Size(487, 273))
    state = desktop.get_window_state(toy.id)
    assert state is not None
    assert state.rect == Rect(300, 200, 487, 273)
    toy.minimise()
    state = desktop.get_window_state(toy.id)
    assert state is not None
    assert state.minimised
    toy.map()
    state = desktop.get_window_state(toy.id)
    assert state is not None
    assert not state.minimised
    toy.destroy()
    assert desktop.get_window_state(toy.id) is None
    assert toy.id not in [w.id for w in desktop.list_windows()]


def test_nothing_is_asked_while_nothing_changes_and_every_change_is_seen(
    screen: Screen, toy: ToyWindow, desktop: X11Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    send = protocol.display.Display.send_request
    monkeypatch.setattr(
        protocol.display.Display, "send_request", lambda display, *what: (asked.append(what), send(display, *what))[1]
    )
    other = ToyWindow(screen, title="Other", override=True)

    def look() -> tuple[object, ...]:
        return desktop.get_window_state(toy.id), desktop.list_monitors(), desktop.list_stack(toy.id, 0)

    def is_quiet() -> bool:
        asked.clear()
        for _ in range(10):
            look()
        return not asked

    changes = [
        lambda: toy.move(300, 200),
        lambda: toy.resize(Size(200, 150)),
        lambda: toy.set_shadow(10, 20, 30, 40),
        other.unmap,
        other.map,
        lambda: toy.open_dialog(Rect(700, 420, 200, 150), 0x3060C0),
        toy.close_other,
        toy.minimise,
        toy.map,
        other.destroy,
        toy.destroy,
    ]
    for change in changes:
        until(is_quiet, "nothing is asked any more")
        before = look()
        change()
        until(lambda before=before: look() != before, "the change is seen")  # type: ignore[misc]
    until(is_quiet, "nothing is asked any more")
    with split_in_two(screen) as halves:
        until(lambda: {*halves} <= {monitor.rect for monitor in desktop.list_monitors()}, "the monitors are seen")
    until(lambda: len(desktop.list_monitors()) == 1, "the monitors are gone")


def test_without_a_window_manager_the_active_window_follows_the_focus() -> None:
    with Screen(Size(640, 480), manager="") as screen:
        game, other = ToyWindow(screen), ToyWindow(screen, title="Other", at=(400, 300))
        desktop = X11Desktop(screen.display)
        for focused in (game, other, game):
            subprocess.run(["xdotool", "windowfocus", str(focused.id)], env=screen.env, check=True)
            until(
                lambda focused=focused: [w.id for w in desktop.list_stack(game.id, 0) if w.active] == [focused.id],  # type: ignore[misc]
                "the window with the focus is the active one",
            )
        desktop.close()


@pytest.mark.parametrize("screen", ["openbox", ""], indirect=True)
def test_a_window_of_another_program_is_placed_by_its_content_and_put_back(screen: Screen, desktop: X11Desktop) -> None:
    toy = ToyWindow(screen)
    toy.set_shadow(10, 20, 30, 40)
    state = desktop.get_window_state(toy.id)
    assert state is not None
    for place in (Rect(200, 150, 500, 300), state.rect):
        desktop.place_window(toy.id, place)
        until(lambda place=place: desktop.get_window_state(toy.id).rect == place, "it is there")  # type: ignore[misc, union-attr]
    toy.destroy()
    desktop.place_window(toy.id, Rect(0, 0, 10, 10))
    assert desktop.get_window_state(toy.id) is None


def test_the_overlay_is_placed_above_the_others_and_a_lost_one_harms_nothing(
    screen: Screen, toy: ToyWindow, desktop: X11Desktop, capfd: pytest.CaptureFixture[str]
) -> None:
    overlay = ToyWindow(screen, override=True, title="Overlay")
    toy.raise_to_top()
    desktop.place_overlay(overlay.id, Rect(100, 50, 640, 400))
    desktop.apply_window_styles(overlay.id)
    state = desktop.get_window_state(overlay.id)
    assert state is not None
    assert state.rect == Rect(100, 50, 640, 400)
    overlay.size = Size(640, 400)
    picture, region = overlay.draw(seed=1), MssSource(Rect(100, 50, 640, 400))
    on_screen = region.next_frame(1.0)
    assert on_screen is not None
    assert np.array_equal(on_screen.pixels, picture)
    region.close()
    overlay.destroy()
    desktop.place_overlay(overlay.id, Rect(0, 0, 10, 10))
    desktop.apply_window_styles(overlay.id)
    assert desktop.get_window_state(overlay.id) is None
    assert not desktop.exclude_from_capture(overlay.id, True)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("open_it", [X11Desktop, lambda: X11Source(1), lambda: MssSource(Rect(0, 0, 1, 1))])
@pytest.mark.parametrize("name", ["", ":987", "nonsense"])
def test_without_a_display_there_is_a_sentence_and_a_remedy(
    open_it: type[X11Desktop], name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISPLAY", name)
    if not name:
        monkeypatch.delenv("DISPLAY")
    with pytest.raises(DisplayLost) as lost:
        open_it()
    assert lost.value.message
    assert lost.value.remedy
    assert capfd.readouterr() == ("", "")


def test_everything_connected_to_a_server_that_dies_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    with Screen(Size(640, 480)) as screen:
        toy = ToyWindow(screen)
        opened = (X11Source(toy.id, display=screen.display), MssSource(Rect(0, 0, 9, 9), display=screen.display))
        desktop = X11Desktop(screen.display)
        screen.server.kill()
        screen.server.wait()
        for source in opened:
            with pytest.raises(SourceLost) as lost:
                for _ in range(3):
                    source.next_frame(1.0)
            assert not isinstance(lost.value, SourceClosed)
            source.close()
        for call in (desktop.list_windows, desktop.list_monitors, lambda: desktop.get_window_state(toy.id)):
            with pytest.raises(LiveSRError, match="connection to the X server is lost"):
                call()
        desktop.close()
    assert capfd.readouterr() == ("", "")


LOST = """
import ctypes, os, sys
from live_sr.capture.x11 import X11Source, set_connection_lost_callback
def lost():
    print("The screen is gone.", flush=True)
    os._exit(4)
set_connection_lost_callback(lost)
"""
SOURCE = """
source = X11Source(int(sys.argv[1]))
print("ready", flush=True)
while True:
    source.next_frame(0.1)
"""
XLIB = """
xlib = ctypes.CDLL("libX11.so.6")
xlib.XOpenDisplay.restype = ctypes.c_void_p
display = ctypes.c_void_p(xlib.XOpenDisplay(None))
print("ready", flush=True)
while True:
    xlib.XSync(display, 0)
"""


@pytest.mark.parametrize("rest", [SOURCE, XLIB], ids=["ours", "Xlib's"])
def test_a_lost_connection_calls_the_handler_so_that_one_sentence_is_printed(rest: str) -> None:
    with Screen(Size(320, 240)) as screen:
        toy = ToyWindow(screen)
        child = subprocess.Popen(
            [sys.executable, "-c", LOST + rest, str(toy.id)],
            cwd=ROOT,
            env=screen.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            screen.server.kill()
            assert child.communicate() == ("The screen is gone.\n", "")
            assert child.returncode == 4
        finally:
            child.kill()
            child.wait()
