"""The TensorRT engine, with stand-ins for TensorRT and for the card (`fake_tensorrt`); ours is the real code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from fake_tensorrt import FakeCard, FakeTensorRT, Severity

from live_sr.engines.tensorrt.base_engine import CompileEnvironment, TargetGpu
from live_sr.engines.tensorrt.engine import TensorRTEngine
from live_sr.engines.tensorrt.library import TensorRTLibrary
from live_sr.errors import EngineError, ModelError
from live_sr.models.card import ModelCard
from live_sr.nvidia.cuda_api import CudaWithGraphs
from live_sr.pipeline.engine_contracts import BuildMonitor
from live_sr.pipeline.frame import Frame, Pixels, Size

ROOM = Size(16, 8)

# Builds as the real child does, but what the stand-in reads; "fail" in place of the precision makes it fail.
BUILDER = """
import json, pathlib, sys
from live_sr.engines.cache import build_worker
from live_sr.engines.tensorrt.build import TensorRTBuildSpec
from live_sr.engines.tensorrt.base_engine import CompileEnvironment, TargetGpu
from live_sr.engines.tensorrt.engine import TensorRTEngine
from live_sr.engines.tensorrt.library import TensorRTLibrary
from live_sr.errors import EngineError

def make(spec, say):
    say("optimising")
    with open(sys.argv[1], "a") as built:
        built.write(f"{spec.model} {spec.width}x{spec.height} {spec.precision}\\n")
    if spec.model == "impossible":
        raise EngineError("TensorRT cannot run impossible x2", "use another model")
    about = {"version": 1, "size": [spec.width, spec.height], "scale": spec.scale}
    return json.dumps(about).encode()

