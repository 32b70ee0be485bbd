"""Parts for checks and timings on a GPU: engines by name, frames of known content, a display with a texture."""

from __future__ import annotations

import threading
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter_ns
from typing import Any

import numpy as np

from live_sr.backends import ENGINES
from live_sr.capture.pattern import PatternSource
from live_sr.models import zoo
from live_sr.nvidia.gl_interop import InteropTexture
from live_sr.overlay.triple_buffer import TripleBuffer
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size, reuse_or_allocate
from live_sr.pipeline.latency import Latency
from tools.gpu.egl import EglContext

CACHE = Path(mkdtemp(prefix="live-sr-engines-"))


def list_usable_engines() -> list[str]:
    """The engines for GPUs that can be used on this machine, best first."""
    return [b.name for b in ENGINES if b.on_gpu and not b.unavailable_reason()]


def make_engine(kind: str, model: str, scale: int, **more: Any) -> Any:
    """One of the engines for NVIDIA GPUs, not yet warmed up."""
    card = zoo.find(model, scale)
    if kind == "cuda":
        from live_sr.engines.torch_cuda.engine import CudaEngine

        return CudaEngine(card, **more)
    if kind == "rtx":
        from live_sr.engines.tensorrt.rtx_engine import RtxEngine

        return RtxEngine(card, cache=CACHE, **more)
    from live_sr.engines.tensorrt.engine import TensorRTEngine

    return TensorRTEngine(card, cache=CACHE, **more)


def resize_nearest(pixels: Pixels, size: Size, into: Pixels | None = None) -> Pixels:
    """Fulfils `contracts.Resize`, in numpy, since OpenCV may not be installed."""
    done = reuse_or_allocate(into, size)
    rows = np.arange(size.height) * pixels.shape[0] // size.height
    columns = np.arange(size.width) * pixels.shape[1] // size.width
    done[:] = pixels[rows[:, None], columns]
    return done


class PlainEngine:
    """An engine that needs no building."""

    def __init__(self, scale: int) -> None:
        self.scale = scale
        self.info = EngineInfo("nearest", scale, "numpy")

    def warm_up(self, size: Size) -> None:
        """Nothing to build."""

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        return frame.with_pixels(resize_nearest(frame.pixels, get_size(frame.pixels).times(self.scale), into))

    def close(self) -> None:
        """Nothing to free."""


def compute_psnr(a: Pixels, b: Pixels) -> float:
    """PSNR of the three colours in dB; 100 if they are equal."""
    error = float(np.square(a[..., :3].astype(float) - b[..., :3]).mean())
    return min(100.0, 10 * float(np.log10(255**2 / max(error, 1e-10))))


class LevelSource:
    """Flat frames whose level rises by one from frame to frame. `TURNS`: how often it has started over."""

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

    A picture is shown when it is complete in the texture, which OpenGL waits for. look: read each picture back, and
    keep level and spread of every `look`-th pixel (0: do not read back).
    """

    def __init__(self, latency: Latency, *, look: int = 0) -> None:
        self._latency = latency
        self._look = look
        self._buffer: TripleBuffer[DisplayPicture] = TripleBuffer(latency)
        self._posted = threading.Event()
        self._stop = threading.Event()
        self.seen: list[tuple[int, int]] = []  # level and spread of each picture
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._present, name="presenter", daemon=True)
        self._thread.start()

    def show(self, frame: Frame[DisplayPicture]) -> Frame[DisplayPicture] | None:
        if self.failure is not None:
            raise self.failure
        given_back, is_first = self._buffer.put(frame)
        if is_first:
            self._posted.set()
        return given_back

    def close(self) -> None:
        self._stop.set()
        self._posted.set()
        self._thread.join()

    def _present(self) -> None:
        try:
            with EglContext() as gl:
                self._serve(gl)
        except BaseException as error:
            self.failure = error

    def _serve(self, gl: EglContext) -> None:
        interop, textures = InteropTexture(), dict[Size, int]()
        while not self._stop.is_set():
            self._posted.wait(0.1)
            self._posted.clear()
            frame = self._buffer.take()
            if frame is None:
                continue
            picture = frame.pixels
            size = picture.size
            if size not in textures:
                textures[size] = gl.create_texture(size)
            if picture.on_device:
                interop.fill(textures[size], picture)
            else:
                gl.upload(textures[size], picture.to_host())
            gl.wait_for_texture(textures[size])
            frame.stamps.shown = perf_counter_ns()
            self._latency.record_shown(frame.stamps)
            if self._look:
                pixels = gl.read(textures[size], size)[:: self._look, :: self._look, :3]
                self.seen.append((int(np.median(pixels)), int(pixels.max()) - int(pixels.min())))
        interop.close()
