"""Seeing and following real windows on a real X server."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from screens import Game, Screen, ToyWindow, until
from Xlib import X
from Xlib.display import Display

from live_sr.capture.mss import MssSource
from live_sr.capture.x11 import X11Source
from live_sr.errors import DisplayLost, LiveSRError, SourceClosed, SourceLost, UsageError
from live_sr.frame import Frame, Pixels, Rect, Size, fresh
from live_sr.overlay.desktop_x11 import X11Desktop
from live_sr.overlay.picker import the_window

ROOT = Path(__file__).parents[1]


@pytest.fixture
def desktop(screen: Screen) -> Iterator[X11Desktop]:
    desktop = X11Desktop(screen.display)
    yield desktop
    desktop.close()


@pytest.fixture
def toy(screen: Screen) -> ToyWindow:
    return ToyWindow(screen)


def settled(source: X11Source, into: Pixels | None = None) -> Frame[Pixels]:
    """The last frame of a window that no longer draws."""
    frame = source.next_frame(5.0, into)
    assert frame is not None
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
        assert np.array_equal(settled(source).pixels, picture)
        picture = toy.draw(seed=3)
        assert np.array_equal(settled(source).pixels, picture)
        on_screen = with_cover.next_frame(1.0)
        assert on_screen is not None
        assert np.array_equal(on_screen.pixels, covering)
    finally:
        with_cover.close()
        source.close()


def test_a_window_partly_off_the_screen_is_captured_whole(screen: Screen, toy: ToyWindow) -> None:
    toy.move(-100, 650)
    picture = toy.draw(seed=1)
    source = X11Source(toy.id)
    assert np.array_equal(settled(source).pixels, picture)
    source.close()


def test_a_window_may_take_any_size_and_come_back(screen: Screen, toy: ToyWindow) -> None:
    source = X11Source(toy.id)
    for seed, size in enumerate([(487, 273), (1, 1), (1, 300), (1601, 901), (320, 200)]):
        toy.resize(Size(*size))
        picture = toy.draw(seed)
        assert np.array_equal(settled(source).pixels, picture)
        assert source.size == size
    source.close()


def test_a_still_window_gives_one_frame_and_then_one_a_drawing(screen: Screen, toy: ToyWindow) -> None:
    toy.draw(seed=1)
    source = X11Source(toy.id)
    first = settled(source)
    assert 0 < first.stamps.seen <= first.stamps.captured
    assert source.next_frame(0.1) is None
    picture = toy.draw(seed=2)
    second = source.next_frame(1.0)
    assert second is not None
    assert np.array_equal(second.pixels, picture)
    assert second.stamps.seen > first.stamps.captured
    assert source.next_frame(0.1) is None
    source.close()


def test_a_frame_is_written_into_what_was_lent_if_that_fits(screen: Screen, toy: ToyWindow) -> None:
    picture = toy.draw(seed=1)
    source = X11Source(toy.id)
    lent = fresh(toy.size)
    assert settled(source, lent).pixels is lent
    assert np.array_equal(lent, picture)
    toy.draw(seed=2)
    too_small = fresh(Size(10, 10))
    assert settled(source, too_small).pixels is not too_small
    source.close()


def test_a_minimised_window_is_lost_until_it_is_restored(screen: Screen, toy: ToyWindow) -> None:
    picture = toy.draw(seed=1)
    source = X11Source(toy.id)
    settled(source)
    toy.minimise()
    for _ in range(2):
        with pytest.raises(SourceLost, match="minimised") as lost:
            source.next_frame(0.1)
        assert not isinstance(lost.value, SourceClosed)
    with pytest.raises(SourceLost, match="minimised"):
        X11Source(toy.id)
    toy.map()
    assert np.array_equal(settled(source).pixels, picture)
    reopened = X11Source(toy.id)
    picture = toy.draw(seed=2)
    assert np.array_equal(settled(reopened).pixels, picture)
    assert np.array_equal(settled(source).pixels, picture)
    source.close()
    reopened.close()


@pytest.mark.parametrize("how", ["destroy", "kill"])
def test_a_closed_window_ends_the_source_and_nothing_is_printed(
    screen: Screen, toy: ToyWindow, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    source = X11Source(toy.id)
    settled(source)
    getattr(toy, how)()
    with pytest.raises(SourceClosed, match="was closed"):
        for _ in range(50):
            source.next_frame(0.1)
    source.close()
    with pytest.raises(SourceClosed, match="was closed"):
        X11Source(toy.id)
    assert capfd.readouterr() == ("", "")


def test_both_ways_to_capture_agree_on_a_window_nothing_covers(
    screen: Screen, toy: ToyWindow, desktop: X11Desktop
) -> None:
    toy.draw(seed=1)
    toy.above()
    state = desktop.state(toy.id)
    assert state is not None
    source, region = X11Source(toy.id), MssSource(state.rect)
    for seed in (2, 3):  # drawn while it is captured: it has to reach the screen all the same
        picture = toy.draw(seed)
        ours, other = settled(source), region.next_frame(1.0)
        assert other is not None
        assert np.array_equal(ours.pixels, picture)
        assert np.array_equal(other.pixels, picture)
    assert region.size == toy.size
    source.close()
    region.close()


def test_a_real_game_delivers_distinct_frames(game: Game) -> None:
    source = X11Source(game.window)
    seen: set[bytes] = set()

    def many() -> bool:
        frame = source.next_frame(0.1)
        if frame is not None:
            assert frame.pixels.shape == (400, 640, 4)
            assert (frame.pixels[..., 3] == 255).all()
            seen.add(frame.pixels.tobytes())
        return len(seen) >= 20

    until(many, "20 distinct frames", pause_s=0)
    source.close()


def test_two_hundred_openings_leave_no_handle_and_no_shared_memory(screen: Screen, toy: ToyWindow) -> None:
    def ours() -> tuple[int, list[str]]:
        rows = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
        segments = [row for row in rows if str(os.getpid()) in row.split()[4:6]]
        return len(list(Path("/proc/self/fd").iterdir())), segments

    gc.collect()
    before = ours()
    for _ in range(200):
        source = X11Source(toy.id)
        assert source.next_frame(1.0) is not None
        source.close()
        source.close()
        with pytest.raises(SourceClosed):
            source.next_frame(0.0)
    until(lambda: ours() == before, f"what was there before: {before}", timeout_s=5.0)


def test_a_refused_opening_leaves_no_handle(screen: Screen, toy: ToyWindow) -> None:
    toy.unmap()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for window in (toy.id, 12345) * 10:
        with pytest.raises(SourceLost):
            X11Source(window)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_capturing_allocates_nothing_of_the_size_of_a_frame(game: Game) -> None:
    source = X11Source(game.window)
    first = source.next_frame(1.0)
    assert first is not None
    lent = first.pixels
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
    found = the_window(desktop.windows(), "chocolate doom")
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
    assert {w.title for w in desktop.windows()} == {"Lower", "Größer"}
    lower.above()
    until(lambda: [w.title for w in desktop.windows()] == ["Lower", "Größer"], "the lower one is listed first")
    upper.above()
    until(lambda: [w.title for w in desktop.windows()] == ["Größer", "Lower"], "the upper one is listed first")
    ours.close()


def test_windows_are_listed_without_a_window_manager_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with Screen(Size(640, 480), manager=False) as screen:
        toy = ToyWindow(screen, at=(12, 34))
        cover = ToyWindow(screen, title="An overlay", override=True)
        desktop = X11Desktop(screen.display)
        assert [(w.title, w.rect) for w in desktop.windows()] == [("Toy", Rect(12, 34, 320, 200))]
        assert [m.rect for m in desktop.monitors()] == [Rect(0, 0, 640, 480)]
        toy.unmap()
        assert desktop.state(toy.id).minimised
        toy.map()
        desktop.place(cover.id, Rect(-5, 7, 400, 300))
        assert desktop.state(cover.id).rect == Rect(-5, 7, 400, 300)
        desktop.close()


def test_the_state_follows_the_window(toy: ToyWindow, desktop: X11Desktop) -> None:
    toy.move(300, 200)
    state = desktop.state(toy.id)
    assert state is not None
    assert (state.rect, state.minimised) == (Rect(300, 200, 320, 200), False)
    toy.resize(Size(487, 273))
    state = desktop.state(toy.id)
    assert state is not None
    assert state.rect == Rect(300, 200, 487, 273)
    toy.minimise()
    state = desktop.state(toy.id)
    assert state is not None
    assert state.minimised
    toy.map()
    state = desktop.state(toy.id)
    assert state is not None
    assert not state.minimised
    toy.destroy()
    assert desktop.state(toy.id) is None
    assert toy.id not in [w.id for w in desktop.windows()]


def test_the_overlay_is_placed_above_the_others_and_a_lost_one_harms_nothing(
    screen: Screen, toy: ToyWindow, desktop: X11Desktop, capfd: pytest.CaptureFixture[str]
) -> None:
    overlay = ToyWindow(screen, override=True, title="Overlay")
    toy.above()
    desktop.place(overlay.id, Rect(100, 50, 640, 400))
    desktop.dress(overlay.id)
    state = desktop.state(overlay.id)
    assert state is not None
    assert state.rect == Rect(100, 50, 640, 400)
    overlay.size = Size(640, 400)
    picture, region = overlay.draw(seed=1), MssSource(Rect(100, 50, 640, 400))
    on_screen = region.next_frame(1.0)
    assert on_screen is not None
    assert np.array_equal(on_screen.pixels, picture)
    region.close()
    overlay.destroy()
    desktop.place(overlay.id, Rect(0, 0, 10, 10))
    desktop.dress(overlay.id)
    assert desktop.state(overlay.id) is None
    assert not desktop.exclude_from_capture(overlay.id, True)
    assert not desktop.map_pointer(None, None)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("opened", [X11Desktop, lambda: X11Source(1), lambda: MssSource(Rect(0, 0, 1, 1))])
@pytest.mark.parametrize("name", ["", ":987", "nonsense"])
def test_without_a_display_there_is_a_sentence_and_a_remedy(
    opened: type[X11Desktop], name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISPLAY", name)
    if not name:
        monkeypatch.delenv("DISPLAY")
    with pytest.raises(DisplayLost) as lost:
        opened()
    assert lost.value.message
    assert lost.value.remedy
    assert capfd.readouterr() == ("", "")


def test_a_server_that_dies_is_told_by_everything_that_talked_to_it(capfd: pytest.CaptureFixture[str]) -> None:
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
        for question in (desktop.windows, desktop.monitors, lambda: desktop.state(toy.id)):
            with pytest.raises(LiveSRError, match="connection to the X server is lost"):
                question()
        desktop.close()
    assert capfd.readouterr() == ("", "")


LOST = """
import ctypes, os, sys
from live_sr.capture.x11 import X11Source, on_connection_lost
def lost():
    print("The screen is gone.", flush=True)
    os._exit(4)
on_connection_lost(lost)
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
            assert child.communicate(timeout=30) == ("The screen is gone.\n", "")
            assert child.returncode == 4
        finally:
            child.kill()
            child.wait()
