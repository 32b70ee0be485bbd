"""The TensorRT engine, with stand-ins for TensorRT's module and for the card; ours is the real code.

What stands in for TensorRT keeps to what its bindings document: a call that fails returns None or False and tells the
logger why. Its engines are JSON, and its network repeats each pixel. Whether the calls are those of the real library is
held against its signatures in test_nvidia_contracts.py.
"""

from __future__ import annotations

import enum
import importlib
import itertools
import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from live_sr.contracts import Watch
from live_sr.engine import tensorrt_build
from live_sr.engine.tensorrt_build import Spec
from live_sr.errors import EngineError, MissingPart, ModelError
from live_sr.frame import Frame, Pixels, Size, fresh
from live_sr.models.card import ModelCard

ROOM = Size(16, 8)

# Builds as the real child does, but what the stand-in reads; "fail" in place of the precision makes it fail.
BUILDER = """
import json, pathlib, sys
from live_sr.compiled import child
from live_sr.engine.tensorrt_build import Spec
from live_sr.errors import EngineError

def make(spec, say):
    say("optimising")
    with open(sys.argv[1], "a") as built:
        built.write(f"{spec.model} {spec.width}x{spec.height} {spec.precision}\\n")
    if spec.model == "impossible":
        raise EngineError("TensorRT cannot run impossible x2", "use another model")
    about = {"version": 1, "size": [spec.width, spec.height], "scale": spec.scale}
    return json.dumps(about).encode()

sys.exit(child.run(Spec, make))
"""


