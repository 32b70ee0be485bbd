"""The window that a graphics card draws by itself, on Mesa's software driver, compared with what is on the screen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import select
from overlay_windows import (
    grab,
    make_frame,
    make_picture,
    pump_until,
    show_frames,
    show_window,
    to_host_frame,
)
from patience import until, wait
from PyQt6.QtCore import QTimer
from PyQt6.QtGui import QColor, QImage, QPainter
from PyQt6.QtWidgets import QApplication
from screens import Screen
from software_card import NEEDS_DRIVER, SOFTWARE, find_canvas_opener

from live_sr.engines import factory
from live_sr.engines.filters.engine import FilterEngine, make_resizer, resize
from live_sr.engines.live.hot_swap import EngineSupply, HotSwapEngine
from live_sr.engines.live.presenter import Presenter, View
from live_sr.engines.options import EngineOptions
from live_sr.engines.webgpu import gpu, reference
from live_sr.engines.webgpu.engine import WebGpuEngine
from live_sr.errors import EngineError
from live_sr.manage import doctor
from live_sr.models.cellnet_weights import read_weights
from live_sr.models.resolve import resolve
from live_sr.overlay import gpu_window
from live_sr.overlay.cursor import DrawnCursor
from live_sr.overlay.display import QtDisplay
from live_sr.overlay.raster_window import RasterWindow
from live_sr.overlay.surface import Surface, Vsync
from live_sr.overlay.window_factory import make_window
from live_sr.pipeline.desktop_contracts import CursorShape
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, Stamps, get_size
from live_sr.pipeline.latency import Latency
from live_sr.pipeline.pipeline import Pipeline

pytestmark = NEEDS_DRIVER

SMALL = Size(48, 32)
ROOM = Size(128, 96)
CORNER = (50, 40)


def open_gpu_window(room: Size = ROOM, vsync: Vsync = "off", mode: str = "cover") -> tuple[Surface, QtDisplay, Latency]:
    """A visible window of that size that the software driver draws."""
    window, why = make_window(mode, "gpu", vsync, None, find_canvas_opener())  # type: ignore[arg-type]
    assert why == "drawn by the graphics card that upscales"
    return (window, *show_window(window, "raster", room))


def make_engine() -> WebGpuEngine:
    card = resolve("turbo").get_card(2)
    assert card is not None
    return WebGpuEngine(card, precision="fp32", adapter=SOFTWARE, redraws_lost=False)


def draw_reference(pixels: Pixels) -> Pixels:
    card = resolve("turbo").get_card(2)
    assert card is not None
    return reference.draw([read_weights(card.onnx.with_suffix(".safetensors"))], pixels)


def put_in_middle(picture: Pixels, room: Size) -> Pixels:
    """The picture as large as fits in the middle of a black window."""
    fitted = resize(picture, get_size(picture).fit_into(room))
    whole = np.zeros((room.height, room.width, 3), np.uint8)
    left, top = (room.width - fitted.shape[1]) // 2, (room.height - fitted.shape[0]) // 2
    whole[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted[..., :3]
    return whole


def measure_deviation(expected: Pixels) -> int:
    """Levels of 255 by which the window on the screen differs from that, at most."""
    shown = grab(Rect(*CORNER, expected.shape[1], expected.shape[0]))
    return int(np.abs(shown.astype(np.int16) - expected[..., :3]).max())


def wait_for(expected: Pixels) -> None:
    pump_until(lambda: measure_deviation(expected) <= 1)


def make_game_frame(seed: int, size: Size = SMALL) -> Frame[Pixels]:
    """Soft shapes: in noise, a rounding of the resize's weights makes more than a level."""
    pixels = resize(make_picture(Size(12, 8), seed), size).copy()
    return Frame(pixels, Stamps(1, 1, 1, 1), seed)


def test_pictures_go_from_the_network_to_the_screen_whatever_the_size_of_the_window(qt: QApplication) -> None:
    window, display, _ = open_gpu_window()
    engine = make_engine()
    for seed, room in enumerate((SMALL.times(2), Size(64, 43), Size(128, 96), Size(141, 77), Size(40, 30))):
        window.resize(*room)  # type: ignore[attr-defined]
        pump_until(lambda room=room: window.get_room() == room)  # type: ignore[misc]
        frame = make_game_frame(seed)
        done = engine.upscale_on_device(frame)
        assert done is not None and done.pixels.on_device
        show_frames(window, display, done)
        wait_for(put_in_middle(draw_reference(frame.pixels), room))
        assert window.find_picture() == Rect(*find_bars(SMALL, room))
    engine.close()
    window.show_cursor(DrawnCursor(RED, 1.0, 2.0, 3.0))  # a picture outlives its engine
    expected = put_in_middle(draw_reference(frame.pixels), room)
    expected[1:5, 1:7] = (0, 0, 255)
    wait_for(expected)


