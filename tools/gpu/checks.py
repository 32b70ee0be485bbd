"""Checks on a GPU: the networks' pictures, textures, no torn frame, switches without a gap."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import torch

from live_sr.engines.live.build_request import Selection
from live_sr.engines.live.hot_swap import EngineSupply, HotSwapEngine
from live_sr.engines.live.presenter import Presenter
from live_sr.engines.torch_cuda.engine import CudaEngine
from live_sr.models import zoo
from live_sr.models.export.torch_io import wrap_torch_io
from live_sr.models.resolve import Model, resolve
from live_sr.nvidia.gl_interop import InteropTexture
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.frame import Frame, Size
from live_sr.pipeline.latency import Latency
from live_sr.pipeline.pipeline import Pipeline
from tools.gpu.egl import EglContext
from tools.gpu.fixtures import (
    LevelSource,
    PlainEngine,
    TextureDisplay,
    compute_psnr,
    list_usable_engines,
    make_engine,
    resize_nearest,
)

PartResult = tuple[list[str], object]
SMALL = Size(481, 271)  # odd, so that the edge is repeated and cut off again


def check_pictures() -> PartResult:
    """Compares each shipped network in each engine with fp32 on the processor, and texture with main memory."""
    lines = ["| model | engine | tactic | PSNR dB | worst level | texture equal |", "|---|---|---|---|---|---|"]
    rows = []
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 255, (SMALL.height // 8 + 1, SMALL.width // 8 + 1, 4), np.uint8)
    pixels = np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1)[: SMALL.height, : SMALL.width])
    pixels[..., 3] = 255
    with EglContext() as gl:
        for card, kind in itertools.product(zoo.list_cards(), list_usable_engines()):
            with torch.inference_mode():
                right = wrap_torch_io(card, "fp32")(torch.from_numpy(pixels)[None])[0].numpy()
            one = make_engine(kind, card.name, card.scale)
            try:
                one.warm_up(SMALL)
                back = one.upscale(Frame(pixels))
                drawn = one.upscale_on_device(Frame(pixels))
                assert back is not None
                assert drawn is not None
                number = gl.create_texture(SMALL.times(card.scale))
                texture = InteropTexture()
                assert texture.fill(number, drawn.pixels)
                same = bool(np.array_equal(gl.read(number, SMALL.times(card.scale)), back.pixels))
                texture.close()
                apart = int(np.abs(back.pixels.astype(int) - right).max())
                tactic = str(getattr(one, "taken", "")).partition("\n")[0]
                row = (card.label, kind, tactic, compute_psnr(back.pixels, right), apart, same)
            finally:
                one.close()
            rows.append(row)
            lines.append(f"| {row[0]} | {kind} | {tactic} | {row[3]:.1f} | {apart} | {'yes' if same else '**no**'} |")
    assert all(row[3] > 45 and row[5] for row in rows), "\n".join(lines)
    return lines, rows


def check_torn_frames() -> PartResult:
    """2000 flat frames of rising level, 200 a second: every texture must have one level, in rising order."""
    one = make_engine("cuda", "fast", 2)
    one.warm_up(Size(480, 270))
    latency = Latency()
    display = TextureDisplay(latency, look=1)
    pipeline = Pipeline(
        lambda: LevelSource(Size(480, 270), 2000, fps=200), DeviceOnlyEngine(one), display, latency, reopen=False
    )
    pipeline.start()
    while not pipeline.wait(0.1):
        pass
    pipeline.stop()
    display.close()
    one.close()
    mixed = [spread for _, spread in display.seen if spread > 6]
    back = sum(b < a - 1 for (a, _), (b, _) in zip(display.seen, display.seen[1:], strict=False)) - LevelSource.TURNS
    assert len(display.seen) > 100, f"only {len(display.seen)} pictures were seen"
    assert not mixed, f"{len(mixed)} of {len(display.seen)} pictures mix frames"
    assert back <= 0, "a picture was older than the one before it"
    return [f"{len(display.seen)} textures read back of 2000 frames: none torn, none out of order."], len(display.seen)


class DeviceOnlyEngine:
    """An engine for the pipeline whose pictures all stay on the GPU."""

    def __init__(self, inner: CudaEngine) -> None:
        self._inner = inner
        self.scale, self.info = inner.scale, inner.info
        self.warm_up, self.close = inner.warm_up, inner.close

    def upscale(self, frame, into=None):  # type: ignore[no-untyped-def]  # a script's
        if into is not None:
            into.release()
        return self._inner.upscale_on_device(frame)


def check_switches() -> PartResult:
    """Changes model and scale every second at 60 frames a second; finds the longest gap and black pictures."""
    size, fps = Size(480, 270), 60
    selections = [Selection(resolve(name), scale) for name in ("fast", "balanced", "turbo") for scale in (2, 4)]

    def make(model: Model, scale: int, *_: object) -> Engine:
        made: Engine = make_engine("cuda", model.name, scale)
        return made

    supply = EngineSupply(
        make_plain=PlainEngine,
        make=make,
        make_quick=lambda model, scale: make_engine("cuda", model.name, scale, quick=True),
        builds_slowly=True,
    )
    hot_swap = HotSwapEngine(supply, selections[0])
    presenter = Presenter(hot_swap, resize_nearest, resize_nearest)
    presenter.keep_on_device = True
    latency = Latency()
    display = TextureDisplay(latency, look=16)
    source = LevelSource(size, None, fps=fps, least=60)
    pipeline = Pipeline(lambda: source, presenter, display, latency, reopen=False)
    hot_swap.warm_up(size)
    pipeline.start()
    time.sleep(2)
    latency.reset()
    display.seen.clear()
    for turn in range(20):
        hot_swap.select(selections[turn % len(selections)])
        threading.Event().wait(1.0)
    report = latency.report()
    pipeline.stop()
    presenter.close()
    display.close()
    gap, black = float(report.intervals_ms.max()), sum(level < 30 for level, _ in display.seen)
    lines = [
        f"20 switches, {report.shown} pictures at {fps} a second: the longest gap {gap:.1f} ms "
        f"({gap * fps / 1000:.2f} frame intervals), {black} black."
    ]
    assert not black, lines[0]
    assert gap <= 2000 / fps, lines[0]
    return lines, {"gap_ms": gap, "black": black, "shown": report.shown}


CHECKS = {"pictures": check_pictures, "torn frames": check_torn_frames, "switches": check_switches}
