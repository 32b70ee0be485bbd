"""Who draws a window that any thread may draw, and that no thread waits for another one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from patience import until, wait

from live_sr.errors import EngineError
from live_sr.overlay.canvas_painter import CanvasPainter
from live_sr.overlay.surface import FrameFeed
from live_sr.pipeline.canvas import Sprite
from live_sr.pipeline.display_picture import DisplayPicture, HostPicture
from live_sr.pipeline.frame import Frame, Rect, Size, make_black

ROOM = Size(64, 48)


class SlowCanvas:
    """Draws nothing; each time only after `gate` is open. `trouble` is raised by the next drawing."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.trouble = ""
        self.drawn: list[tuple[DisplayPicture | None, Rect, int]] = []  # picture, place, number of sprites
        self.threads: list[str] = []
        self.closed = 0

    def draw(self, picture: DisplayPicture | None, place: Rect, room: Size, sprites: Sequence[Sprite]) -> None:
        self.entered.set()
        assert wait(self.gate)
        if self.trouble:
            raise EngineError(self.trouble, "none")
        self.drawn.append((picture, place, len(sprites)))
        self.threads.append(threading.current_thread().name)

    def close(self) -> None:
        self.closed += 1


Parts = tuple[CanvasPainter, SlowCanvas, list[Frame[DisplayPicture]], list[str]]


@pytest.fixture
def parts() -> Iterator[Parts]:
    """A painter of a visible window, its canvas, the frames that wait to be drawn, and what it reports."""
    made = make_painter()
    yield made
    made[1].gate.set()
    made[0].close()


def make_painter() -> Parts:
    waiting: list[Frame[DisplayPicture]] = []
    told: list[str] = []
    feed = FrameFeed()
    feed.take = lambda: waiting.pop(0) if waiting else None
    feed.report = lambda frame: told.append(f"shown {frame.number}")
    canvas = SlowCanvas()
    painter = CanvasPainter(feed, None, told.append)
    painter.use(canvas, None)
    painter.set_room(ROOM)
    return painter, canvas, waiting, told


def make_waiting(number: int) -> Frame[DisplayPicture]:
    return Frame(HostPicture(make_black(Size(32, 24))), number=number)


def test_a_thread_that_finds_another_one_drawing_leaves_it_to_the_painter(parts: Parts) -> None:
    painter, canvas, waiting, told = parts
    waiting.append(make_waiting(1))
    canvas.gate.clear()
    upscaler = threading.Thread(target=painter.draw, name="upscaler")
    upscaler.start()
    assert wait(canvas.entered)
    painter.set_sprites([Sprite(np.zeros((2, 2, 4), np.uint8), 0, 0)])
    waiting.append(make_waiting(2))
    assert painter.draw(), "returns although the other thread stands still"
    assert canvas.drawn == []
    canvas.gate.set()
    upscaler.join()
    until(lambda: told == ["shown 1", "shown 2"])
    assert [sprites for _, _, sprites in canvas.drawn] == [0, 1]
    assert canvas.threads == ["upscaler", "live-sr window"]


def test_a_cursor_that_moves_more_often_than_the_window_is_drawn_does_not_keep_the_upscale_thread(parts: Parts) -> None:
    painter, canvas, waiting, _ = parts
    draw = canvas.draw
    begun = 0

    def draw_while_the_cursor_moves(*what: object) -> None:
        nonlocal begun
        begun += 1
        moved = threading.Thread(target=painter.draw)  # as the thread that the cursor's move has woken
        moved.start()
        moved.join()
        draw(*what)  # type: ignore[arg-type]

    canvas.draw = draw_while_the_cursor_moves  # type: ignore[method-assign]
    waiting.append(make_waiting(1))
    upscaler = threading.Thread(target=painter.draw, name="upscaler")
    upscaler.start()
    until(lambda: begun > 20)
    until(lambda: not upscaler.is_alive(), "it has the next frame to upscale")
    canvas.draw = draw  # type: ignore[method-assign]
    assert canvas.threads.count("upscaler") == 1


def test_what_many_threads_want_drawn_is_on_the_screen_in_the_end(parts: Parts) -> None:
    painter, canvas, _, _ = parts
    sprite = Sprite(np.zeros((2, 2, 4), np.uint8), 0, 0)

    def ask() -> None:
        for count in range(300):
            painter.set_sprites([sprite] * (count % 7))
            painter.draw()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    painter.set_sprites([sprite] * 9)
    painter.draw()
    until(lambda: canvas.drawn[-1][2] == 9)


def test_what_the_gui_thread_requests_is_drawn_by_another_one(parts: Parts) -> None:
    painter, canvas, waiting, told = parts
    canvas.gate.clear()
    waiting.append(make_waiting(1))
    painter.request()
    assert wait(canvas.entered)
    waiting.append(make_waiting(2))
    painter.request()
    painter.request()
    assert told == [], "the canvas stands still, and this thread does not"
    canvas.gate.set()
    until(lambda: told == ["shown 1", "shown 2"])
    assert set(canvas.threads) == {"live-sr window"}
    painter.close()
    assert "live-sr window" not in [thread.name for thread in threading.enumerate()]


def test_nothing_is_drawn_while_the_window_is_not_on_the_screen(parts: Parts) -> None:
    painter, canvas, waiting, told = parts
    painter.set_room(None)
    waiting.append(make_waiting(1))
    assert not painter.draw()
    assert (canvas.drawn, told, len(waiting)) == ([], [], 1)
    painter.set_room(ROOM)
    assert painter.draw()
    assert told == ["shown 1"]


def test_pictures_on_the_card_fill_the_window_and_others_have_their_size(parts: Parts) -> None:
    painter, canvas, waiting, _ = parts
    waiting.append(make_waiting(1))
    painter.draw()
    on_card = make_waiting(2)
    on_card.pixels.on_device = True  # type: ignore[misc]
    waiting.append(on_card)
    painter.draw()
    assert [place for _, place, _ in canvas.drawn] == [Rect(16, 12, 32, 24), Rect(0, 0, 64, 48)]
    assert painter.find_picture(Size(32, 48)) == Rect(0, 12, 32, 24)


def test_a_canvas_that_fails_is_closed_and_told_of_once(parts: Parts) -> None:
    painter, canvas, waiting, told = parts
    waiting.append(make_waiting(1))
    canvas.trouble = "the card was lost"
    painter.draw()
    assert told == ["the card was lost"], "and the frame does not count as shown"
    assert canvas.closed == 1
    assert not painter.draw()
    other = SlowCanvas()
    painter.use(other, None)
    assert painter.draw()
    assert len(other.drawn) == 1


def test_a_window_is_destroyed_only_when_no_thread_draws_it(parts: Parts) -> None:
    painter, canvas, _, _ = parts
    canvas.gate.clear()
    upscaler = threading.Thread(target=painter.draw)
    upscaler.start()
    assert wait(canvas.entered)
    closer = threading.Thread(target=painter.close)
    closer.start()
    until(lambda: not painter.has_canvas)
    assert canvas.closed == 0
    canvas.gate.set()
    closer.join()
    upscaler.join()
    assert (canvas.closed, len(canvas.drawn)) == (1, 1)
