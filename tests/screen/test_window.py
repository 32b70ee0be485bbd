"""The overlay's windows on a real X server: what is on the screen, and what passes through."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from overlay_windows import (
    SIZE,
    grab,
    make_frame,
    make_picture,
    make_plain_frame,
    open_window,
    pump_until,
    show_frames,
    show_window,
    to_host_frame,
)
from PyQt6 import sip
from PyQt6.QtCore import QCoreApplication
from PyQt6.QtGui import QImage, QOpenGLContext, QPainter
from screens import Screen, ToyWindow, find_program
from software_card import WINDOW_KINDS
from Xlib import X
from Xlib.display import Display

from live_sr.errors import EngineError
from live_sr.overlay import gl_texture, gl_window
from live_sr.overlay.cursor import DrawnCursor
from live_sr.overlay.raster_window import RasterWindow
from live_sr.overlay.surface import compute_bars, compute_placement
from live_sr.overlay.triple_buffer import TripleBuffer
from live_sr.overlay.window_factory import make_window
from live_sr.pipeline.desktop_contracts import CursorShape
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, Stamps, get_size, make_black
from live_sr.pipeline.latency import Latency

# Which picture is where, without a screen


@pytest.mark.parametrize(
    ("what", "size", "room", "expected"),
    [
        ("the fitted size fills the room", (960, 540), (960, 540), (0, 0, 960, 540)),
        ("a smaller one is centred, not enlarged", (320, 200), (960, 540), (320, 170, 320, 200)),
        ("a larger one is made to fit", (1920, 1080), (960, 540), (0, 0, 960, 540)),
        ("with its aspect kept: bars at the sides", (640, 400), (400, 200), (40, 0, 320, 200)),
        ("with its aspect kept: bars above and below", (640, 400), (320, 300), (0, 50, 320, 200)),
        ("one pixel too many is not worth a blur", (961, 541), (960, 540), (0, 0, 961, 541)),
        ("a window of one pixel", (960, 540), (1, 1), (0, 0, 1, 1)),
        ("a picture of one column", (1, 540), (960, 270), (479, 0, 1, 270)),
    ],
)
def test_a_picture_is_placed_whole_and_undistorted(what, size, room, expected):
    place = compute_placement(Size(*size), Size(*room))
    assert place == Rect(*expected), what


@pytest.mark.parametrize(
    ("size", "room", "expected"),
    [
        ((640, 400), (960, 540), (160, 30, 640, 480)),
        ((1280, 800), (960, 540), (120, 0, 720, 540)),
        ((720, 540), (960, 540), (120, 0, 720, 540)),  # was given that aspect before
    ],
)
def test_a_picture_is_placed_with_the_aspect_of_the_settings(size, room, expected):
    assert compute_placement(Size(*size), Size(*room), 4 / 3) == Rect(*expected)


@pytest.mark.parametrize("room", [(10, 8), (7, 7), (30, 4), (5, 40), (1, 1)])
@pytest.mark.parametrize("size", [(10, 8), (3, 3), (50, 20), (1, 9)])
def test_picture_and_bars_cover_every_pixel_once(size, room):
    place = compute_placement(Size(*size), Size(*room))
    covered = np.zeros((room[1], room[0]), int)
    for rect in [place, *compute_bars(place, Size(*room))]:
        covered[rect.y : rect.y + rect.height, rect.x : rect.x + rect.width] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize(
    ("what", "steps", "given_back", "dropped"),
    [
        ("every frame painted: the one before last comes back", "p1 t p2 t p3 t p4", [None, None, 1, 2], 0),
        ("a frame that nobody took comes back at once", "p1 p2 p3", [None, 1, 2], 2),
        ("the one on screen stays while newer ones replace each other", "p1 t p2 p3 p4", [None, None, 2, 3], 2),
        ("nothing new to take keeps the one on screen", "p1 t t p2 t p3", [None, None, 1], 0),
        ("nobody looks: replaced frames are not missed", "p1 t u p2 p3 p4 t p5", [None, None, 2, 3, 1], 0),
        ("somebody looks again: they are", "p1 u p2 t p3 p4", [None, 1, None, 3], 1),
    ],
)
def test_frames_go_round(what, steps, given_back, dropped):
    latency = Latency()
    buffer = TripleBuffer(latency)
    back: list[int | None] = []
    for step in steps.split():
        if step == "t":
            buffer.take()
        elif step == "u":
            buffer.ignore_drops()
        else:
            got, _ = buffer.put(Frame(make_black(Size(1, 1)), number=int(step[1:])))
            back.append(got.number if got else None)
    assert back == given_back, what
    assert latency.report().dropped == dropped


def test_the_gui_thread_is_told_once_until_it_takes():
    buffer = TripleBuffer(Latency())
    told = [buffer.put(make_plain_frame(Size(1, 1), n))[1] for n in range(3)]
    buffer.take()
    assert [*told, buffer.put(make_plain_frame(Size(1, 1), 3))[1]] == [True, False, False, True]


# On the screen


def check(kind: str, is_shown: Callable[[], bool]) -> None:
    """What is shown is on the screen at once; only a card hands it to the X server by itself, a moment later."""
    if kind == "gpu":
        pump_until(is_shown)
    else:
        assert is_shown()


@pytest.mark.parametrize("kind", WINDOW_KINDS)
@pytest.mark.parametrize("mode", ["cover", "beside"])
def test_the_pixels_on_the_screen_are_those_given(qt, kind, mode):
    window, display, _ = open_window(kind, mode)

    def grab_window() -> Pixels:
        """Wherever the window manager has put it by now."""
        origin = window.position() if kind == "gl" else window.mapToGlobal(window.rect().topLeft())
        return grab(Rect(origin.x(), origin.y(), *SIZE))

    for seed in (1, 2, 3):
        one = make_frame(seed=seed)
        show_frames(window, display, one)
        check(kind, lambda one=one: np.array_equal(grab_window(), one.pixels[..., :3]))


@pytest.mark.parametrize("kind", WINDOW_KINDS)
@pytest.mark.parametrize("size", [Size(200, 100), Size(321, 60), Size(1, 1), Size(187, 173)])
def test_a_smaller_picture_is_centred_on_black(qt, kind, size):
    window, display, _ = open_window(kind)
    one = make_frame(size)
    show_frames(window, display, make_frame(seed=9), one)
    expected = np.zeros((SIZE.height, SIZE.width, 3), np.uint8)
    place = compute_placement(size, SIZE)
    wide = min(size.width, SIZE.width)
    expected[place.y : place.y + size.height, place.x : place.x + wide] = one.pixels[:, :wide, :3]
    check(kind, lambda: np.array_equal(grab(Rect(50, 40, *SIZE)), expected))


@pytest.mark.parametrize("kind", WINDOW_KINDS)
def test_a_picture_of_another_aspect_is_stretched(qt, kind):
    window, display, _ = open_window(kind, aspect=1.0)
    show_frames(window, display, make_plain_frame(Size(100, 50), 200))
    where = window.find_picture()
    assert where is not None
    assert where.size == (100, 100)

    def is_in_place() -> bool:
        pixels = grab(Rect(50, 40, *SIZE)).astype(int)
        inside = pixels[where.y : where.y + where.height, where.x : where.x + where.width]
        return bool((abs(inside - 200) <= 2).all()) and pixels.sum() == inside.sum()  # black around it

    check(kind, is_in_place)


@pytest.mark.parametrize("kind", WINDOW_KINDS)
def test_a_larger_picture_is_shown_whole_with_its_aspect_kept(qt, kind):
    window, display, _ = open_window(kind)
    show_frames(window, display, make_plain_frame(Size(800, 800), 200))

    def is_whole() -> bool:
        pixels = grab(Rect(50, 40, *SIZE)).astype(int)
        return bool((abs(pixels[:, 71:249] - 200) <= 2).all()) and not pixels[:, :69].any() | pixels[:, 251:].any()

    check(kind, is_whole)


@pytest.mark.parametrize("kind", WINDOW_KINDS)
def test_a_frame_shown_carries_the_moment_and_is_counted(qt, kind):
    window, display, latency = open_window(kind)
    before = time.perf_counter_ns()
    one = make_frame()
    show_frames(window, display, one)
    assert before < one.stamps.shown <= time.perf_counter_ns()
    assert latency.report().shown == window.feed.frames_shown == 1


@pytest.mark.parametrize("kind", WINDOW_KINDS)
def test_no_picture_is_written_while_it_is_on_the_screen(qt, kind):
    """The upscale thread scribbles over whatever it is given back; every picture on the screen is of one value."""
    window, display, _ = open_window(kind)
    buffers: set[int] = set()
    stop = threading.Event()

    def upscale() -> None:
        spare: Pixels | None = None
        number = 0
        while not stop.is_set():
            number += 1
            pixels = spare if spare is not None else make_black(SIZE)
            buffers.add(pixels.ctypes.data)
            pixels[..., :3] = make_picture(SIZE, number)[..., :3]  # half done
            pixels[..., :3] = 1 + number % 255
            given_back = display.show(to_host_frame(Frame(pixels, Stamps(1, 1, 1, 1), number)))
            spare = given_back.pixels.release() if given_back else None
            if number % 3 == 0:
                time.sleep(0.003)  # now and then the GUI thread is faster

    thread = threading.Thread(target=upscale)
    thread.start()
    try:
        pump_until(lambda: window.feed.frames_shown > 3)
        for _ in range(40):
            count = window.feed.frames_shown
            pump_until(lambda count=count: window.feed.frames_shown > count)
            pixels = grab(Rect(50, 40, *SIZE))
            assert (pixels == pixels[0, 0, 0]).all()
            assert pixels[0, 0, 0] > 0
    finally:
        stop.set()
        thread.join()
    assert len(buffers) == 3


@pytest.mark.parametrize("kind", WINDOW_KINDS)
def test_a_hidden_window_paints_nothing_and_opens_on_the_newest_frame(qt, kind):
    window, display, latency = open_window(kind)
    show_frames(window, display, make_frame(seed=1))
    window.setVisible(False)
    pump_until(lambda: not window.is_ready())
    newest = [make_frame(seed=seed) for seed in range(2, 9)]
    for one in newest:
        display.show(to_host_frame(one))
        QCoreApplication.processEvents()
    assert window.feed.frames_shown == 1
    assert latency.report().dropped == 0
    window.setVisible(True)
    pump_until(lambda: window.feed.frames_shown == 2)
    pump_until(lambda: np.array_equal(grab(Rect(50, 40, *SIZE)), newest[-1].pixels[..., :3]))


@pytest.mark.parametrize("kind", WINDOW_KINDS)
def test_what_is_laid_over_the_picture_is_seen_and_the_rest_is_not_touched(qt, kind):
    class Sheet:
        def __init__(self) -> None:
            self.image = QImage(20, 10, QImage.Format.Format_ARGB32_Premultiplied)
            self.image.fill(0xFF0000FF)

        def paint(self, painter: QPainter, room: Size) -> None:
            painter.drawImage(room.width - 20, room.height - 10, self.image)

        def find_image(self, room: Size) -> tuple[QImage, int, int] | None:
            return self.image, room.width - 20, room.height - 10

    window, display, _ = open_window(kind)
    window.set_hud(Sheet())
    one = make_frame()
    show_frames(window, display, make_frame(seed=2), one)
    expected = one.pixels[..., :3].copy()
    expected[-10:, -20:] = (255, 0, 0)  # BGR
    check(kind, lambda: np.array_equal(grab(Rect(50, 40, *SIZE)), expected))


RED = CursorShape(np.full((4, 6, 4), (0, 0, 255, 255), np.uint8), (1, 2))


@pytest.mark.parametrize("kind", WINDOW_KINDS)
def test_a_cursor_moves_over_a_picture_that_stands_still_and_leaves_no_trace(qt, kind):
    window, display, _ = open_window(kind)
    one = make_frame()
    show_frames(window, display, one)
    for x, y in ((10.0, 20.5), (11.0, 20.0), (150.7, 90.0), (319.0, 179.0), (0.0, 0.0)):
        window.show_cursor(DrawnCursor(RED, 2.0, x, y))
        expected = one.pixels[..., :3].copy()
        left, top = int(x) - 2, int(y) - 4
        expected[max(0, top) : top + 8, max(0, left) : left + 12] = (0, 0, 255)
        pump_until(lambda expected=expected: np.array_equal(grab(Rect(50, 40, *SIZE)), expected))
    window.show_cursor(None)
    pump_until(lambda: np.array_equal(grab(Rect(50, 40, *SIZE)), one.pixels[..., :3]))


@pytest.mark.parametrize("kind", WINDOW_KINDS)
def test_a_cursor_that_moves_before_a_new_picture_is_painted_does_not_cut_it(qt, kind):
    window, display, _ = open_window(kind)
    show_frames(window, display, make_plain_frame(SIZE, 100))
    window.show_cursor(DrawnCursor(RED, 1.0, 40.0, 40.0))
    for value in range(101, 121):
        display.show(to_host_frame(make_plain_frame(SIZE, value)))
        window.show_cursor(DrawnCursor(RED, 1.0, value, 40.0))
        pixels = grab(Rect(50, 40, *SIZE))[60:]  # below the cursor
        assert (pixels == pixels[0, 0]).all()
        pump_until(lambda value=value: (grab(Rect(50, 40, *SIZE))[60:] == value).all())


def test_a_beside_window_follows_its_user(qt, screen):
    window, display, _ = open_window("raster", "beside")
    rooms, closed = [], []
    window.resized.connect(lambda: rooms.append(window.get_room()))
    window.closed.connect(lambda: closed.append(True))
    show_frames(window, display, make_plain_frame(SIZE, 100))
    number = str(int(window.winId()))
    assert "live-sr" in subprocess.check_output(["xdotool", "getwindowname", number], text=True)
    subprocess.run(["xdotool", "windowsize", number, "500", "300"], check=True)
    pump_until(lambda: rooms[-1:] == [Size(500, 300)])
    subprocess.run(["xdotool", "windowmove", number, "200", "150"], check=True)
    show_frames(window, display, make_plain_frame(Size(480, 300), 50))
    origin = window.mapToGlobal(window.rect().topLeft())
    pump_until(lambda: (grab(Rect(origin.x(), origin.y(), 500, 300))[:, 10:490] == 50).all())
    assert not grab(Rect(origin.x(), origin.y(), 10, 300)).any()
    subprocess.run([find_program("wmctrl", "wmctrl"), "-ic", number], check=True)
    pump_until(lambda: bool(closed))


class Target:
    """Another program's window under the overlay: counts the clicks it gets."""

    def __init__(self, screen: Screen) -> None:
        self._display = Display(screen.display)
        root = self._display.screen().root
        self.window = root.create_window(
            *(50, 40, *SIZE, 0, X.CopyFromParent), event_mask=X.ButtonPressMask, override_redirect=1
        )
        self.window.map()
        self._display.sync()

    def clicks(self) -> int:
        self._display.sync()
        events = [self._display.next_event() for _ in range(self._display.pending_events())]
        return sum(event.type == X.ButtonPress for event in events)

    def close(self) -> None:
        self._display.close()