def find_bars(size: Size, room: Size) -> tuple[int, int, int, int]:
    fitted = size.times(2).fit_into(room)
    return ((room.width - fitted.width) // 2, (room.height - fitted.height) // 2, *fitted)


RED = CursorShape(np.full((4, 6, 4), (0, 0, 255, 255), np.uint8), (1, 2))


class Panel:
    """A HUD in the lower right corner: half of it lets the picture through."""

    def __init__(self) -> None:
        self.image = QImage(20, 10, QImage.Format.Format_ARGB32_Premultiplied)
        self.image.fill(QColor(0, 0, 0, 0))
        painter = QPainter(self.image)
        painter.fillRect(0, 0, 10, 10, QColor(0, 255, 0))
        painter.fillRect(10, 0, 10, 5, QColor(255, 255, 255, 128))
        painter.end()

    def find_image(self, room: Size) -> tuple[QImage, int, int] | None:
        return self.image, room.width - 20, room.height - 10

    def paint(self, painter: QPainter, room: Size) -> None:
        painter.drawImage(room.width - 20, room.height - 10, self.image)


def test_a_hud_lets_the_picture_through_where_it_is_transparent(qt: QApplication) -> None:
    window, display, _ = open_gpu_window()
    window.set_hud(Panel())
    one = make_frame(ROOM, 3)
    show_frames(window, display, one)
    expected = one.pixels[..., :3].copy()
    corner = expected[-10:, -20:]
    corner[:, :10] = (0, 255, 0)
    corner[:5, 10:] = np.rint(corner[:5, 10:] * (127 / 255) + 128)
    wait_for(expected)
    window.set_hud(None)
    wait_for(one.pixels)


@pytest.mark.parametrize("vsync", ["off", "on", "adaptive"])
def test_pictures_from_main_memory_and_changes_over_them_are_shown_with_and_without_waiting(
    qt: QApplication, vsync: Vsync
) -> None:
    window, display, _ = open_gpu_window(vsync=vsync)
    for seed, size in enumerate((ROOM, Size(50, 30), ROOM)):
        one = make_frame(size, seed)
        show_frames(window, display, one)
        whole = np.zeros((ROOM.height, ROOM.width, 3), np.uint8)
        left, top = (ROOM.width - size.width) // 2, (ROOM.height - size.height) // 2
        whole[top : top + size.height, left : left + size.width] = one.pixels[..., :3]
        wait_for(whole)
    window.show_cursor(DrawnCursor(RED, 1.0, 20.0, 30.0))
    whole[28:32, 19:25] = (0, 0, 255)
    wait_for(whole)


def test_a_storm_of_sizes_ends_with_the_right_picture(qt: QApplication) -> None:
    window, display, _ = open_gpu_window()
    engine = make_engine()
    sizes = np.random.default_rng(7).integers((30, 20), (161, 121), (40, 2)).tolist()
    for seed, (width, height) in enumerate(sizes):
        window.resize(width, height)  # type: ignore[attr-defined]
        window.setVisible(seed % 10 != 3)
        game = Size(17 + seed % 5, 16 - seed % 3)
        done = engine.upscale_on_device(make_game_frame(seed, game))
        assert done is not None
        display.show(done)
        QApplication.processEvents()
    pump_until(lambda: window.get_room() == (width, height))
    last = make_game_frame(99)
    done = engine.upscale_on_device(last)
    assert done is not None
    show_frames(window, display, done)
    wait_for(put_in_middle(draw_reference(last.pixels), Size(width, height)))
    engine.close()


class Chain:
    """Window, presenter, engine and pipeline as a session wires them, with a game that is drawn on request."""

    def __init__(self, window: Surface, display: QtDisplay, latency: Latency) -> None:
        self.notes: list[str] = []
        self.engines: list[WebGpuEngine] = []
        self.gate = threading.Event()  # builds wait for it
        self.gate.set()
        supply = EngineSupply(
            make_plain=lambda scale: FilterEngine("bicubic", scale),
            make=lambda model, scale, watch: self._make(),
            notify=self.notes.append,
            on_change=lambda: self.pipeline.redraw(),
        )
        self.window = window
        self.hot_swap = HotSwapEngine(supply, select("turbo", 2))
        self.presenter = Presenter(self.hot_swap, make_resizer("auto"), make_resizer("nearest"))
        self.presenter.room = window.get_room()
        self.presenter.keep_on_device = window.shows_device_pictures
        self.presenter.compare_on_device = window.compares_device_pictures
        window.on_device_failure(self._report)
        self.size = SMALL
        self.frame = make_game_frame(1)
        self._shown: int | None = None
        self.latency = latency
        self.pipeline = Pipeline(lambda: self, self.presenter, display, latency)
        self.pipeline.start()

    def _make(self) -> WebGpuEngine:
        assert wait(self.gate)
        self.engines.append(make_engine())
        return self.engines[-1]

    def _report(self, why: str) -> None:
        self.presenter.keep_on_device = not why
        self.notes.append(f"window: {why or 'works again'}")

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        frame = self.frame
        if frame.number == self._shown:
            threading.Event().wait(min(timeout_s, 0.005))
            return None
        self._shown = frame.number
        return Frame(frame.pixels.copy(), Stamps(1, 1), frame.number)

    def close(self) -> None:
        """As a source: nothing to free."""

    def stop(self) -> None:
        self.gate.set()
        self.pipeline.stop()
        self.presenter.close()


@pytest.fixture
def make_chain(qt: QApplication) -> Iterator[Callable[[], Chain]]:
    chains: list[Chain] = []

    def make() -> Chain:
        chains.append(Chain(*open_gpu_window()))
        return chains[-1]

    yield make
    for chain in chains:
        chain.stop()


def wait_for_card(chain: Chain) -> None:
    """Until the engine on the card works. A failed one is built again only while frames come."""

    def uses_card() -> bool:
        chain.pipeline.redraw()
        return chain.presenter.info.engine == "webgpu"

    pump_until(uses_card)


def test_every_view_is_drawn_by_the_card_as_it_is_drawn_in_main_memory(make_chain: Callable[[], Chain]) -> None:
    chain = make_chain()
    wait_for_card(chain)
    expected = put_in_middle(draw_reference(chain.frame.pixels), ROOM)
    wait_for(expected)
    place = chain.window.find_picture()
    assert place is not None
    nearest = make_resizer("nearest")(chain.frame.pixels, place.size, None)
    before = expected.copy()
    place.cut_from(before)[...] = nearest[..., :3]
    chain.presenter.view = View.UNPROCESSED
    chain.pipeline.redraw()
    wait_for(before)
    for divider in (0.5, 0.25):
        chain.presenter.view, chain.presenter.divider = View.SPLIT, divider
        chain.pipeline.redraw()
        at = place.x + round(divider * place.width)
        split = expected.copy()
        split[:, :at] = before[:, :at]
        split[place.y : place.y + place.height, at - 1 : at + 1] = 255
        wait_for(split)
    for step, alone in ((-1, expected), (1, before)):
        for _ in range(20):
            chain.presenter.move_divider(step)
        chain.pipeline.redraw()
        wait_for(alone)
    taken: list[Pixels] = []
    chain.pipeline.request_snapshot(lambda small, large: taken.append(large))
    pump_until(lambda: bool(taken))
    assert get_size(taken[0]) == SMALL.times(2), "a screenshot has the engine's own size"


def draw_plain(pixels: Pixels) -> Pixels:
    """What the window shows while a filter draws."""
    return put_in_middle(resize(pixels, SMALL.times(2)).copy(), ROOM)


def test_a_lost_card_is_opened_anew_while_the_picture_goes_on_moving(make_chain: Callable[[], Chain]) -> None:
    chain = make_chain()
    wait_for_card(chain)
    wait_for(put_in_middle(draw_reference(chain.frame.pixels), ROOM))
    lost = gpu.open_gpu(SOFTWARE)
    chain.gate.clear()
    lost.device.destroy()
    chain.frame = make_game_frame(2)
    wait_for(draw_plain(chain.frame.pixels))
    assert "; bicubic x2, filters goes on" in chain.notes[0]
    assert chain.notes[1].startswith("window: llvmpipe")
    pump_until(lambda: chain.notes[-1] == "window: works again")
    assert gpu.open_gpu(SOFTWARE) is not lost
    chain.frame = make_game_frame(3)
    wait_for(draw_plain(chain.frame.pixels))
    chain.gate.set()
    wait_for_card(chain)
    for seed in (4, 5):
        chain.frame = make_game_frame(seed)
        wait_for(put_in_middle(draw_reference(chain.frame.pixels), ROOM))
    assert len(chain.engines) == 2


def test_a_card_is_given_up_when_it_misses_pictures_for_long_and_not_for_many(
    qt: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a window is resized, drivers refuse pictures of the size before, however many come."""
    wgpu = pytest.importorskip("wgpu")
    window, display, _ = open_gpu_window()
    notes: list[str] = []
    window.on_device_failure(notes.append)
    now, missed = [0.0], [0]
    monkeypatch.setattr("live_sr.engines.webgpu.canvas.monotonic", lambda: now[0])

    def miss(context: object) -> None:
        missed[0] += 1
        raise wgpu.classes.DrawCancelled("Outdated")

    def request_until(condition: Callable[[], bool]) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(wgpu.classes.GPUCanvasContext, "get_current_texture", miss)

            def is_met() -> bool:
                window.refresh()
                return condition()

            pump_until(is_met)

    request_until(lambda: missed[0] > 30)
    one = make_frame(ROOM, 1)
    show_frames(window, display, one)
    wait_for(one.pixels)
    assert notes == []

    def is_given_up() -> bool:
        now[0] += 0.1
        return bool(notes)

    request_until(is_given_up)
    assert "can no longer draw into the window (Outdated)" in notes[0]


class BrokenCanvas:
    """It can be opened, and fails as soon as something is to be drawn."""

    def draw(self, *what: object) -> None:
        raise EngineError("the driver refuses", "update it")

    def close(self) -> None:
        """There is nothing to free."""


def test_a_card_that_opens_and_then_fails_is_tried_less_and_less_often(
    qt: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour_ms = 3_600_000
    monkeypatch.setattr(gpu_window, "REOPEN_MS", (0, 1, 2, hour_ms))
    notes: list[str] = []
    window, _ = make_window("cover", "gpu", open_canvas=lambda window, waits: BrokenCanvas())
    window.on_device_failure(notes.append)
    display, _ = show_window(window, "raster", ROOM)
    retry = window.findChild(QTimer)  # type: ignore[attr-defined]

    def waits_long() -> bool:
        display.show(to_host_frame(make_frame(ROOM, 1)))
        return bool(retry.isActive() and retry.interval() == hour_ms)

    pump_until(waits_long)
    assert notes == [*["the driver refuses", ""] * 3, "the driver refuses"]
    wait_for(make_frame(ROOM, 1).pixels)


def test_the_upscale_thread_shows_pictures_while_the_event_loop_stands_still(make_chain: Callable[[], Chain]) -> None:
    chain = make_chain()
    wait_for_card(chain)
    wait_for(put_in_middle(draw_reference(chain.frame.pixels), ROOM))
    chain.frame = make_game_frame(5)
    expected = put_in_middle(draw_reference(chain.frame.pixels), ROOM)
    until(lambda: measure_deviation(expected) <= 1, "the picture is shown without the GUI thread")


def test_a_software_adapter_draws_no_window_unless_asked_to_and_says_so(qt: QApplication) -> None:
    opener = factory.find_canvas_opener(EngineOptions("webgpu", adapter=SOFTWARE), software=False)
    window, why = make_window("cover", "auto", open_canvas=opener)
    assert type(window) is RasterWindow
    assert "pictures go through main memory: llvmpipe" in why and "is no graphics card" in why


def test_an_engine_without_a_card_leaves_the_window_to_the_processor(qt: QApplication) -> None:
    assert factory.find_canvas_opener(EngineOptions("openvino"), software=True) is None
    window, why = make_window("cover", "gpu")
    assert type(window) is RasterWindow
    assert "the engine in use leaves no pictures on a graphics card" in why


@pytest.mark.parametrize(("present", "words"), [("gpu", "draws it"), ("auto", "is no graphics card"), ("raster", "")])
def test_doctor_says_whether_the_card_draws_the_window(
    screen: Screen, tmp_path: Path, present: str, words: str
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'engine.backend = "webgpu"\nengine.adapter = "{SOFTWARE}"\noverlay.present = "{present}"\n')
    found = [finding for section in doctor.collect_report(file).sections for finding in section.findings]
    says = [finding.says for finding in found if finding.name == "window"]
    assert len(says) == bool(words)
    assert all(words in said for said in says)