sys.exit(build_worker.run_worker(TensorRTBuildSpec, make))
"""


@dataclass
class Bench:
    """What a test works with. `log`: the builds that were made, a line each."""

    engine: Callable[..., Any]
    card: FakeCard
    trt: FakeTensorRT
    library: TensorRTLibrary
    cache: Path
    built: Path

    @property
    def builds(self) -> list[str]:
        return self.built.read_text().splitlines() if self.built.exists() else []

    @property
    def files(self) -> list[Path]:
        return sorted(self.cache.glob("*.engine"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    card = FakeCard()
    trt = FakeTensorRT(card)
    library = TensorRTLibrary(trt, "TensorRT")
    weights = tmp_path / "models"
    weights.mkdir()
    built = tmp_path / "built.txt"

    def make(model: str = "fast", scale: int = 2, driver: str = "580.1", **wishes: Any) -> TensorRTEngine:
        (weights / f"{model}-x{scale}.safetensors").write_bytes(b"weights of " + model.encode())
        made = ModelCard(model, scale, weights / f"{model}-x{scale}.onnx")
        wishes.setdefault("cache", tmp_path / "engines")
        environment = CompileEnvironment(
            gpu=lambda: TargetGpu("NVIDIA GeForce RTX 4060", "8.9", driver),
            library=lambda: library,
            builder=(sys.executable, "-c", BUILDER, str(built)),
            cuda=lambda: cast(CudaWithGraphs, card),
            secret=lambda: tmp_path / "data" / "secret",
        )
        return TensorRTEngine(made, environment=environment, **wishes)

    return Bench(make, card, trt, library, tmp_path / "engines", built)


def picture(size: Size, seed: int = 1) -> Pixels:
    pixels = np.random.default_rng(seed).integers(0, 256, (size.height, size.width, 4), np.uint8)
    pixels[..., 3] = 255
    return pixels


def enlarged(pixels: Pixels, scale: int) -> Pixels:
    return pixels.repeat(scale, 0).repeat(scale, 1)


# At work


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("size", [ROOM, Size(13, 5), Size(1, 1)])
def test_a_frame_of_up_to_the_size_it_was_built_for_is_enlarged(bench: Bench, size: Size, scale: int) -> None:
    engine = bench.engine(scale=scale)
    engine.warm_up(ROOM)
    for seed in range(3):  # both slots, and the first again
        frame = Frame(picture(size, seed))
        done = engine.upscale(frame)
        assert (done.pixels == enlarged(frame.pixels, scale)).all()
        assert done.stamps is frame.stamps
    assert len(bench.builds) == 1


def test_a_larger_frame_gets_an_engine_of_its_own(bench: Bench) -> None:
    engine = bench.engine()
    engine.warm_up(ROOM)
    large = picture(Size(32, 8))
    assert (engine.upscale(Frame(large)).pixels == enlarged(large, 2)).all()
    assert bench.builds == ["fast 16x8 fp16", "fast 32x8 fp16"]


def test_each_slot_has_a_context_bound_once_and_run_before_it_is_captured(bench: Bench) -> None:
    engine = bench.engine()
    engine.warm_up(ROOM)
    assert [c.calls for c in bench.trt.contexts] == [["bind picture", "bind output0", *["run"] * 4]] * 2
    addresses = [address for c in bench.trt.contexts for address in c.addresses.values()]
    assert len(set(addresses)) == 4
    assert bench.card.asked == ["capture", "capture"]
    engine.upscale(Frame(picture(ROOM)))
    assert bench.card.asked[2:] == ["launch"]


def test_what_cannot_be_captured_runs_without_a_graph_and_the_log_says_so(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.card.capturable = False
    engine = bench.engine()
    engine.warm_up(ROOM)
    pixels = picture(ROOM)
    assert (engine.upscale(Frame(pixels)).pixels == enlarged(pixels, 2)).all()
    assert "without a CUDA graph" in caplog.text and "launch" not in bench.card.asked


def test_closing_gives_back_all_memory_and_graphs_and_it_can_be_warmed_up_again(bench: Bench) -> None:
    engine = bench.engine()
    engine.warm_up(ROOM)
    assert len(bench.card.held) == 4
    for _ in range(2):
        engine.close()
        assert not bench.card.held and not bench.card.graphs
    engine.warm_up(ROOM)
    assert len(bench.card.held) == 4 and len(bench.builds) == 1


def test_the_job_and_the_stages_are_told(bench: Bench) -> None:
    engine = bench.engine()
    assert str(engine.info) == "fast x2, tensorrt fp16" and engine.get_device_ms() == {}
    engine.warm_up(ROOM)
    for _ in range(6):
        engine.upscale(Frame(picture(ROOM)))
    assert {stage: len(times) > 0 for stage, times in engine.get_device_ms().items()} == dict.fromkeys(
        ("copy in", "compute", "copy out"), True
    )


def test_a_picture_can_stay_on_the_card(bench: Bench) -> None:
    engine = bench.engine()
    engine.warm_up(ROOM)
    drawn = engine.upscale_on_device(Frame(picture(Size(10, 6))))
    assert drawn.pixels.size == Size(20, 12)


def test_a_failure_at_work_is_a_sentence_with_what_tensorrt_said(bench: Bench) -> None:
    bench.card.capturable = False  # else the stand-in's graph would run what is broken
    engine = bench.engine()
    engine.warm_up(ROOM)
    for context in bench.trt.contexts:
        context.broken = True
    with pytest.raises(EngineError, match=r"TensorRT could not run the network: .*illegal instruction"):
        engine.upscale(Frame(picture(ROOM)))
    engine.close()


def test_without_memory_for_a_second_context_nothing_is_left_behind(bench: Bench) -> None:
    bench.trt.memory = 1
    with pytest.raises(EngineError, match="no memory left: TensorRT could not prepare a network") as told:
        bench.engine().warm_up(ROOM)
    assert "cheaper model" in told.value.remedy
    assert not bench.card.held and not bench.card.graphs


def test_without_memory_for_the_pictures_nothing_is_left_behind(bench: Bench) -> None:
    bench.card.room = 4 * 16 * 8  # the small picture fits
    with pytest.raises(EngineError, match="memory ran out"):
        bench.engine().warm_up(ROOM)
    assert not bench.card.held


# Finding and building


def test_an_engine_is_built_once_and_found_again(bench: Bench) -> None:
    said: list[str] = []
    bench.engine(watch=BuildMonitor(progress=said.append)).warm_up(ROOM)
    assert "building fast x2 for 16x8" in said[0]
    for _ in range(2):
        bench.engine().warm_up(ROOM)
    assert bench.builds == ["fast 16x8 fp16"] and len(bench.files) == 1


@pytest.mark.parametrize(
    "other",
    [{"precision": "fp32"}, {"driver": "590.2"}, {"scale": 4}, {"model": "quality"}],
    ids=lambda other: next(iter(other)),
)
def test_whatever_an_engine_depends_on_gets_one_of_its_own(bench: Bench, other: dict[str, Any]) -> None:
    bench.engine().warm_up(ROOM)
    bench.engine(**other).warm_up(ROOM)
    assert len(bench.builds) == len(bench.files) == 2


def test_another_version_of_tensorrt_builds_its_own(bench: Bench) -> None:
    bench.engine().warm_up(ROOM)
    bench.library.version = "11.0.1.7"
    bench.engine().warm_up(ROOM)
    assert len(bench.files) == 2


def test_other_weights_under_the_same_name_get_an_engine_of_their_own(bench: Bench) -> None:
    engine = bench.engine()
    engine.warm_up(ROOM)
    bench.built.parent.joinpath("models", "fast-x2.safetensors").write_bytes(b"trained further")
    engine.warm_up(ROOM)
    assert len(bench.builds) == 2


def test_a_damaged_file_is_built_again(bench: Bench) -> None:
    bench.engine().warm_up(ROOM)
    bench.files[0].write_bytes(b"not what was put there")
    bench.engine().warm_up(ROOM)
    assert len(bench.builds) == 2


def test_a_kept_engine_that_tensorrt_refuses_is_thrown_away_and_built_again_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.engine().warm_up(ROOM)
    bench.trt.version = 2  # and what the builder makes is still of version 1
    with pytest.raises(EngineError, match=r"TensorRT could not load the engine for fast x2 for 16x8: .*Version tag"):
        bench.engine().warm_up(ROOM)
    assert len(bench.builds) == 2
    assert "is not used" in caplog.text
    bench.trt.version = 1
    bench.engine().warm_up(ROOM)
    assert len(bench.builds) == 2  # the one built last is there and good


def test_an_engine_that_only_lacked_memory_is_kept(bench: Bench) -> None:
    bench.engine().warm_up(ROOM)
    bench.trt.memory = 0
    with pytest.raises(EngineError, match="no memory left: TensorRT could not load"):
        bench.engine().warm_up(ROOM)
    bench.trt.memory = 9
    bench.engine().warm_up(ROOM)
    assert len(bench.builds) == 1


def test_an_engine_with_other_ends_than_pictures_is_refused(bench: Bench) -> None:
    bench.trt.kind = bench.trt.DataType.HALF
    with pytest.raises(EngineError, match=r"its picture is .*HALF"):
        bench.engine().warm_up(ROOM)


def test_without_a_cache_it_works_and_keeps_nothing(bench: Bench) -> None:
    for _ in range(2):
        bench.engine(cache=None).warm_up(ROOM)
    assert len(bench.builds) == 2 and not bench.files


def test_a_failing_build_is_told_with_its_remedy(bench: Bench) -> None:
    with pytest.raises(EngineError, match="TensorRT cannot run impossible x2") as told:
        bench.engine("impossible").warm_up(ROOM)
    assert told.value.remedy == "use another model"


def test_a_build_that_nobody_wants_any_more_is_given_up(bench: Bench) -> None:
    with pytest.raises(EngineError, match="cancelled"):
        bench.engine(watch=BuildMonitor(cancelled=lambda: True)).warm_up(ROOM)
    assert not bench.files


def test_a_model_without_its_weights_is_told(bench: Bench) -> None:
    engine = bench.engine()
    bench.built.parent.joinpath("models", "fast-x2.safetensors").unlink()
    with pytest.raises(ModelError, match=r"the weights .*fast-x2.safetensors of fast x2 cannot be read"):
        engine.warm_up(ROOM)


@pytest.mark.parametrize("precision", ["bf16", "int8", "fast"])
def test_a_precision_that_it_lacks_is_told(bench: Bench, precision: str) -> None:
    with pytest.raises(EngineError, match=f"in fp16 or fp32, not in {precision}"):
        bench.engine(precision=precision)


def test_tensorrts_messages_go_to_pythons_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "live_sr.engines")
    logger = bench.library.logger
    for severity in Severity:
        logger.log(severity, f"a {severity.name} message\n")
    levels = {record.getMessage().split()[1]: record.levelno for record in caplog.records}
    assert levels == {
        "INTERNAL_ERROR": logging.WARNING,
        "ERROR": logging.WARNING,
        "WARNING": logging.WARNING,
        "INFO": logging.DEBUG,
        "VERBOSE": logging.DEBUG,
    }
    assert logger.take_errors() == ["a INTERNAL_ERROR message", "a ERROR message"] and logger.take_errors() == []


def test_a_tensorrt_that_does_not_start_is_told(bench: Bench) -> None:
    def no_runtime(logger: Any) -> None:
        logger.log(Severity.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    bench.trt.Runtime = no_runtime
    with pytest.raises(EngineError, match="TensorRT could not start: CUDA initialization failure"):
        bench.engine().warm_up(ROOM)