@pytest.mark.parametrize("kind", WINDOW_KINDS)
def test_clicks_pass_through_a_covering_window_to_the_game(qt, screen, kind):
    target = Target(screen)
    try:
        window, display, _ = open_window(kind)
        show_frames(window, display, make_plain_frame(SIZE, 77))
        check(kind, lambda: bool((grab(Rect(50, 40, *SIZE)) == 77).all()))  # it does lie over the target
        for _ in range(3):
            subprocess.run(["xdotool", "mousemove", "150", "120", "click", "1"], check=True)
        clicks = 0

        def all_came() -> bool:
            nonlocal clicks
            clicks += target.clicks()
            return clicks >= 3

        pump_until(all_came)
        assert clicks == 3
    finally:
        target.close()


@pytest.mark.parametrize("kind", WINDOW_KINDS)
def test_the_game_keeps_the_focus_and_the_overlay_stays_above_it(qt, screen, kind):
    game = ToyWindow(screen, SIZE, at=(50, 40))
    subprocess.run(["xdotool", "windowactivate", "--sync", str(game.id)], check=True)
    window, display, _ = open_window(kind)
    show_frames(window, display, make_plain_frame(SIZE, 99))
    subprocess.run(["xdotool", "mousemove", "150", "120", "click", "1"], check=True)
    subprocess.run(["xdotool", "windowactivate", "--sync", str(game.id)], check=True)
    pump_until(lambda: int(subprocess.check_output(["xdotool", "getwindowfocus"], text=True)) == game.id)
    show_frames(window, display, make_plain_frame(SIZE, 98))
    check(kind, lambda: bool((grab(Rect(50, 40, *SIZE)) == 98).all()))


