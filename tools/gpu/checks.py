"""Checks on a GPU: the networks' pictures, textures, changed regions, no torn frame, switches without a gap."""

from __future__ import annotations

import itertools
import threading
import time
from zlib import crc32

import numpy as np
import torch

from live_sr.engines.live.build_request import Selection
from live_sr.engines.live.hot_swap import EngineSupply, HotSwapEngine
from live_sr.engines.live.presenter import Presenter
from live_sr.engines.regions.on_device import DeviceWindowsEngine
from live_sr.engines.tiling.requirements import read_requirements
from live_sr.engines.torch_cuda.engine import CudaEngine
from live_sr.models import zoo
from live_sr.models.export.torch_io import wrap_torch_io
from live_sr.models.resolve import Model, resolve
from live_sr.nvidia.gl_interop import InteropTexture
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.engine_contracts import DeviceEngine, DeviceWindowEngine
from live_sr.pipeline.frame import Frame, Size, make_black
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


def check_changed_regions() -> PartResult:
    """Draws the same frames in parts and as a whole, in each engine that has windows: no value may differ."""
    size, count = Size(960, 540), 200
    lines = ["| engine | warm-up s | drawn in parts | share drawn | ms in parts | ms whole | differing |"]
    lines.append("|---|---|---|---|---|---|---|")
    rows = []
    for kind in list_usable_engines():
        inner = make_engine(kind, "fast", 2)
        has_windows = isinstance(inner, DeviceWindowEngine)
        if not has_windows:
            continue
        requirements = read_requirements(zoo.find("fast", 2))
        assert requirements is not None
        engine = DeviceWindowsEngine(inner, inner, requirements, read_ns=time.perf_counter_ns, least_ms=0)
        begun = time.perf_counter()
        engine.warm_up(size)
        warm_up_s = time.perf_counter() - begun
        in_parts, shares, parts_ms = play_changes(engine, size, count)
        whole, _, whole_ms = play_changes(inner, size, count)
        engine.close()
        differing = sum(a != b for a, b in zip(in_parts, whole, strict=True))
        drawn = [share for share in shares if share < 1]
        row = (kind, warm_up_s, len(drawn) / count, float(np.mean(shares)), parts_ms, whole_ms, differing)
        rows.append(row)
        lines.append("| {} | {:.1f} | {:.0%} | {:.0%} | {:.2f} | {:.2f} | {} |".format(*row))
    assert not any(row[-1] for row in rows), "\n".join(lines)
    return lines, rows


def play_changes(engine: DeviceEngine, size: Size, count: int) -> tuple[list[int], list[float], float]:
    """The same changes each time. Returns checksums of the pictures, the shares drawn, and the median milliseconds."""
    rng = np.random.default_rng(3)
    scene = make_black(size)
    scene[..., :3] = rng.integers(0, 256, (size.height, size.width, 3))
    sums, shares, times = [], [], []
    for _ in range(count):
        for _ in range(int(rng.integers(0, 4))):
            y, x = int(rng.integers(0, size.height - 50)), int(rng.integers(0, size.width - 80))
            scene[y : y + 50, x : x + int(rng.integers(1, 80)), :3] = rng.integers(0, 256, 3)
        frame = Frame(scene)
        begun = time.perf_counter()
        done = engine.upscale_on_device(frame)
        times.append(1000 * (time.perf_counter() - begun))
        assert done is not None
        sums.append(crc32(done.pixels.to_host().tobytes()))
        done.pixels.release()
        shares.append(frame.stamps.drawn)
    return sums, shares, float(np.median(times))


CHECKS = {
    "pictures": check_pictures,
    "changed regions": check_changed_regions,
    "torn frames": check_torn_frames,
    "switches": check_switches,
}
