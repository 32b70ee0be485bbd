"""A window shows every picture whole, and of one that says what has changed it paints only that."""

from __future__ import annotations

import numpy as np
import pytest
from overlay_windows import SIZE, grab, make_picture, open_window, pump_until, show_frames, to_host_frame
from PyQt6.QtCore import QEvent, QObject
from PyQt6.QtGui import QImage, QPainter, QPaintEvent
from PyQt6.QtWidgets import QApplication

from live_sr.pipeline.frame import Frame, Pixels, Rect, Revision, Size, Stamps

KINDS = ("raster", "gl")
PLACE = Rect(50, 40, *SIZE)
SMALL = Rect(33, 20, 17, 31)


class Series:
    """Pictures of which each differs from the one before in some rectangles, as an engine makes them."""

    def __init__(self, size: Size = SIZE) -> None:
        self.pixels = make_picture(size, 1)
        self._random = np.random.default_rng(1)
        self._revision = Revision(self, 0)

    def start(self) -> Frame[Pixels]:
        return Frame(self.pixels.copy(), Stamps(1, 1, 1, 1), revision=self._revision)

    def change(self, *rects: Rect) -> Frame[Pixels]:
        for rect in rects:
            part = rect.cut_from(self.pixels)
            part[..., :3] = self._random.integers(0, 256, (*part.shape[:2], 3))
        self._revision = self._revision.make_next(rects)
        return self.start()

    def lie(self, rect: Rect) -> Frame[Pixels]:
        """A picture that differs everywhere, and says that only the rectangle does."""
        before = self.pixels.copy()
        self.change(Rect(0, 0, self.pixels.shape[1], self.pixels.shape[0]))
        everywhere = self.pixels
        self.pixels = before
        rect.cut_from(self.pixels)[...] = rect.cut_from(everywhere)
        self._revision = Revision(self, self._revision.number, (*self._revision.changes[:-1], (rect,)))
        return Frame(everywhere, Stamps(1, 1, 1, 1), revision=self._revision)


class PaintedAreas(QObject):
    """Notes how many pixels each paint event of a widget is for."""

    def __init__(self) -> None:
        super().__init__()
        self.areas: list[int] = []

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 (Qt's name)
        if isinstance(event, QPaintEvent):
            around = event.region().boundingRect()
            self.areas.append(around.width() * around.height())
        return False


class Corner:
    """Something that is painted over the picture."""

    def paint(self, painter: QPainter, room: Size) -> None:
        painter.fillRect(0, 0, 40, 40, 0xFF00FF00)

    def find_image(self, room: Size) -> tuple[QImage, int, int] | None:
        image = QImage(40, 40, QImage.Format.Format_ARGB32_Premultiplied)
        image.fill(0xFF00FF00)
        return image, 0, 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_screen_shows_every_picture_of_a_series(qt: QApplication, kind: str) -> None:
    window, display, _ = open_window(kind)
    series = Series()
    random = np.random.default_rng(2)
    show_frames(window, display, series.start())
    for number in range(30):
        rects = []
        for _ in range(int(random.integers(0, 4))):
            width, height = int(random.integers(1, 60)), int(random.integers(1, 60))
            x, y = int(random.integers(0, SIZE.width - width)), int(random.integers(0, SIZE.height - height))
            rects.append(Rect(x, y, width, height))
        frame = series.change(*rects)
        if number % 3 == 0:  # the window does not get to show every picture
            display.show(to_host_frame(frame))
            frame = series.change(SMALL)
        show_frames(window, display, frame)
        assert np.array_equal(grab(PLACE), series.pixels[..., :3]), number


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_of_another_series_is_painted_whole(qt: QApplication, kind: str) -> None:
    window, display, _ = open_window(kind)
    one, other = Series(), Series()
    other.change(Rect(0, 0, *SIZE))
    show_frames(window, display, one.start(), one.change(SMALL), other.change(SMALL))
    assert np.array_equal(grab(PLACE), other.pixels[..., :3])
    alone = Frame(make_picture(SIZE, 7), Stamps(1, 1, 1, 1))
    show_frames(window, display, alone)
    assert np.array_equal(grab(PLACE), alone.pixels[..., :3])
    show_frames(window, display, other.change(SMALL))
    assert np.array_equal(grab(PLACE), other.pixels[..., :3])


def test_the_raster_window_paints_only_what_has_changed(qt: QApplication) -> None:
    window, display, _ = open_window("raster")
    series = Series()
    show_frames(window, display, series.start())
    painted = PaintedAreas()
    window.installEventFilter(painted)  # type: ignore[attr-defined]
    small = SMALL.width * SMALL.height

    def paints_a_part() -> bool:  # the system may want the whole window painted once more after it has opened
        show_frames(window, display, series.change(SMALL))
        return small in painted.areas

    pump_until(paints_a_part)
    painted.areas.clear()
    show_frames(window, display, series.change())
    assert small not in painted.areas, "without changes there is nothing to paint, and it counts as shown"
    assert np.array_equal(grab(PLACE), series.pixels[..., :3])


def test_the_opengl_window_copies_only_what_has_changed(qt: QApplication) -> None:
    window, display, _ = open_window("gl")
    series = Series()
    show_frames(window, display, series.start(), series.lie(SMALL))
    assert np.array_equal(grab(PLACE), series.pixels[..., :3])


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_over_the_picture_stays_over_changed_parts(qt: QApplication, kind: str) -> None:
    window, display, _ = open_window(kind)
    window.set_hud(Corner())
    series = Series()
    show_frames(window, display, series.start())
    pump_until(lambda: bool((grab(PLACE)[:40, :40] == (0, 255, 0)).all()))
    show_frames(window, display, series.change(Rect(0, 0, 60, 60)))
    shown = grab(PLACE)
    assert (shown[:40, :40] == (0, 255, 0)).all()
    assert np.array_equal(shown[40:], series.pixels[40:, :, :3])


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_that_has_been_resized_is_painted_whole(qt: QApplication, kind: str) -> None:
    window, display, _ = open_window(kind)
    series = Series()
    show_frames(window, display, series.start())
    larger = Size(SIZE.width + 40, SIZE.height + 20)
    window.resize(*larger)  # type: ignore[attr-defined]
    pump_until(lambda: window.get_room() == larger)
    show_frames(window, display, series.change(SMALL))
    place = Rect(50, 40, *larger)
    expected = np.zeros((larger.height, larger.width, 3), np.uint8)
    expected[10 : 10 + SIZE.height, 20 : 20 + SIZE.width] = series.pixels[..., :3]
    pump_until(lambda: np.array_equal(grab(place), expected))