def test_software_opengl_is_passed_over_and_said_so(qt):
    window, why = make_window("cover")
    assert isinstance(window, RasterWindow)
    assert "OpenGL here is software" in why
    assert make_window("cover", "raster")[1] == "painted by the CPU, as asked for"


def test_without_opengl_the_cpu_paints(qt, monkeypatch):
    monkeypatch.setitem(sys.modules, "live_sr.overlay.gl_window", None)  # what an import that fails looks like
    window, why = make_window("cover", "gl")
    assert isinstance(window, RasterWindow)
    assert "OpenGL cannot be used" in why


class OnDevice:
    """A picture in a GPU's memory, as the display sees it."""

    on_device = True

    def __init__(self, pixels):
        self.pixels = pixels
        self.size = get_size(pixels)
        self.released = False

    def to_host(self):
        return self.pixels.copy()

    def release(self):
        self.released = True


class CopiesLikeCuda:
    """In place of CUDA: the bytes B G R A go into the texture as they are, through OpenGL of the current context."""

    def __init__(self, refuses=""):
        self.refuses = refuses

    def fill(self, texture, picture):
        if self.refuses:
            raise EngineError(self.refuses)
        if picture.pixels is None:
            return False  # its engine was closed
        gl = gl_window.find_functions(QOpenGLContext.currentContext())
        gl.glBindTexture(gl_texture.TEXTURE_2D, texture)
        rgba, bytes_ = 0x1908, 0x1401
        # a pointer: of other objects PyQt 6.11 remembers some that are gone, and the garbage collector crashes on them
        where = sip.voidptr(picture.pixels.ctypes.data, picture.pixels.nbytes)
        gl.glTexSubImage2D(gl_texture.TEXTURE_2D, 0, 0, 0, *picture.size, rgba, bytes_, where)
        picture.release()
        return True

    def close(self):
        pass


