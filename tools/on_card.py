"""Parts for checks and timings on a card: engines by name, frames of known content, a display that is a texture."""

from __future__ import annotations

import threading
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter_ns
from typing import Any

import numpy as np
from egl import Context

from live_sr.capture.pattern import PatternSource
from live_sr.contracts import Job
from live_sr.cuda.shown import Shown
from live_sr.cuda.texture import CardTexture
from live_sr.frame import Frame, Pixels, Size, fitting, size_of
from live_sr.latency import Latency
from live_sr.models import zoo
from live_sr.overlay.exchange import Exchange

CACHE = Path(mkdtemp(prefix="live-sr-engines-"))


def engine(kind: str, model: str, scale: int, **more: Any) -> Any:
    """One of the engines on cards, not yet warmed up."""
    card = zoo.find(model, scale)
    if kind == "cuda":
        from live_sr.engine.cuda import CudaEngine

        return CudaEngine(card, **more)
    if kind == "rtx":
        from live_sr.engine.rtx import RtxEngine

        return RtxEngine(card, cache=CACHE, **more)
    from live_sr.engine.tensorrt import TensorRTEngine

    return TensorRTEngine(card, cache=CACHE, **more)


def nearest(pixels: Pixels, size: Size, into: Pixels | None = None) -> Pixels:
    """Fulfils `contracts.Resize`; in numpy, since OpenCV need not be here."""
    done = fitting(into, size)
    rows = np.arange(size.height) * pixels.shape[0] // size.height
    columns = np.arange(size.width) * pixels.shape[1] // size.width
    done[:] = pixels[rows[:, None], columns]
    return done


class Plain:
    """The engine that is always ready."""

    def __init__(self, scale: int) -> None:
        self.scale = scale
        self.job = Job("nearest", scale, "numpy")

    def warm_up(self, size: Size) -> None:
        """Nothing to build."""

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        return frame.redrawn(nearest(frame.pixels, size_of(frame.pixels).times(self.scale), into))

    def close(self) -> None:
        """Nothing to free."""


def psnr(a: Pixels, b: Pixels) -> float:
    """Of the three colours, in dB; 100 when they are equal."""
    error = float(np.square(a[..., :3].astype(float) - b[..., :3]).mean())
    return min(100.0, 10 * float(np.log10(255**2 / max(error, 1e-10))))


class LevelSource:
    """Flat frames whose level rises by one from frame to frame, and begins again after `TURNS` as often as it must."""

    TURNS = 0

    def __init__(self, size: Size, frames: int | None, *, fps: float | None = None, least: int = 40) -> None:
        self._pattern = PatternSource(size, fps=fps, frames=frames)
        self._least = least
        self._number = 0
        LevelSource.TURNS = 0
        self.size = size

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        frame = self._pattern.next_frame(timeout_s, into)
        if frame is not None:
            level = self._least + self._number % (220 - self._least)
            LevelSource.TURNS += self._number > 0 and level == self._least
            self._number += 1
            frame.pixels[..., :3] = level
        return frame

    def close(self) -> None:
        self._pattern.close()


class TextureDisplay:
    """Fulfils `contracts.Display`: copies each picture into an OpenGL texture on a thread of its own, as the overlay.

    shown: the picture is complete in the texture, which OpenGL was made to wait for. look: read each one back, and
    keep what every so many pixels of it are (0: do not look).
    """

    def __init__(self, latency: Latency, *, look: int = 0) -> None:
        self._latency = latency
        self._look = look
        self._exchange: Exchange[Shown] = Exchange(latency)
        self._told = threading.Event()
        self._stop = threading.Event()
        self.seen: list[tuple[int, int]] = []  # level and spread of each picture
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._present, name="presenter", daemon=True)
        self._thread.start()

    def show(self, frame: Frame[Shown]) -> Frame[Shown] | None:
        if self.failure is not None:
            raise self.failure
        given_back, tell = self._exchange.put(frame)
        if tell:
            self._told.set()
        return given_back

    def close(self) -> None:
        self._stop.set()
        self._told.set()
        self._thread.join()

    def _present(self) -> None:
        try:
            with Context() as gl:
                self._serve(gl)
        except BaseException as error:
            self.failure = error

    def _serve(self, gl: Context) -> None:
        card, textures = CardTexture(), dict[Size, int]()
        while not self._stop.is_set():
            self._told.wait(0.1)
            self._told.clear()
            frame = self._exchange.take()
            if frame is None:
                continue
            picture = frame.pixels
            size = Size(picture.shape[1], picture.shape[0]) if isinstance(picture, np.ndarray) else picture.size
            if size not in textures:
                textures[size] = gl.texture(size)
            if isinstance(picture, np.ndarray):
                gl.upload(textures[size], picture)
            else:
                card.fill(textures[size], picture)
            gl.touch(textures[size])
            frame.stamps.shown = perf_counter_ns()
            self._latency.shown(frame.stamps)
            if self._look:
                pixels = gl.read(textures[size], size)[:: self._look, :: self._look, :3]
                self.seen.append((int(np.median(pixels)), int(pixels.max()) - int(pixels.min())))
        card.close()
