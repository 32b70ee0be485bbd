"""Filters, and chains of networks, on Mesa's software driver for Vulkan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from software_card import SOFTWARE, USES_DRIVER, draw, make_noise, measure_deviation

from live_sr import cli
from live_sr.engines import factory, graph_choice, trial
from live_sr.engines.filters.engine import FILTERS, FilterEngine
from live_sr.engines.options import EngineOptions
from live_sr.engines.trial import TrialResult
from live_sr.engines.webgpu import gpu, reference
from live_sr.engines.webgpu.engine import WebGpuEngine, WebGpuFilterEngine
from live_sr.engines.webgpu.resampling import make_filter, make_resize
from live_sr.errors import EngineError
from live_sr.models.card import ModelCard
from live_sr.models.resolve import resolve
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, make_black
from live_sr.system import paths

pytestmark = USES_DRIVER

RNG = np.random.default_rng(8)
FORCED = EngineOptions(backend="webgpu", adapter=SOFTWARE, precision="fp32")


def make_scene(size: Size) -> Pixels:
    """Noise, with a flat part, a dark one and a slope in it, where filters decide in other ways."""
    pixels = make_noise(size, RNG)
    half, third = size.width // 2, size.height // 3
    pixels[third:, :half, :3] = RNG.integers(0, 256, 3)
    pixels[:third, half:, :3] //= 20
    pixels[-third:, :, :3] = np.linspace(0, 255, size.width).astype(np.uint8)[:, None]
    return pixels


# Filters


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """The engines whose trials are held; none has been held before."""
    held: list[str] = []

    def compare(engine: Engine, *arguments: Any, **named: Any) -> TrialResult:
        held.append(str(engine.info))
        return compare_as_always(engine, *arguments, **named)

    compare_as_always = trial.compare
    monkeypatch.setattr(trial, "compare", compare)
    monkeypatch.setattr(trial, "SIZE", Size(64, 48))
    monkeypatch.setattr(paths, "get_native_folder", lambda: tmp_path / "native")
    graph_choice.open_trial_memory.cache_clear()
    yield held
    graph_choice.open_trial_memory.cache_clear()


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_a_filter_is_drawn_as_on_the_processor_within_a_level(name: str, scale: int) -> None:
    with (
        closing(WebGpuFilterEngine(name, scale, adapter=SOFTWARE)) as engine,
        closing(FilterEngine(name, scale)) as cpu,
    ):
        for size in (Size(61, 45), Size(1, 1), Size(33, 2)):
            pixels = make_scene(size)
            assert measure_deviation(draw(engine, pixels), draw(cpu, pixels)) <= 1, size
        assert str(engine.info) == f"{name} x{scale}, webgpu"


@pytest.mark.parametrize("name", ["nearest", "lanczos", "fsr"])
def test_a_part_of_a_filtered_picture_is_that_of_the_whole(name: str) -> None:
    check_regions(WebGpuFilterEngine(name, 3, adapter=SOFTWARE), Size(52, 40))


def check_regions(engine: WebGpuEngine | WebGpuFilterEngine, size: Size) -> None:
    with closing(engine):
        for _ in range(8):
            pixels = make_noise(size, RNG)
            draw(engine, make_noise(size, RNG))  # what is on the card is of another picture
            x, y = (int(RNG.integers(0, side)) for side in size)
            region = Rect(x, y, int(RNG.integers(1, size.width - x + 1)), int(RNG.integers(1, size.height - y + 1)))
            part = make_black(size.times(engine.scale))
            engine.upscale_regions(pixels, [region], part)
            where = region.times(engine.scale)
            assert np.array_equal(where.cut_from(part), where.cut_from(draw(engine, pixels))), region


def test_a_filter_that_there_is_not_is_named() -> None:
    with pytest.raises(EngineError, match="no filter nothing"):
        WebGpuFilterEngine("nothing", 2)


@pytest.mark.usefixtures("trials")
def test_a_filter_is_taken_on_the_card_where_it_is_asked_for_or_faster() -> None:
    fsr = resolve("fsr")
    with closing(factory.make_engine(fsr, 2, FORCED)) as engine:
        assert engine.info.engine == "webgpu"
    with closing(factory.make_engine(resolve("nearest"), 2, EngineOptions(adapter=SOFTWARE))) as engine:
        assert engine.info.engine == "filters", "here the card is the processor, and slower than OpenCV"
    with closing(factory.make_engine(fsr, 2, EngineOptions())) as engine:
        assert engine.info.engine == "filters"


def test_a_filter_that_was_slower_on_the_card_is_tried_again_only_with_another_driver(
    trials: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = gpu.open_gpu(SOFTWARE)
    for driver in (card.adapter.driver, card.adapter.driver, "another"):
        monkeypatch.setattr(card, "adapter", replace(card.adapter, driver=driver))
        graph_choice.open_trial_memory.cache_clear()  # as after the next start
        with closing(factory.make_engine(resolve("nearest"), 2, EngineOptions(adapter=SOFTWARE))) as engine:
            assert engine.info.engine == "filters", "here the card is the processor, and slower than OpenCV"
    assert trials == ["nearest x2, webgpu"] * 2


@pytest.mark.usefixtures("trials")
def test_a_filter_that_the_card_draws_wrongly_is_not_taken_even_if_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("live_sr.engines.webgpu.engine.make_filter", lambda name, scale: make_filter("nearest", scale))
    with closing(factory.make_engine(resolve("bilinear"), 2, FORCED)) as engine:
        assert engine.info.engine == "filters"
    assert "levels different" in caplog.text


@pytest.mark.usefixtures("trials")
@pytest.mark.parametrize("tile", ["off", "16"])
def test_pictures_are_upscaled_with_a_filter_on_the_card(
    tile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(f'[engine]\nadapter = "{SOFTWARE}"\n', encoding="utf-8")
    pixels = make_scene(Size(45, 33))
    cv2.imwrite("small.png", pixels[..., :3])
    words = f"upscale small.png -o large.png --overwrite --model fsr --scale 2 --engine webgpu --tile {tile}"
    assert cli.main(words.split()) == 0
    with closing(FilterEngine("fsr", 2)) as cpu:
        assert measure_deviation(cv2.imread("large.png"), draw(cpu, pixels)[..., :3]) <= 1


# Chains


CHAINS = [
    ("turbo+turbo", 4),
    ("resize:0.5+turbo", 1),
    ("resize:2/3+turbo+resize:3/2", 2),
]


def compose(name: str, scale: int, folder: Path) -> ModelCard:
    card = resolve(name, cache=folder).get_card(scale)
    assert card is not None
    return card


@pytest.mark.needs("onnx", "onnxruntime")
@pytest.mark.parametrize(("name", "scale"), CHAINS)
def test_a_chain_is_drawn_as_its_graph_within_a_level(name: str, scale: int, tmp_path: Path) -> None:
    import onnxruntime

    card = compose(name, scale, tmp_path)
    session = onnxruntime.InferenceSession(card.onnx, providers=["CPUExecutionProvider"])
    for precision in ("fp32", "fp16"):
        with closing(WebGpuEngine(card, precision=precision, adapter=SOFTWARE)) as engine:
            for size in (Size(26, 18), Size(23, 15)):
                pixels = make_scene(size)
                padded = size.round_up(card.multiple)
                around = ((0, padded.height - size.height), (0, padded.width - size.width), (0, 0))
                rgb = np.pad(pixels, around, "edge")[..., 2::-1].transpose(2, 0, 1)[None]
                (made,) = session.run(None, {session.get_inputs()[0].name: rgb.astype(np.float32) / np.float32(255)})
                expected = make_black(padded.times(scale))
                expected[..., 2::-1] = np.rint(np.clip(made[0] * 255, 0, 255)).transpose(1, 2, 0)
                expected = np.ascontiguousarray(expected[: size.height * scale, : size.width * scale])
                assert measure_deviation(draw(engine, pixels), expected) <= 1, (precision, size)


@pytest.mark.needs("onnx")
@pytest.mark.parametrize(("name", "scale"), CHAINS)
def test_a_part_of_what_a_chain_draws_is_that_of_the_whole(name: str, scale: int, tmp_path: Path) -> None:
    check_regions(WebGpuEngine(compose(name, scale, tmp_path), precision="fp32", adapter=SOFTWARE), Size(47, 33))


@pytest.mark.needs("onnx")
def test_a_chain_runs_on_the_card_if_all_its_networks_can(tmp_path: Path) -> None:
    model = resolve("resize:0.5+turbo", cache=tmp_path)
    with closing(factory.make_engine(model, 1, FORCED)) as engine:
        assert str(engine.info) == "resize:0.5+turbo x1, webgpu fp32"
    again = resolve("resize:0.5+turbo", cache=tmp_path)
    assert again.get_card(1) == model.get_card(1), "its parts are known when its graph is found, too"


@pytest.mark.needs("onnx")
def test_a_lost_card_is_opened_anew_for_a_chain(tmp_path: Path) -> None:
    pixels = make_noise(Size(30, 20), RNG)
    with closing(WebGpuEngine(compose("turbo+turbo", 4, tmp_path), precision="fp32", adapter=SOFTWARE)) as engine:
        expected = draw(engine, pixels)
        gpu.open_gpu(SOFTWARE).device.destroy()
        assert np.array_equal(draw(engine, pixels), expected)


# Kernels


@pytest.mark.parametrize("kernel", [make_filter(name, 3) for name in FILTERS if name != "fsr"])
def test_what_a_filter_takes_from_its_pixels_is_one_in_all(kernel: object) -> None:
    assert kernel.weights.sum(1) == pytest.approx(1, abs=1e-3)  # type: ignore[attr-defined]


@pytest.mark.parametrize("factor", [Fraction(1, 2), Fraction(2, 3), Fraction(3, 2), Fraction(2), Fraction(7, 8)])
def test_a_resize_keeps_a_slope(factor: Fraction) -> None:
    """Each output pixel has about the value of the place that its centre is at, away from the edges.

    This kind of cubic interpolation is up to a twentieth of a pixel off.
    """
    count = 24 * factor.denominator
    slope = np.repeat(np.linspace(0, 1, count, dtype=np.float32)[None, :, None], 3, 2)
    made = reference.resample(make_resize(factor), np.repeat(slope, factor.denominator, 0))[0, :, 0]
    assert len(made) == count * factor
    centres = (np.arange(len(made)) + 0.5) / float(factor) - 0.5
    inside = slice(len(made) // 4, -len(made) // 4)
    assert made[inside] == pytest.approx(centres[inside] / (count - 1), abs=0.1 / (count - 1))


def test_a_frame_of_another_size_needs_no_new_shader() -> None:
    with closing(WebGpuFilterEngine("bicubic", 2, adapter=SOFTWARE)) as engine:
        draw(engine, make_noise(Size(20, 15), RNG))
        compiled = gpu.open_gpu(SOFTWARE).shader_count
        for _ in range(5):
            size = Size(*RNG.integers(1, 60, 2).tolist())
            assert engine.upscale(Frame(make_noise(size, RNG))) is not None
        assert gpu.open_gpu(SOFTWARE).shader_count == compiled
