"""When the game fills the graphics card: one advice, with the number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from live_sr.app.gpu_contention import GpuContention, suggest_frame_cap
from live_sr.app.latency_governor import UpscaleLoad
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import Size

CALM = UpscaleLoad(EngineInfo("fast", 2, "tensorrt", "fp16"), p50_ms=2.0, p95_ms=2.6, frames=60, size=Size(960, 540))
SLOW = replace(CALM, p50_ms=7.0, p95_ms=9.8)
Second = tuple[UpscaleLoad, int | None, float]  # what upscaled, load in per cent, frames of the game


def told(*seconds: Second) -> list[str]:
    contention = GpuContention()
    said = [contention.observe(100.0 + n, *second) for n, second in enumerate(seconds)]
    return [advice for advice in said if advice]


@pytest.mark.parametrize(
    ("game_fps", "alone_ms", "cap"),
    [
        (100.0, 2.0, 75),  # 10 + 2 ms are 83.3 fps, less 5 % 79.2
        (80.0, 2.0, 65),
        (90.0, 1.0, 75),
        (93.0, 2.0, 72),  # 74.5: the usual limit above the multiple of five
        (60.0, 5.0, 40),
        (64.0, 0.5, 55),
        (165.0, 0.5, 144),
        (240.0, 1.0, 180),
        (30.0, 8.0, 20),
        (22.0, 8.0, 0),  # 17.8: not worth a cap
    ],
)
def test_the_cap_leaves_time_for_one_upscaling_a_frame(game_fps: float, alone_ms: float, cap: int) -> None:
    assert suggest_frame_cap(game_fps, alone_ms) == cap
    if cap:
        assert 1000 / cap >= 1000 / game_fps + alone_ms


@pytest.mark.parametrize(
    ("what", "seconds", "advice"),
    [
        (
            "full, and slower than alone",
            [(CALM, 60, 60.0)] * 5 + [(SLOW, 99, 100.0)] * 6,
            ["the graphics card is full (99 %), so upscaling takes 9.8 ms instead of 2.0: cap the game at 75 fps"],
        ),
        (
            "the frame rate is that of all the full seconds",
            [(CALM, 60, 60.0)] * 5 + [(SLOW, 99, 80.0), (SLOW, 100, 120.0)] * 3,
            ["the graphics card is full (100 %), so upscaling takes 9.8 ms instead of 2.0: cap the game at 75 fps"],
        ),
        (
            "a cap that nobody wants",
            [(CALM, 60, 60.0)] * 5 + [(SLOW, 99, 20.0)] * 6,
            [
                "the graphics card is full (99 %), so upscaling takes 9.8 ms instead of 2.0: "
                "lower the game's graphics settings or choose a cheaper model"
            ],
        ),
        ("once only", [(CALM, 60, 60.0)] * 5 + [(SLOW, 99, 100.0)] * 500, 1),
        ("full, but in nobody's way", [(CALM, 60, 60.0)] * 5 + [(CALM, 99, 100.0)] * 60, []),
        ("slower by less than anybody sees", [(replace(CALM, p50_ms=0.5, p95_ms=1.2), 99, 100.0)] * 60, []),
        ("slow, but the card has time", [(CALM, 60, 60.0)] * 5 + [(SLOW, 90, 100.0)] * 60, []),
        ("the load is not known", [(CALM, None, 60.0)] * 5 + [(SLOW, None, 100.0)] * 60, []),
        ("for moments only", ([(CALM, 60, 60.0)] * 5 + [(SLOW, 99, 100.0)] * 4) * 20, []),
        ("hardly a frame to judge by", [(replace(SLOW, frames=3), 99, 3.0)] * 60, []),
        (
            "a menu, of which little is drawn, takes less than the game behind it",
            [(replace(CALM, p50_ms=0.3, p95_ms=0.4, drawn=0.02), 99, 200.0)] * 9 + [(CALM, 99, 100.0)] * 60,
            [],
        ),
        ("while something is built", [(CALM, 60, 60.0)] * 5 + [(replace(SLOW, building=True), 99, 100.0)] * 60, []),
        (
            "a dearer model is not the game's fault",
            [(CALM, 60, 60.0)] * 5
            + [(replace(SLOW, info=EngineInfo("quality", 2, "tensorrt"), p95_ms=8.0), 99, 100.0)] * 60,
            [],
        ),
        (
            "full from the start, then a calm moment",
            [(SLOW, 99, 80.0)] * 9 + [(CALM, 99, 90.0)] + [(SLOW, 99, 80.0)] * 9,
            1,
        ),
    ],
)
def test_when_it_advises(what: str, seconds: list[Second], advice: list[str] | int) -> None:
    said = told(*seconds)
    assert said == advice or len(said) == advice, what