def open_gl_window(interop):
    window = gl_window.GLWindow("cover", interop=interop)
    assert window.shows_device_pictures
    return window, show_window(window, "gl")[0]


def test_pictures_from_the_card_and_from_main_memory_take_turns_in_their_right_colours(qt):
    window, display = open_gl_window(CopiesLikeCuda())
    for turn, size in enumerate((SIZE, SIZE, Size(100, 60), SIZE, Size(100, 60), SIZE)):
        one = make_frame(size, seed=turn) if size == SIZE else make_plain_frame(size, 40 + turn)
        picture = OnDevice(one.pixels)
        show_frames(window, display, Frame(picture, one.stamps) if turn % 3 else one)
        assert picture.released == bool(turn % 3)
        place = compute_placement(size, SIZE, fill=picture.released)
        assert window.find_picture() == place
        corner = Rect(50 + place.x, 40 + place.y, *place.size)
        expected = one.pixels[..., :3] if size == place.size else np.full((*place.size[::-1], 3), 40 + turn)
        pump_until(lambda corner=corner, expected=expected: np.array_equal(grab(corner), expected))


def test_a_picture_whose_engine_was_closed_leaves_the_one_before_on_the_screen(qt):
    window, display = open_gl_window(CopiesLikeCuda())
    one = make_frame(SIZE, seed=5)
    show_frames(window, display, Frame(OnDevice(one.pixels), one.stamps))
    empty = OnDevice(make_black(Size(200, 100)))
    empty.pixels = None
    show_frames(window, display, Frame(empty, one.stamps))
    pump_until(lambda: np.array_equal(grab(Rect(50, 40, *SIZE)), one.pixels[..., :3]))


