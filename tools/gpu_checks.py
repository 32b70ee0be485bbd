"""What must be right on a card: the networks' pictures, no torn frame, textures, switches without a gap."""

from __future__ import annotations

import threading
import time

import numpy as np
import torch
from egl import Context
from on_card import LevelSource, Plain, TextureDisplay, engine, nearest, psnr

from live_sr.contracts import Engine
from live_sr.cuda.texture import CardTexture
from live_sr.engine.compare import Compare
from live_sr.engine.cuda import CudaEngine
from live_sr.engine.direct import Direct
from live_sr.engine.fitted import Fitted
from live_sr.engine.orders import Wish
from live_sr.engine.relay import Relay, Workshop
from live_sr.frame import Frame, Size
from live_sr.latency import Latency
from live_sr.models import zoo
from live_sr.models.framed import framed
from live_sr.pipeline import Pipeline

Told = tuple[list[str], object]
SMALL = Size(481, 271)  # odd, so that the edge is repeated and cut off again


def pictures() -> Told:
    """Each shipped network in the cuda engine against fp32 on the processor: main memory and texture alike."""
    lines = ["| model | tactic | PSNR dB | worst level | texture equal |", "|---|---|---|---|---|"]
    rows = []
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 255, (SMALL.height // 8 + 1, SMALL.width // 8 + 1, 4), np.uint8)
    pixels = np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1)[: SMALL.height, : SMALL.width])
    pixels[..., 3] = 255
    with Context() as gl:
        for card in zoo.cards():
            with torch.inference_mode():
                right = framed(card, "fp32")(torch.from_numpy(pixels)[None])[0].numpy()
            one = engine("cuda", card.name, card.scale)
            try:
                one.warm_up(SMALL)
                back = one.upscale(Frame(pixels))
                drawn = one.draw(Frame(pixels))
                assert back is not None
                assert drawn is not None
                number = gl.texture(SMALL.times(card.scale))
                texture = CardTexture()
                assert texture.fill(number, drawn.pixels)
                same = bool(np.array_equal(gl.read(number, SMALL.times(card.scale)), back.pixels))
                texture.close()
                apart = int(np.abs(back.pixels.astype(int) - right).max())
                row = (card.label, str(one.taken).splitlines()[0], psnr(back.pixels, right), apart, same)
            finally:
                one.close()
            rows.append(row)
            lines.append(f"| {row[0]} | {row[1]} | {row[2]:.1f} | {row[3]} | {'yes' if same else '**no**'} |")
    assert all(row[2] > 45 and row[4] for row in rows), "\n".join(lines)
    return lines, rows


def torn() -> Told:
    """Two thousand flat frames of changing level, 200 a second: every texture is of one level, in rising order."""
    one = engine("cuda", "fast", 2)
    one.warm_up(Size(480, 270))
    latency = Latency()
    display = TextureDisplay(latency, look=1)
    pipeline = Pipeline(lambda: LevelSource(Size(480, 270), 2000, fps=200), Drawer(one), display, latency, reopen=False)
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


class Drawer:
    """An engine on a card as the pipeline takes it: its pictures stay there."""

    def __init__(self, inner: CudaEngine) -> None:
        self._inner = inner
        self.scale, self.job = inner.scale, inner.job
        self.warm_up, self.close = inner.warm_up, inner.close

    def upscale(self, frame, into=None):  # type: ignore[no-untyped-def]  # a script's
        if into is not None:
            into.release()
        return self._inner.draw(frame)


def switches() -> Told:
    """A change of model and scale every second at 60 frames a second: the longest gap between pictures, black ones."""
    size, fps = Size(480, 270), 60
    wishes = [Wish(model, scale) for model in ("fast", "balanced", "turbo") for scale in (2, 4)]

    def make(model: str, scale: int, *_: object) -> Engine:
        return engine("cuda", model, scale)

    workshop = Workshop(
        plain=Plain,
        make=make,
        quick=lambda model, scale: engine("cuda", model, scale, quick=True),
        patient=True,
        scales=lambda model: (2, 4),
    )
    relay = Relay(workshop, wishes[0])
    compare = Compare(Fitted(relay, nearest), nearest)
    direct = Direct(compare, relay)
    direct.allowed = True
    latency = Latency()
    display = TextureDisplay(latency, look=16)
    source = LevelSource(size, None, fps=fps, least=60)
    pipeline = Pipeline(lambda: source, direct, display, latency, reopen=False)
    relay.warm_up(size)
    pipeline.start()
    time.sleep(2)
    latency.reset()
    display.seen.clear()
    for turn in range(20):
        relay.wish(wishes[turn % len(wishes)])
        threading.Event().wait(1.0)
    report = latency.report()
    pipeline.stop()
    direct.close()
    display.close()
    gap, black = float(report.intervals_ms.max()), sum(level < 30 for level, _ in display.seen)
    lines = [
        f"20 switches, {report.shown} pictures at {fps} a second: the longest gap {gap:.1f} ms "
        f"({gap * fps / 1000:.2f} frame intervals), {black} black."
    ]
    assert not black, lines[0]
    assert gap <= 2000 / fps, lines[0]
    return lines, {"gap_ms": gap, "black": black, "shown": report.shown}


CHECKS = {"pictures": pictures, "torn frames": torn, "switches": switches}