@dataclass
class FakeCard:
    """A card that does everything at once, and remembers what it was asked for. Addresses are multiples of 1000."""

    lost: bool = False
    capturable: bool = True
    room: int = 1 << 30
    held: dict[int, Pixels] = field(default_factory=dict)
    graphs: dict[int, Callable[[], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    count: int = 0

    def number(self) -> int:
        self.count += 1
        return 1000 * self.count

    def use(self) -> None: ...

    def pinned(self, size: Size) -> Pixels:
        return fresh(size)

    def memory(self, count: int) -> int:
        if count > self.room:
            raise EngineError("memory ran out while reserving memory on the card", "close other programs")
        address = self.number()
        self.held[address] = np.zeros(count, np.uint8)
        return address

    def free(self, address: int) -> None:
        del self.held[address]

    def stream(self, *, urgent: bool = False) -> int:
        return self.number()

    def event(self, *, timing: bool = False) -> int:
        return self.number()

    def end_stream(self, stream: int) -> None: ...

    def end_event(self, event: int) -> None: ...

    def record(self, event: int, stream: int) -> None: ...

    def after(self, stream: int, event: int) -> None: ...

    def wait(self, event: int) -> None: ...

    def elapsed_ms(self, begun: int, ended: int) -> float:
        return 1.0

    def upload(self, address: int, pixels: Pixels, stream: int) -> None:
        self.held[address][:] = pixels.ravel()

    def download(self, into: Pixels, address: int, pitch: int, stream: int) -> None:
        rows = self.held[address].reshape(-1, pitch)
        into[:] = rows[: into.shape[0], : into.shape[1] * 4].reshape(into.shape)

    def captured(self, work: Callable[[], None], stream: int) -> int:
        self.asked.append("capture")
        if not self.capturable:
            raise EngineError("CUDA failed while ending a graph", "")
        work()
        graph = self.number()
        self.graphs[graph] = work
        return graph

    def launch(self, graph: int, stream: int) -> None:
        self.asked.append("launch")
        self.graphs[graph]()

    def end_graph(self, graph: int) -> None:
        del self.graphs[graph]


class Severity(enum.Enum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class Mode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


class FakeTensorRT(ModuleType):
    """The module, and what happened in it. `contexts`: all that were made. `memory`: contexts that still fit."""

    __version__ = "11.0.0.114"

    class ILogger:
        Severity = Severity

    TensorIOMode = Mode
    DataType = enum.Enum("DataType", "FLOAT HALF UINT8")

    def __init__(self, card: FakeCard) -> None:
        super().__init__("tensorrt")
        self.card = card
        self.version = 1
        self.kind = self.DataType.UINT8
        self.contexts: list[FakeContext] = []
        self.memory = 99
        self.Runtime = lambda logger: FakeRuntime(self, logger)


class FakeRuntime:
    def __init__(self, trt: FakeTensorRT, logger: Any) -> None:
        self.trt, self.logger = trt, logger

    def deserialize_cuda_engine(self, data: bytes) -> FakeEngine | None:
        try:
            about = json.loads(data)
        except ValueError:
            return self.refuse("Error Code 1: Serialization (Magic tag does not match)")
        if about["version"] != self.trt.version:
            return self.refuse(f"Error Code 1: Serialization (Version tag does not match. Current: {self.trt.version})")
        if not self.trt.memory:
            return self.refuse("Error Code 2: OutOfMemory (Requested size was 4096 bytes.)")
        return FakeEngine(self.trt, self.logger, Size(*about["size"]), about["scale"])

    def refuse(self, why: str) -> None:
        self.logger.log(Severity.ERROR, why)


class FakeEngine:
    num_io_tensors = 2

    def __init__(self, trt: FakeTensorRT, logger: Any, size: Size, scale: int) -> None:
        self.trt, self.logger, self.size, self.scale = trt, logger, size, scale

    def get_tensor_name(self, index: int) -> str:
        return ("picture", "output0")[index]

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.INPUT if name == "picture" else Mode.OUTPUT

    def get_tensor_dtype(self, name: str) -> object:
        return self.trt.kind

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        size = self.size if name == "picture" else self.size.times(self.scale)
        return 1, size.height, size.width, 4

    def create_execution_context(self) -> FakeContext | None:
        if not self.trt.memory:
            self.logger.log(Severity.ERROR, "Error Code 1: Cuda Runtime (out of memory)")
            return None
        self.trt.memory -= 1
        self.trt.contexts.append(FakeContext(self))
        return self.trt.contexts[-1]


class FakeContext:
    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}
        self.calls: list[str] = []
        self.broken = False

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.calls.append(f"bind {name}")
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        if self.broken:
            self.engine.logger.log(Severity.ERROR, "Error Code 1: Cuda Runtime (an illegal instruction)")
            return False
        self.calls.append("run")
        size, scale, held = self.engine.size, self.engine.scale, self.engine.trt.card.held
        small = held[self.addresses["picture"]].reshape(size.height, size.width, 4)
        held[self.addresses["output0"]][:] = small.repeat(scale, 0).repeat(scale, 1).ravel()
        return True


@dataclass
class Bench:
    """What a test works with. `log`: the builds that were made, a line each."""

    engine: Callable[..., Any]
    card: FakeCard
    trt: FakeTensorRT
    run: ModuleType
    cache: Path
    built: Path

    @property
    def builds(self) -> list[str]:
        return self.built.read_text().splitlines() if self.built.exists() else []

    @property
    def files(self) -> list[Path]:
        return sorted(self.cache.glob("*.engine"))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    card = FakeCard()
    trt = FakeTensorRT(card)
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    ours = ("live_sr.engine._tensorrt_run", "live_sr.engine.tensorrt")
    for name in ours:
        monkeypatch.delitem(sys.modules, name, raising=False)
    run, engine = (importlib.import_module(name) for name in ours)
    weights = tmp_path / "models"
    weights.mkdir()
    built = tmp_path / "built.txt"

    def make(model: str = "fast", scale: int = 2, driver: str = "580.1", **wishes: Any) -> Any:
        (weights / f"{model}-x{scale}.safetensors").write_bytes(b"weights of " + model.encode())
        made = ModelCard(model, scale, weights / f"{model}-x{scale}.onnx")
        wishes.setdefault("cache", tmp_path / "engines")
        return engine.TensorRTEngine(
            made,
            gpu=lambda: engine.Gpu("NVIDIA GeForce RTX 4060", "8.9", driver),
            cuda=lambda: card,
            builder=(sys.executable, "-c", BUILDER, str(built)),
            **wishes,
        )

    yield Bench(make, card, trt, run, tmp_path / "engines", built)
    for name in ours:
        sys.modules.pop(name, None)  # they know the stand-in


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
    assert str(engine.job) == "fast x2, tensorrt fp16" and engine.device_ms() == {}
    engine.warm_up(ROOM)
    for _ in range(6):
        engine.upscale(Frame(picture(ROOM)))
    assert {stage: len(times) > 0 for stage, times in engine.device_ms().items()} == dict.fromkeys(
        ("copy in", "compute", "copy out"), True
    )


def test_a_picture_can_stay_on_the_card(bench: Bench) -> None:
    engine = bench.engine()
    engine.warm_up(ROOM)
    drawn = engine.draw(Frame(picture(Size(10, 6))))
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
    bench.engine(watch=Watch(progress=said.append)).warm_up(ROOM)
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


def test_another_version_of_tensorrt_builds_its_own(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.engine().warm_up(ROOM)
    monkeypatch.setattr(sys.modules["live_sr.engine.tensorrt"], "VERSION", "11.0.1.7")
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
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.engine().warm_up(ROOM)
    bench.trt.version = 2  # and what the builder makes is still of version 1
    with pytest.raises(EngineError, match=r"TensorRT could not load the engine for fast x2 for 16x8: .*Version tag"):
        bench.engine().warm_up(ROOM)
    assert len(bench.builds) == 2
    assert "is not used" in capsys.readouterr().err
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
        bench.engine(watch=Watch(cancelled=lambda: True)).warm_up(ROOM)
    assert not bench.files


def test_a_model_without_its_weights_is_told(bench: Bench) -> None:
    engine = bench.engine()
    bench.built.parent.joinpath("models", "fast-x2.safetensors").unlink()
    with pytest.raises(ModelError, match=r"the weights .*fast-x2.safetensors of fast x2 cannot be read"):
        engine.warm_up(ROOM)


@pytest.mark.parametrize("precision", ["bf16", "int8", "fast"])
def test_a_precision_that_it_lacks_is_told(bench: Bench, precision: str) -> None:
    with pytest.raises(EngineError, match=f"in {precision}, but in fp16 and fp32"):
        bench.engine(precision=precision)


def test_tensorrts_messages_go_to_pythons_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "live_sr.engine")
    logger = bench.run.Logger()
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
    assert logger.told() == ["a INTERNAL_ERROR message", "a ERROR message"] and logger.told() == []


def test_a_tensorrt_that_does_not_start_is_told(bench: Bench) -> None:
    def no_runtime(logger: Any) -> None:
        logger.log(Severity.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    bench.trt.Runtime = no_runtime
    with pytest.raises(EngineError, match="TensorRT could not start: CUDA initialization failure"):
        bench.engine().warm_up(ROOM)


# The building process


def spec(**other: Any) -> Spec:
    return Spec("fast", 2, 2, "fast-x2.onnx", 16, 8, "fp16", 3, **other)


class UnsupportedOperatorException(RuntimeError):
    """As torch_tensorrt's own."""


def raised(*chain: Exception) -> Exception:
    """The first, caused by the second, and so on."""
    for error, cause in itertools.pairwise(chain):
        error.__cause__ = cause
    return chain[0]


REASONS = [
    (
        raised(
            UnsupportedOperatorException("Conversion of module GraphModule() not currently fully supported!"),
            UnsupportedOperatorException("Conversion of function torch._ops.aten.aten::grid_sampler not supported!"),
        ),
        [],
        "TensorRT cannot run fast x2: torch_tensorrt does not convert its operation grid_sampler",
    ),
    (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), [], "no memory left to build fast x2"),
    (
        raised(RuntimeError("While interpreting the module got an error: "), AssertionError()),
        ["Skipping", "Error Code 10: Internal Error (Could not find any implementation for node conv)"],
        "TensorRT cannot build fast x2: Error Code 10: Internal Error (Could not find any implementation",
    ),
    (
        raised(RuntimeError("While interpreting the module got an error: "), AssertionError()),
        ["Error Code 2: OutOfMemory (Requested size was 4096 bytes.)"],
        "no memory left to build fast x2",
    ),
    (ValueError(), [], "TensorRT cannot build fast x2: ValueError"),
    (KeyError("two\nlines"), [], "TensorRT cannot build fast x2: 'two"),
]


@pytest.mark.parametrize(("error", "told", "words"), REASONS)
def test_what_stopped_a_build_is_one_sentence(error: Exception, told: list[str], words: str) -> None:
    reason = tensorrt_build.reason(error, told, "fast x2")
    assert words in reason.message and "\n" not in reason.message and reason.remedy


class FakeBuilder:
    """torch_tensorrt, as far as `_built` sees it: rewrites the timing cache, or fails."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.wishes: dict[str, Any] = {}
        self.error: Exception | None = None
        self.dynamo = SimpleNamespace(
            convert_exported_program_to_serialized_trt_engine=self.convert,
            conversion=SimpleNamespace(dynamo_tensorrt_converter=lambda key, **wishes: lambda converter: converter),
        )

    def convert(self, program: object, **wishes: Any) -> bytes:
        times = Path(wishes["timing_cache_path"])
        self.wishes = wishes
        self.seen.append(times.read_bytes() if times.exists() else b"")
        if self.error is not None:
            raise self.error
        times.write_bytes(self.seen[-1] + b"+")
        return b"engine"


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> FakeBuilder:
    fake = FakeBuilder()
    monkeypatch.setitem(sys.modules, "torch_tensorrt", fake)
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRT(FakeCard()))
    return fake


def test_times_of_kernels_are_kept_from_build_to_build(builder: FakeBuilder, tmp_path: Path) -> None:
    order = spec(timing_cache=str(tmp_path / "new" / "timing.bin"))
    for _ in range(3):
        assert tensorrt_build._built("program", "example", order) == b"engine"  # type: ignore[arg-type]
    assert builder.seen == [b"", b"+", b"++"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["timing.bin"]
    assert builder.wishes["require_full_compilation"] and builder.wishes["min_block_size"] == 1


def test_times_that_a_build_failed_with_are_forgotten(builder: FakeBuilder, tmp_path: Path) -> None:
    times = tmp_path / "timing.bin"
    times.write_bytes(b"damaged")
    builder.error = RuntimeError("set_timing_cache(): incompatible function arguments")
    with pytest.raises(RuntimeError):
        tensorrt_build._built("program", "example", spec(timing_cache=str(times)))  # type: ignore[arg-type]
    assert not times.exists()


def test_a_build_does_not_need_a_place_for_times(builder: FakeBuilder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for timing_cache in ("", str(tmp_path / "file" / "timing.bin")):
        assert tensorrt_build._built("program", "x", spec(timing_cache=timing_cache)) == b"engine"  # type: ignore[arg-type]


def test_a_torch_tensorrt_without_its_libraries_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)
    with pytest.raises(MissingPart, match="torch_tensorrt, which builds TensorRT's engines, cannot be used"):
        tensorrt_build.make(spec(), lambda words: None)


def test_a_pytorch_without_a_card_is_told(builder: FakeBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MissingPart, match="this PyTorch sees no NVIDIA card"):
        tensorrt_build.make(spec(), lambda words: None)


def test_the_cast_to_uint8_and_no_other_gets_the_converter_that_torch_tensorrt_lacks(
    builder: FakeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    taught: list[tuple[object, Callable[..., bool], Callable[..., Any]]] = []

    def register(key: object, *, capability_validator: Callable[..., bool]) -> Callable[..., None]:
        return lambda converter: taught.append((key, capability_validator, converter))

    monkeypatch.setattr(builder.dynamo.conversion, "dynamo_tensorrt_converter", register)
    tensorrt_build.teach_uint8()
    [(key, fits, convert)] = taught
    assert key is torch.ops.aten._to_copy.default
    kinds = (torch.uint8, torch.float16, torch.int32)
    assert [fits(SimpleNamespace(kwargs={"dtype": kind}), None) for kind in kinds] == [True, False, False]
    assert not fits(SimpleNamespace(kwargs={}), None)
    casts: list[tuple[object, str]] = []
    layer = SimpleNamespace(name="", get_output=lambda index: f"output {index}")
    network = SimpleNamespace(add_cast=lambda what, kind: casts.append((what, kind.name)) or layer)
    assert convert(SimpleNamespace(net=network), None, ("levels",), {}, "last") == "output 0"
    assert casts == [("levels", "UINT8")] and layer.name == "last"