def test_where_cuda_and_opengl_do_not_go_together_pictures_go_through_main_memory_and_it_is_told(qt):
    window, display = open_gl_window(CopiesLikeCuda(refuses="OpenGL runs on another GPU"))
    told = []
    window.on_device_failure(told.append)
    one = make_frame(SIZE, seed=5)
    show_frames(window, display, Frame(OnDevice(one.pixels), one.stamps))
    pump_until(lambda: np.array_equal(grab(Rect(50, 40, *SIZE)), one.pixels[..., :3]))
    assert told == ["OpenGL runs on another GPU"]


@pytest.mark.parametrize(("vsync", "interval"), [("off", 0), ("on", 1), ("adaptive", -1)])
def test_the_swap_waits_for_the_screen_only_when_asked_to(qt, vsync, interval):
    window, _ = make_window("cover", "gl", vsync)
    assert window.requestedFormat().swapInterval() == interval


SCALED = """
import sys, time
import numpy as np
from PyQt6.QtWidgets import QApplication
from overlay_windows import grab, make_frame, pump_until, show_frames
from live_sr.overlay.display import QtDisplay
from live_sr.overlay.window_factory import make_window
from live_sr.pipeline.frame import Rect
from live_sr.pipeline.latency import Latency
app = QApplication([])
kind = sys.argv[1]
window, _ = make_window("cover", kind)
window.setPosition(0, 0) if kind == "gl" else window.move(0, 0)
window.resize(200, 120)
display = QtDisplay(window, Latency())
window.setVisible(True)
pump_until(window.is_ready)
one = make_frame(window.get_room())
show_frames(window, display, one)
print(window.get_room(), np.array_equal(grab(Rect(0, 0, *window.get_room())), one.pixels[..., :3]))
"""


