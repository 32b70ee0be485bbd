"""Native Wayland windows: what GNOME's compositor draws, through its portal and PipeWire, to our pixels."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from time import perf_counter_ns

import numpy as np
import pytest
from cast_portal import CastPortal, MutterCast
from gnome_screen import GnomeScreen, WaylandToy, list_missing_programs
from overlay_process import OverlayProcess, StartOverlay, is_same_picture
from patience import until
from screens import HD, forget_extensions
from wayland_toy import CLOCK_PIXELS

from live_sr.capture.pipewire import PipeWireSource
from live_sr.capture.screen_cast import (
    CLOSED,
    CURSOR_HIDDEN,
    PERSIST_UNTIL_REVOKED,
    WINDOW,
    ScreenCast,
    share_window,
    unavailable_reason,
)
from live_sr.engines.filters.engine import resize
from live_sr.errors import SourceClosed, SourceLost, UsageError, WindowNotFound
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, get_size

pytestmark = pytest.mark.skipif(bool(list_missing_programs()), reason=f"missing: {', '.join(list_missing_programs())}")


@pytest.fixture(scope="module")
def _gnome() -> Iterator[GnomeScreen]:
    with GnomeScreen() as screen:
        yield screen


def enter(screen: GnomeScreen, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, this process is a program of that session."""
    forget_extensions(monkeypatch)
    for name in ("DISPLAY", "HOME", "XDG_RUNTIME_DIR", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XAUTHORITY"):
        monkeypatch.setenv(name, screen.env[name])


@pytest.fixture
def gnome(_gnome: GnomeScreen, monkeypatch: pytest.MonkeyPatch) -> Iterator[GnomeScreen]:
    enter(_gnome, monkeypatch)
    yield _gnome
    _gnome.clear()


def read_clock(pixels: Pixels) -> int:
    """When the toy painted this, in nanoseconds of `perf_counter_ns`."""
    return int(struct.unpack("<q", pixels[0, :CLOCK_PIXELS, :3].tobytes()[:8])[0])


def find_playing(source: PipeWireSource, begun: int) -> Frame[Pixels] | None:
    """The next frame if the toy painted its clock into it after `begun`: before it plays it shows noise there."""
    frame = source.next_frame(0.1)
    return frame if frame is not None and begun < read_clock(frame.pixels) < perf_counter_ns() else None


def cut_links(gnome: GnomeScreen) -> None:
    """Cuts the links between all PipeWire streams, which pauses them."""
    listed = subprocess.run(["pw-link", "-l", "-I"], env=gnome.env, capture_output=True, text=True, check=True).stdout
    links = {words[0] for words in map(str.split, listed.splitlines()) if "|->" in words}
    assert links
    for link in links:
        subprocess.run(["pw-link", "-d", link], env=gnome.env, check=True)


def wait_for_picture(source: PipeWireSource, toy: WaylandToy, seed: int) -> None:
    """Draws a picture until it arrives, equal in every bit: the compositor misses some that are drawn only once."""

    def is_there() -> bool:
        expected = toy.draw(seed)
        frames = (source.next_frame(0.1) for _ in range(5))
        return any(frame is not None and np.array_equal(frame.pixels, expected) for frame in frames)

    until(is_there, "the picture that was drawn", pause_s=0)


@pytest.fixture
def portal(gnome: GnomeScreen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CastPortal]:
    """Shares the window that has the focus."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with CastPortal(gnome) as portal:
        yield portal


@pytest.fixture
def share(portal: CastPortal) -> Iterator[Callable[[], ScreenCast]]:
    """Asks for a window as `live-sr run --window toy` does."""
    shared: list[ScreenCast] = []

    def share() -> ScreenCast:
        shared.append(share_window("toy"))
        return shared[-1]

    yield share
    for cast in shared:
        cast.close()


def lose(source: PipeWireSource) -> str:
    """Why it was lost, once it is."""

    def find() -> str | None:
        try:
            source.next_frame(0.1)
        except SourceLost as error:
            return error.message
        return None

    return until(find, "the loss of the source", pause_s=0)


def wait_for_end(cast: ScreenCast) -> str:
    """Why the sharing has ended, once it has."""
    return until(lambda: cast.find_end() or None, "the end of the sharing")


PAUSED = "the desktop has paused the picture of the window"
Share = Callable[[], ScreenCast]


def test_every_picture_arrives_as_it_was_drawn(gnome: GnomeScreen, portal: CastPortal, share: Share) -> None:
    toy = WaylandToy(gnome)
    with closing(share().open_source()) as source:
        for seed in range(1, 6):
            wait_for_picture(source, toy, seed)
        toy.resize(Size(402, 267))
        wait_for_picture(source, toy, 6)
        assert source.size == (402, 267)
    (asked,) = portal.asked
    assert (asked["types"], asked["multiple"], asked["cursor_mode"]) == (WINDOW, False, CURSOR_HIDDEN)


def test_a_frame_has_the_time_at_which_the_desktop_drew_it(gnome: GnomeScreen, share: Share) -> None:
    toy = WaylandToy(gnome)
    before = perf_counter_ns()
    toy.play(20)
    with closing(share().open_source()) as source:
        seen = [until(lambda: find_playing(source, before), "a frame", pause_s=0) for _ in range(10)]
    after = perf_counter_ns()
    for earlier, later in pairwise(seen):
        painted = read_clock(later.pixels)
        assert before < painted < later.stamps.seen < later.stamps.captured < after
        assert earlier.stamps.seen < later.stamps.seen


def test_the_choice_is_remembered_for_each_game(portal: CastPortal, gnome: GnomeScreen) -> None:
    WaylandToy(gnome).draw(1)
    for game in ("toy", "other", "Toy", "toy"):
        share_window(game).close()
    given = [asked.get("restore_token") for asked in portal.asked]
    assert given == [None, None, "token 1", "token 3"]
    assert {asked["persist_mode"] for asked in portal.asked} == {PERSIST_UNTIL_REVOKED}


def test_a_paused_stream_is_lost_and_comes_back(gnome: GnomeScreen, share: Share) -> None:
    toy = WaylandToy(gnome)
    cast = share()
    with closing(cast.open_source()) as source:
        wait_for_picture(source, toy, 1)
        cut_links(gnome)
        assert lose(source) == PAUSED
    assert cast.find_end() == ""
    with closing(cast.open_source()) as source:
        wait_for_picture(source, toy, 2)
    assert cast.find_end() == ""


def test_a_window_that_is_closed_ends_it_with_one_sentence(gnome: GnomeScreen, share: Share) -> None:
    toy = WaylandToy(gnome)
    cast = share()
    with closing(cast.open_source()) as source:
        wait_for_picture(source, toy, 1)
        toy.close()
        assert lose(source) in (PAUSED, "the desktop has ended the picture of the window")  # newer ones pause it first
    assert wait_for_end(cast) == CLOSED
    with pytest.raises(SourceClosed, match=CLOSED):
        cast.open_source()


def test_the_desktops_button_ends_it(portal: CastPortal, gnome: GnomeScreen, share: Share) -> None:
    toy = WaylandToy(gnome)
    cast = share()
    with closing(cast.open_source()) as source:
        wait_for_picture(source, toy, 1)
        portal.stop_sharing()
        assert wait_for_end(cast) == CLOSED


def test_a_portal_that_crashes_leaves_the_picture(portal: CastPortal, gnome: GnomeScreen, share: Share) -> None:
    toy = WaylandToy(gnome)
    cast = share()
    with closing(cast.open_source()) as source:
        wait_for_picture(source, toy, 1)
        portal.crash()
        wait_for_picture(source, toy, 2)
        assert cast.find_end() == ""
    with pytest.raises(SourceLost, match="portal"):
        cast.open_source()
    assert wait_for_end(cast) == CLOSED


def test_saying_no_to_the_dialog_is_one_sentence(portal: CastPortal, gnome: GnomeScreen) -> None:
    portal.answer = "no"
    with pytest.raises(WindowNotFound, match="no window was shared: the desktop's dialog was cancelled") as caught:
        share_window("toy")
    assert "choose the game's window" in caught.value.remedy


def test_a_window_that_the_desktop_cannot_share_is_not_called_cancelled(portal: CastPortal, gnome: GnomeScreen) -> None:
    portal.answer = "impossible"
    with pytest.raises(WindowNotFound, match="or cannot share what was chosen there") as caught:
        share_window("toy")
    assert "graphics card" in caught.value.remedy


def test_a_monitor_in_place_of_a_window_is_noticed(portal: CastPortal, gnome: GnomeScreen, share: Share) -> None:
    portal.answer = "monitor"
    stream = share().stream
    assert not stream.is_window and stream.rect == (0, 0, *HD)


def test_doctor_says_whether_a_window_can_be_shared(gnome: GnomeScreen, portal: CastPortal) -> None:
    assert unavailable_reason() == ""
    portal.crash()
    assert "portal" in unavailable_reason()


@pytest.fixture
def start(gnome: GnomeScreen, portal: CastPortal, tmp_path: Path) -> Iterator[StartOverlay]:
    """Starts `live-sr run` over a native window."""
    started: list[OverlayProcess] = []

    def start(*arguments: str) -> OverlayProcess:
        (tmp_path / "config.toml").write_text('hud.level = "off"\noverlay.pointer = "view"\n')
        started.append(OverlayProcess(gnome, tmp_path, "--model", "nearest", "--window", "toy", *arguments))
        return started[-1]

    yield start
    for over in started:
        over.kill()


def test_a_native_window_is_seen_enlarged_on_the_screen(gnome: GnomeScreen, start: StartOverlay) -> None:
    toy = WaylandToy(gnome)
    over = start()
    wait_until_open(over, toy)
    place = until(lambda: find_settled_place(gnome, over), "the window has its place")
    with closing(MutterCast(gnome)) as cast:
        node = cast.start("monitor")
        assert node is not None
        with closing(PipeWireSource(node, gnome.connect_to_pipewire())) as monitor:
            for seed in range(1, 4):
                wait_for_screen(monitor, toy, place, seed)
    toy.close()
    assert over.wait_for_exit() == 0, over.output
    assert f"it ended because {CLOSED}" in over.output
    assert "not found on X11: there is no window" in over.output


def wait_until_open(over: OverlayProcess, toy: WaylandToy) -> None:
    """Draws until live-sr's window is open: the compositor may miss a picture that is drawn only once."""

    def is_open() -> bool:
        toy.draw(1)
        return over.rect is not None or over.process.poll() is not None

    until(is_open, "the picture is shown", pause_s=0.2)
    assert over.process.poll() is None, over.output


def wait_for_screen(monitor: PipeWireSource, toy: WaylandToy, place: Rect, seed: int) -> None:
    """Draws a picture until the monitor shows it, enlarged, in the middle of a window at that place."""

    def is_shown() -> bool:
        twice = toy.draw(seed).repeat(2, axis=0).repeat(2, axis=1)
        expected = resize(twice, get_size(twice).fit_into(place.size))
        size = get_size(expected)
        left, top = place.x + (place.width - size.width) // 2, place.y + (place.height - size.height) // 2
        frames = [monitor.next_frame(0.1) for _ in range(5)]
        shown = [f.pixels[top : top + size.height, left : left + size.width] for f in frames if f is not None]
        return any(is_same_picture(picture, expected) for picture in shown)

    until(is_shown, "the picture on the screen", pause_s=0)


def find_settled_place(screen: GnomeScreen, over: OverlayProcess) -> Rect | None:
    """Where live-sr's window is on the desktop; None while it moves."""
    places = [read_place(screen, over.process.pid) for _ in range(2)]
    return places[0] if places[0] == places[1] else None


def read_place(screen: GnomeScreen, pid: int) -> Rect | None:
    """Where on the desktop the visible window of a process is."""

    def ask(*command: str) -> str:
        return subprocess.run(command, env=screen.env, capture_output=True, text=True).stdout

    for window in ask("xdotool", "search", "--onlyvisible", "--pid", str(pid)).split():
        told = dict(re.findall(r"(Absolute upper-left [XY]|Width|Height): +(-?\d+)", ask("xwininfo", "-id", window)))
        numbers = [int(number) for number in told.values()]
        if len(numbers) == 4 and numbers[2] > 1:
            return Rect(*numbers)
    return None


def test_without_a_choice_the_run_ends_with_one_sentence(portal: CastPortal, start: StartOverlay) -> None:
    portal.answer = "no"
    over = start("--capture", "pipewire")
    assert over.wait_for_exit() == WindowNotFound.exit_code
    assert "no window was shared" in over.output and "Traceback" not in over.output


def test_a_monitor_that_leaves_no_room_for_the_picture_is_refused(portal: CastPortal, start: StartOverlay) -> None:
    portal.answer = "monitor"
    over = start("--capture", "pipewire")
    assert over.wait_for_exit() == UsageError.exit_code
    assert "the desktop shares a whole monitor and no window" in over.output
    assert "leaves no room for a window that is not captured with it" in over.output
    assert over.rect is None


def test_beside_a_shared_monitor_the_picture_opens_on_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with GnomeScreen(monitors=2) as screen, CastPortal(screen, "monitor"):
        enter(screen, monkeypatch)
        screen.env["XDG_STATE_HOME"] = str(tmp_path / "state")
        toy = WaylandToy(screen)
        over = OverlayProcess(screen, tmp_path, "--model", "nearest", "--capture", "pipewire")
        try:
            wait_until_open(over, toy)
            place = until(lambda: find_settled_place(screen, over), "the window has its place")
            assert place.intersect(Rect(0, 0, *HD)).width == 0, "it does not lie on the shared monitor"
        finally:
            over.kill()
