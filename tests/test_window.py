"""The overlay's windows on a real X server: what is on the screen, and what passes through."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import mss
import numpy as np
import pytest
from PyQt6 import sip
from PyQt6.QtCore import QCoreApplication, qInstallMessageHandler
from PyQt6.QtGui import QOpenGLContext, QPainter
from PyQt6.QtWidgets import QApplication
from screens import Screen, ToyWindow, program
from Xlib import X
from Xlib.display import Display

from live_sr.errors import EngineError
from live_sr.frame import Frame, Pixels, Rect, Size, Stamps, fresh, size_of
from live_sr.latency import Latency
from live_sr.overlay import gl_window
from live_sr.overlay.exchange import Exchange
from live_sr.overlay.presenting import Surface, bars, placed
from live_sr.overlay.window import OverlayWindow, QtDisplay, make_window

KINDS = ("raster", "gl")
SIZE = Size(320, 180)


def picture(size: Size, seed: int) -> Pixels:
    pixels = np.random.default_rng(seed).integers(0, 256, (size.height, size.width, 4), np.uint8)
    pixels[..., 3] = 255
    return pixels


def frame(size: Size = SIZE, seed: int = 1) -> Frame[Pixels]:
    return Frame(picture(size, seed), Stamps(1, 1, 1, 1), seed)


def plain(size: Size, value: int) -> Frame[Pixels]:
    pixels = fresh(size)
    pixels[..., :3] = value
    return Frame(pixels, Stamps(1, 1, 1, 1), value)


@pytest.fixture
def qt(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> Iterator[QApplication]:
    """A QApplication on the screen; what Qt complains about fails the test."""
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    assert QApplication.instance() is None, "an earlier test left its Qt application behind"
    complaints: list[str | None] = []
    before = qInstallMessageHandler(lambda kind, context, message: complaints.append(message))
    app = QApplication(["live-sr"])
    yield app
    for widget in app.topLevelWidgets():
        sip.delete(widget)
    for window in app.topLevelWindows():  # asked for now: a widget's window went with it
        sip.delete(window)
    sip.delete(app)
    qInstallMessageHandler(before)
    assert complaints == []


def pump(true: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Runs the event loop until something is true."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it did not come true"
        QCoreApplication.processEvents()
        time.sleep(0.002)


def seen(rect: Rect) -> Pixels:
    """What is on the screen there, without alpha."""
    with mss.MSS() as grabber:
        shot = grabber.grab({"left": rect.x, "top": rect.y, "width": rect.width, "height": rect.height})
    return np.frombuffer(shot.raw, np.uint8).reshape(rect.height, rect.width, 4)[..., :3]


def opened(kind: str, mode: str = "cover", size: Size = SIZE) -> tuple[Surface, QtDisplay, Latency]:
    window, _ = make_window(mode, kind)  # type: ignore[arg-type]
    window.setPosition(50, 40) if kind == "gl" else window.move(50, 40)  # type: ignore[attr-defined]
    window.resize(*size)  # type: ignore[attr-defined]
    latency = Latency()
    display = QtDisplay(window, latency)
    window.setVisible(True)
    pump(window.ready)
    pump(lambda: window.room() == size)
    return window, display, latency


def shown(window: Surface, display: QtDisplay, *frames: Frame[Pixels]) -> None:
    for one in frames:
        count = window.frames_shown
        display.show(one)
        pump(lambda count=count: window.frames_shown > count)


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
    place = placed(Size(*size), Size(*room))
    assert place == Rect(*expected), what


@pytest.mark.parametrize("room", [(10, 8), (7, 7), (30, 4), (5, 40), (1, 1)])
@pytest.mark.parametrize("size", [(10, 8), (3, 3), (50, 20), (1, 9)])
def test_picture_and_bars_cover_every_pixel_once(size, room):
    place = placed(Size(*size), Size(*room))
    covered = np.zeros((room[1], room[0]), int)
    for rect in [place, *bars(place, Size(*room))]:
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
    exchange = Exchange(latency)
    back: list[int | None] = []
    for step in steps.split():
        if step == "t":
            exchange.take()
        elif step == "u":
            exchange.unwanted()
        else:
            got, _ = exchange.put(Frame(fresh(Size(1, 1)), number=int(step[1:])))
            back.append(got.number if got else None)
    assert back == given_back, what
    assert latency.report().dropped == dropped


def test_the_gui_thread_is_told_once_until_it_takes():
    exchange = Exchange(Latency())
    told = [exchange.put(plain(Size(1, 1), n))[1] for n in range(3)]
    exchange.take()
    assert [*told, exchange.put(plain(Size(1, 1), 3))[1]] == [True, False, False, True]


# On the screen


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["cover", "beside"])
def test_the_pixels_on_the_screen_are_those_given(qt, kind, mode):
    window, display, _ = opened(kind, mode)
    origin = window.mapToGlobal(window.rect().topLeft()) if kind == "raster" else window.position()
    where = Rect(origin.x(), origin.y(), *SIZE)
    for seed in (1, 2, 3):
        one = frame(seed=seed)
        shown(window, display, one)
        assert np.array_equal(seen(where), one.pixels[..., :3])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [Size(200, 100), Size(321, 60), Size(1, 1), Size(187, 173)])
def test_a_smaller_picture_is_centred_on_black(qt, kind, size):
    window, display, _ = opened(kind)
    one = frame(size)
    shown(window, display, frame(seed=9), one)
    expected = np.zeros((SIZE.height, SIZE.width, 3), np.uint8)
    place = placed(size, SIZE)
    wide = min(size.width, SIZE.width)
    expected[place.y : place.y + size.height, place.x : place.x + wide] = one.pixels[:, :wide, :3]
    assert np.array_equal(seen(Rect(50, 40, *SIZE)), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_larger_picture_is_shown_whole_with_its_aspect_kept(qt, kind):
    window, display, _ = opened(kind)
    shown(window, display, plain(Size(800, 800), 200))
    pixels = seen(Rect(50, 40, *SIZE)).astype(int)
    assert (abs(pixels[:, 71:249] - 200) <= 2).all()
    assert not pixels[:, :69].any()
    assert not pixels[:, 251:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_shown_carries_the_moment_and_is_counted(qt, kind):
    window, display, latency = opened(kind)
    before = time.perf_counter_ns()
    one = frame()
    shown(window, display, one)
    assert before < one.stamps.shown <= time.perf_counter_ns()
    assert latency.report().shown == window.frames_shown == 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_picture_is_written_while_it_is_on_the_screen(qt, kind):
    """The upscale thread scribbles over whatever it is given back; every picture on the screen is of one value."""
    window, display, _ = opened(kind)
    buffers: set[int] = set()
    stop = threading.Event()

    def upscale() -> None:
        spare: Pixels | None = None
        number = 0
        while not stop.is_set():
            number += 1
            pixels = spare if spare is not None else fresh(SIZE)
            buffers.add(pixels.ctypes.data)
            pixels[..., :3] = picture(SIZE, number)[..., :3]  # half done
            pixels[..., :3] = 1 + number % 255
            given_back = display.show(Frame(pixels, Stamps(1, 1, 1, 1), number))
            spare = given_back.pixels if given_back else None
            if number % 3 == 0:
                time.sleep(0.003)  # now and then the GUI thread is faster

    thread = threading.Thread(target=upscale)
    thread.start()
    try:
        pump(lambda: window.frames_shown > 3)
        for _ in range(40):
            count = window.frames_shown
            pump(lambda count=count: window.frames_shown > count)
            pixels = seen(Rect(50, 40, *SIZE))
            assert (pixels == pixels[0, 0, 0]).all()
            assert pixels[0, 0, 0] > 0
    finally:
        stop.set()
        thread.join()
    assert len(buffers) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_hidden_window_paints_nothing_and_opens_on_the_newest_frame(qt, kind):
    window, display, latency = opened(kind)
    shown(window, display, frame(seed=1))
    window.setVisible(False)
    pump(lambda: not window.ready())
    newest = [frame(seed=seed) for seed in range(2, 9)]
    for one in newest:
        display.show(one)
        QCoreApplication.processEvents()
    assert window.frames_shown == 1
    assert latency.report().dropped == 0
    window.setVisible(True)
    pump(lambda: window.frames_shown == 2)
    pump(lambda: np.array_equal(seen(Rect(50, 40, *SIZE)), newest[-1].pixels[..., :3]))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_laid_over_the_picture_is_seen_and_the_rest_is_not_touched(qt, kind):
    class Sheet:
        def paint(self, painter: QPainter, room: Size) -> None:
            painter.fillRect(room.width - 20, room.height - 10, 20, 10, 0xFF0000FF)

    window, display, _ = opened(kind)
    window.set_hud(Sheet())
    one = frame()
    shown(window, display, frame(seed=2), one)
    pixels = seen(Rect(50, 40, *SIZE))
    expected = one.pixels[..., :3].copy()
    assert (pixels[-10:, -20:] == pixels[-1, -1]).all()
    expected[-10:, -20:] = pixels[-1, -1]
    assert np.array_equal(pixels, expected)


def test_a_beside_window_follows_its_user(qt, screen):
    window, display, _ = opened("raster", "beside")
    rooms, closed = [], []
    window.resized.connect(lambda: rooms.append(window.room()))
    window.closed.connect(lambda: closed.append(True))
    shown(window, display, plain(SIZE, 100))
    number = str(int(window.winId()))
    assert "live-sr" in subprocess.check_output(["xdotool", "getwindowname", number], text=True)
    subprocess.run(["xdotool", "windowsize", number, "500", "300"], check=True)
    pump(lambda: rooms[-1:] == [Size(500, 300)])
    subprocess.run(["xdotool", "windowmove", number, "200", "150"], check=True)
    shown(window, display, plain(Size(480, 300), 50))
    origin = window.mapToGlobal(window.rect().topLeft())
    pump(lambda: (seen(Rect(origin.x(), origin.y(), 500, 300))[:, 10:490] == 50).all())
    assert not seen(Rect(origin.x(), origin.y(), 10, 300)).any()
    subprocess.run([program("wmctrl", "wmctrl"), "-ic", number], check=True)
    pump(lambda: bool(closed))


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


@pytest.mark.parametrize("kind", KINDS)
def test_clicks_pass_through_a_covering_window_to_the_game(qt, screen, kind):
    target = Target(screen)
    try:
        window, display, _ = opened(kind)
        shown(window, display, plain(SIZE, 77))
        assert (seen(Rect(50, 40, *SIZE)) == 77).all()  # it does lie over the target
        for _ in range(3):
            subprocess.run(["xdotool", "mousemove", "150", "120", "click", "1"], check=True)
        clicks = 0

        def all_came() -> bool:
            nonlocal clicks
            clicks += target.clicks()
            return clicks >= 3

        pump(all_came)
        assert clicks == 3
    finally:
        target.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_game_keeps_the_focus_and_the_overlay_stays_above_it(qt, screen, kind):
    game = ToyWindow(screen, SIZE, at=(50, 40))
    subprocess.run(["xdotool", "windowactivate", "--sync", str(game.id)], check=True)
    window, display, _ = opened(kind)
    shown(window, display, plain(SIZE, 99))
    subprocess.run(["xdotool", "mousemove", "150", "120", "click", "1"], check=True)
    subprocess.run(["xdotool", "windowactivate", "--sync", str(game.id)], check=True)
    pump(lambda: int(subprocess.check_output(["xdotool", "getwindowfocus"], text=True)) == game.id)
    shown(window, display, plain(SIZE, 98))
    assert (seen(Rect(50, 40, *SIZE)) == 98).all()


def test_software_opengl_is_passed_over_and_said_so(qt):
    window, why = make_window("cover")
    assert isinstance(window, OverlayWindow)
    assert "OpenGL here is software" in why
    assert make_window("cover", "raster")[1] == "painted by the CPU, as asked for"


def test_without_opengl_the_cpu_paints(qt, monkeypatch):
    monkeypatch.setitem(sys.modules, "live_sr.overlay.gl_window", None)  # what an import that fails looks like
    window, why = make_window("cover", "gl")
    assert isinstance(window, OverlayWindow)
    assert "OpenGL cannot be used" in why


class OnCard:
    """A picture on a card, as the display sees it."""

    def __init__(self, pixels):
        self.pixels = pixels
        self.size = size_of(pixels)
        self.released = False

    def on_host(self):
        return self.pixels.copy()

    def release(self):
        self.released = True


class CopiesLikeCuda:
    """In place of CUDA: the bytes B G R A go into the texture as they are, through OpenGL of the current context."""

    refuses = ""

    def fill(self, texture, picture):
        if self.refuses:
            raise EngineError(self.refuses)
        if picture.pixels is None:
            return False  # its engine was closed
        gl = gl_window.functions(QOpenGLContext.currentContext())
        gl.glBindTexture(gl_window.TEXTURE_2D, texture)
        rgba, bytes_ = 0x1908, 0x1401
        # a pointer: of other objects PyQt 6.11 remembers some that are gone, and the garbage collector crashes on them
        where = sip.voidptr(picture.pixels.ctypes.data, picture.pixels.nbytes)
        gl.glTexSubImage2D(gl_window.TEXTURE_2D, 0, 0, 0, *picture.size, rgba, bytes_, where)
        picture.release()
        return True

    def close(self):
        pass


def test_pictures_from_the_card_and_from_main_memory_take_turns_in_their_right_colours(qt, monkeypatch):
    monkeypatch.setattr(gl_window, "CardTexture", CopiesLikeCuda)
    window, display, _ = opened("gl")
    for turn, size in enumerate((SIZE, SIZE, Size(100, 60), SIZE, Size(100, 60), SIZE)):
        one = frame(size, seed=turn)
        picture = OnCard(one.pixels)
        shown(window, display, Frame(picture, one.stamps) if turn % 3 else one)
        assert picture.released == bool(turn % 3)
        place = placed(size, SIZE)
        corner = Rect(50 + place.x, 40 + place.y, *place.size)
        pump(lambda corner=corner, one=one: np.array_equal(seen(corner), one.pixels[..., :3]))


def test_a_picture_whose_engine_was_closed_leaves_the_one_before_on_the_screen(qt, monkeypatch):
    monkeypatch.setattr(gl_window, "CardTexture", CopiesLikeCuda)
    window, display, _ = opened("gl")
    one = frame(SIZE, seed=5)
    shown(window, display, Frame(OnCard(one.pixels), one.stamps))
    empty = OnCard(fresh(Size(200, 100)))
    empty.pixels = None
    shown(window, display, Frame(empty, one.stamps))
    pump(lambda: np.array_equal(seen(Rect(50, 40, *SIZE)), one.pixels[..., :3]))


def test_where_cuda_and_opengl_do_not_go_together_pictures_go_through_main_memory_and_it_is_told(qt, monkeypatch):
    monkeypatch.setattr(gl_window, "CardTexture", CopiesLikeCuda)
    monkeypatch.setattr(CopiesLikeCuda, "refuses", "OpenGL runs on another card")
    window, display, _ = opened("gl")
    told = []
    window.on_trouble(told.append)
    one = frame(SIZE, seed=5)
    shown(window, display, Frame(OnCard(one.pixels), one.stamps))
    pump(lambda: np.array_equal(seen(Rect(50, 40, *SIZE)), one.pixels[..., :3]))
    assert told == ["OpenGL runs on another card"]


@pytest.mark.parametrize(("vsync", "interval"), [("off", 0), ("on", 1), ("adaptive", -1)])
def test_the_swap_waits_for_the_screen_only_when_asked_to(qt, vsync, interval):
    window, _ = make_window("cover", "gl", vsync)
    assert window.requestedFormat().swapInterval() == interval


SCALED = """
import sys, time
import numpy as np
sys.path.insert(0, "tests")
from test_window import *
app = QApplication([])
kind = sys.argv[1]
window, _ = make_window("cover", kind)
window.setPosition(0, 0) if kind == "gl" else window.move(0, 0)
window.resize(200, 120)
display = QtDisplay(window, Latency())
window.setVisible(True)
pump(window.ready)
one = frame(window.room())
shown(window, display, one)
print(window.room(), np.array_equal(seen(Rect(0, 0, *window.room())), one.pixels[..., :3]))
"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("factor", "room"), [("2", "400x240"), ("1.5", "300x180"), ("1.25", "250x150")])
def test_with_a_scaled_display_pictures_are_still_shown_pixel_by_pixel(screen, kind, factor, room):
    env = {**screen.env, "QT_SCALE_FACTOR": factor, "QT_QPA_PLATFORM": "xcb"}
    done = subprocess.run([sys.executable, "-c", SCALED, kind], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == [room, "True"], done.stderr


GUARDED = """
import os, sys, time
from PyQt6.QtCore import QTimer, qWarning
from PyQt6.QtWidgets import QApplication
from live_sr.overlay.window import OverlayWindow, guard_connection
app = QApplication([])
def lost():
    print("lost", flush=True)
    os._exit(4)
guard_connection(lost)
qWarning("another matter")
window = OverlayWindow("cover")
window.show()
timer = QTimer()
timer.timeout.connect(window.repaint)
timer.start(10)
QTimer.singleShot(300, lambda: print("up", flush=True))
app.exec()
"""


def test_a_broken_x_connection_is_told_and_other_messages_go_on():
    with Screen(Size(640, 480), manager=False) as screen:
        env = {**screen.env, "QT_QPA_PLATFORM": "xcb"}
        process = subprocess.Popen(
            [sys.executable, "-c", GUARDED], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        screen.server.kill()
        said, errors = process.communicate(timeout=30)
    assert said == "lost\n"
    assert process.returncode == 4
    assert errors.strip() == "another matter"