@pytest.mark.parametrize("kind", ["raster", "gl"])
@pytest.mark.parametrize(("factor", "room"), [("2", "400x240"), ("1.5", "300x180"), ("1.25", "250x150")])
def test_with_a_scaled_display_pictures_are_still_shown_pixel_by_pixel(screen, kind, factor, room):
    paths = os.pathsep.join(str(Path(__file__).parents[n]) for n in (1, 2))
    env = {**screen.env, "QT_SCALE_FACTOR": factor, "QT_QPA_PLATFORM": "xcb", "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", SCALED, kind], env=env, capture_output=True, text=True)
    assert done.stdout.split() == [room, "True"], done.stderr


GUARDED = """
import os, sys, time
from PyQt6.QtCore import QTimer, qWarning
from PyQt6.QtWidgets import QApplication
from live_sr.overlay.event_loop import guard_connection
from live_sr.overlay.raster_window import RasterWindow
app = QApplication([])
def lost():
    print("lost", flush=True)
    os._exit(4)
guard_connection(lost)
qWarning("another matter")
window = RasterWindow("cover")
window.show()
timer = QTimer()
timer.timeout.connect(window.repaint)
timer.start(10)
QTimer.singleShot(300, lambda: print("up", flush=True))
app.exec()
"""


def test_a_broken_x_connection_is_told_and_other_messages_go_on():
    with Screen(Size(640, 480), manager="") as screen:
        env = {**screen.env, "QT_QPA_PLATFORM": "xcb"}
        process = subprocess.Popen(
            [sys.executable, "-c", GUARDED], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        screen.server.kill()
        said, errors = process.communicate()
    assert said == "lost\n"
    assert process.returncode == 4
    assert errors.strip() == "another matter"
