"""The PyTorch engine for NVIDIA cards: which tactic it takes and why, what it makes, and what it says where it cannot.

No card is needed: the choice is the same on a processor with times made up for it, and the slots of the engine work on
main memory here. What only a card can do, a graph's capture and replay, is compared with PyTorch's own signatures.
"""

import ast
import ctypes
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_changes import blur, change, make_scene
from torch import Tensor

from live_sr.engines.regions.on_device import DeviceWindowsEngine
from live_sr.engines.tiling.layout import TileRequirements
from live_sr.engines.torch_cuda import autotune, compatibility
from live_sr.engines.torch_cuda import engine as module
from live_sr.engines.torch_cuda.autotune import (
    ChosenTactic,
    MakeRun,
    Run,
    Tactic,
    TacticTask,
    choose_tactic,
    describe_deviation,
    make_test_picture,
)
from live_sr.engines.torch_cuda.engine import CudaEngine
from live_sr.errors import EngineError, MissingPart, ModelError, reason
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.export.torch_io import wrap_torch_io
from live_sr.nvidia.cuda_api import DevicePlace
from live_sr.nvidia.driver import CudaDevice
from live_sr.nvidia.inference_step import InferenceStep
from live_sr.pipeline.engine_contracts import BuildMonitor
from live_sr.pipeline.frame import Frame, Pixels, Size, Stamps, make_black

pytestmark = pytest.mark.torch

CARD = zoo.find("turbo", 2)
SIZE = Size(24, 16)
TASKS = tuple(TacticTask(CARD, precision, SIZE, "cpu") for precision in ("fp16", "fp32"))


def right(task: TacticTask) -> MakeRun:
    net = task.make_module()
    return lambda: net


def spoilt(spoil: Callable[[Tensor], object]) -> Callable[[TacticTask], MakeRun]:
    """A tactic whose picture is right but for what `spoil` does to it, in fp16; right in fp32."""

    def build(task: TacticTask) -> MakeRun:
        net = task.make_module()

        def run(picture: Tensor) -> Tensor:
            made: Tensor = net(picture)
            if task.precision == "fp16":
                spoil(made)
            return made

        return lambda: run

    return build


def overflowing(task: TacticTask) -> MakeRun:
    """A network whose weights overflow in fp16, as on a card that sums in it."""
    net = task.make_module()
    if task.precision == "fp16":
        for layer in net.net.body:
            layer.get_parameter("weight").fill_(6e4)
    return lambda: net


def broken(task: TacticTask) -> MakeRun:
    raise RuntimeError("CUDNN_STATUS_NOT_SUPPORTED\nwith a long tail")


def out_of_memory(task: TacticTask) -> MakeRun:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


BLACK = spoilt(lambda made: made[..., :3].zero_())
A_LITTLE_OFF = spoilt(lambda made: made[..., :3].sub_(3))
ONE_CORNER = spoilt(lambda made: made[:, :2, :2, :3].bitwise_xor_(0x80))


class Times:
    """A stopwatch that reads a table: milliseconds in the order in which tactics pass."""

    def __init__(self, *times: float) -> None:
        self._times = list(times)

    def __call__(self, run: Run, example: Tensor) -> float:
        return self._times.pop(0)


def tried(
    rows: list[tuple[str, Callable[[TacticTask], MakeRun]]], times: Times | None, tasks: tuple[TacticTask, ...] = TASKS
) -> ChosenTactic:
    with torch.inference_mode():
        return choose_tactic(tuple(Tactic(name, build) for name, build in rows), tasks, times, BuildMonitor())


@pytest.mark.parametrize(
    ("rows", "times", "taken", "reasons"),
    [
        (
            [("a", right), ("b", right)],
            (3, 2, 9),
            "b fp16",
            {"a fp16": "3.00 ms", "a fp32": "9.00 ms", "b fp32": "faster"},
        ),
        ([("a", right), ("b", right)], (2, 40, 9), "a fp16", {"b fp16": "40.00 ms", "a fp32": "9.00 ms"}),
        ([("a", overflowing), ("b", right)], (2, 9), "b fp16", {"a fp16": "NaN"}),
        ([("a", BLACK), ("b", right)], (2, 9), "b fp16", {"a fp16": "on average"}),
        ([("a", A_LITTLE_OFF), ("b", right)], (2, 9), "b fp16", {"a fp16": "off by 3.0"}),
        ([("a", ONE_CORNER), ("b", right)], (2, 9), "b fp16", {"a fp16": " at worst"}),
        ([("a", broken), ("b", right)], (2,), "b fp16", {"a fp16": "CUDNN_STATUS_NOT_SUPPORTED"}),
        ([("a", out_of_memory), ("b", right)], (2,), "b fp16", {"a fp16": "out of memory"}),
        # GTX 16xx: nothing in fp16 is right
        ([("a", overflowing), ("b", BLACK)], (7, 8), "a fp32", {"a fp16": "NaN", "b fp16": "levels", "b fp32": "8.00"}),
        # a card without fast fp16: all of it is right and slow
        (
            [("a", right), ("b", right)],
            (30, 300, 9, 6),
            "b fp32",
            {"a fp16": "30.00", "b fp16": "300.00", "a fp32": "9.00"},
        ),
    ],
)
def test_the_fastest_that_is_right_is_taken_and_the_others_have_their_reasons(
    rows: list[tuple[str, Callable[[TacticTask], MakeRun]]],
    times: tuple[float, ...],
    taken: str,
    reasons: dict[str, str],
) -> None:
    choice = tried(rows, Times(*times))
    assert choice.name == taken
    told = dict(choice.passed_over)
    assert taken not in told
    assert {name: text for name, text in reasons.items() if text not in told.get(name, "")} == {}
    assert all("\n" not in why for why in told.values())
    for line in (f"tactic: {taken}", *(f"  not {name}: {why}" for name, why in told.items())):
        assert line in str(choice)


def test_without_a_stopwatch_the_first_right_one_is_taken_and_nothing_slow_is_built() -> None:
    rows = (
        Tactic("slow to build", broken, at_once=False),
        Tactic("wrong", BLACK),
        Tactic("a", right),
        Tactic("b", broken),
    )
    with torch.inference_mode():
        choice = choose_tactic(rows, TASKS, None, BuildMonitor())
    assert choice.name == "a fp16"
    assert choice.ms is None
    assert [name for name, _ in choice.passed_over] == ["slow to build fp16", "wrong fp16"]


def test_when_none_is_right_all_reasons_are_told() -> None:
    with pytest.raises(EngineError) as told:
        tried([("a", broken), ("b", out_of_memory)], Times())
    for words in ("a fp16", "b fp16", "a fp32", "b fp32", "CUDNN_STATUS", "out of memory"):
        assert words in told.value.message
    assert told.value.remedy


def test_a_precision_that_was_asked_for_is_not_exchanged() -> None:
    with pytest.raises(EngineError, match="NaN"):
        tried([("a", overflowing)], Times(), TASKS[:1])


def test_an_obstacle_keeps_a_tactic_from_being_built() -> None:
    rows = (Tactic("a", right), Tactic("c", broken, lambda task: "Triton is not installed"))
    with torch.inference_mode():
        choice = choose_tactic(rows, TASKS, Times(1, 2), BuildMonitor())
    assert ("c fp16", "Triton is not installed") in choice.passed_over


def test_a_card_that_computes_wrongly_even_in_fp32_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def black(self: object, picture: Tensor) -> Tensor:
        made = torch.zeros((1, SIZE.height * 2, SIZE.width * 2, 4), dtype=torch.uint8)
        made[..., 3] = 255
        return made

    monkeypatch.setattr("live_sr.models.export.torch_io.IOWrapper.forward", black)
    with pytest.raises(EngineError, match="computes wrongly"):
        tried([("a", right)], Times(1))


def test_the_watcher_hears_what_is_tried_and_can_end_it() -> None:
    heard: list[str] = []
    watch = BuildMonitor(heard.append, lambda: len(heard) == 2)
    rows = tuple(Tactic(name, right) for name in "abc")
    with torch.inference_mode(), pytest.raises(EngineError, match="cancelled"):
        choose_tactic(rows, TASKS, Times(1, 1), watch)
    assert heard == ["trying a fp16", "trying b fp16"]


@pytest.mark.parametrize("card", zoo.list_cards(), ids=lambda card: card.label)
def test_the_self_test_passes_what_halves_are_off_and_nothing_more(card: ModelCard) -> None:
    with torch.inference_mode():
        example = make_test_picture(Size(97, 61))
        expected = autotune.compute_reference(wrap_torch_io(card, "fp32"), example)
        assert describe_deviation(wrap_torch_io(card, "fp16")(example), expected) == ""
        assert describe_deviation(wrap_torch_io(card, "bf16")(example), expected) == ""
        assert describe_deviation(expected.flip(1), expected)
        assert describe_deviation(expected.roll(1, 2), expected)


def test_the_pattern_is_the_same_each_time_and_has_all_there_is_to_get_wrong() -> None:
    picture = make_test_picture(Size(320, 180))
    assert torch.equal(picture, make_test_picture(Size(320, 180)))
    assert picture.shape == (1, 180, 320, 4)
    assert (picture[..., 3] == 255).all()
    colours = picture[..., :3]
    assert (int(colours.min()), int(colours.max())) == (0, 255)
    steps = (colours[:, :, 1:].short() - colours[:, :, :-1].short()).abs().float()
    assert (steps > 100).float().mean() > 0.02  # edges
    assert (steps < 30).float().mean() > 0.5  # slopes
    assert make_test_picture(Size(1, 1)).shape == (1, 1, 1, 4)


def test_the_table_runs_on_the_processor_but_for_what_needs_a_card() -> None:
    task = TacticTask(CARD, "fp32", SIZE, "cpu")
    example = make_test_picture(SIZE)
    with torch.inference_mode():
        expected = wrap_torch_io(CARD, "fp32")(example)
        for tactic in autotune.TACTICS:
            if tactic.name in ("nchw", "channels-last"):
                assert describe_deviation(tactic.build(task)()(example), expected) == ""
            else:
                assert not tactic.at_once


# The engine, on main memory


class HostCuda:
    """What the slots ask of the card, done at once in main memory."""

    lost = False

    def __init__(self) -> None:
        self.open = 0

    def make_current(self) -> None: ...

    def allocate_pinned(self, size: Size) -> Pixels:
        return make_black(size)

    def create_stream(self, *, urgent: bool = False) -> int:
        self.open += 1
        return self.open

    def destroy_stream(self, stream: int) -> None:
        self.open -= 1

    def create_event(self, *, timing: bool = False) -> int:
        self.open += 1
        return self.open

    def destroy_event(self, event: int) -> None:
        self.open -= 1

    def record_event(self, event: int, stream: int) -> None: ...

    def make_stream_wait(self, stream: int, event: int) -> None: ...

    def wait_for_event(self, event: int) -> None: ...

    def elapsed_ms(self, begun: int, ended: int) -> float:
        return 1.0

    def upload(self, address: int, pixels: Pixels, stream: int) -> None:
        ctypes.memmove(address, pixels.ctypes.data, pixels.nbytes)

    def download(self, into: Pixels, source: DevicePlace, stream: int) -> None:
        self.copy(DevicePlace(into.ctypes.data, into.shape[1] * 4), source, Size(into.shape[1], into.shape[0]), stream)

    def copy(self, target: DevicePlace, source: DevicePlace, size: Size, stream: int) -> None:
        for row in range(size.height):
            ctypes.memmove(target.begin + row * target.pitch, source.begin + row * source.pitch, size.width * 4)


class HostStep:
    def __init__(self, run: Run, size: Size, steps: list[InferenceStep]) -> None:
        self._run = run
        self._picture = torch.zeros((1, size.height, size.width, 4), dtype=torch.uint8)
        with torch.inference_mode():
            self._enlarged = run(self._picture)
        steps.append(self)
        self._steps = steps

    @property
    def input(self) -> int:
        return self._picture.data_ptr()

    @property
    def output(self) -> int:
        return self._enlarged.data_ptr()

    def enqueue(self, stream: int) -> None:
        with torch.inference_mode():
            self._enlarged.copy_(self._run(self._picture))

    def close(self) -> None:
        self._steps.remove(self)


class HostGpu:
    device = "cpu"

    def __init__(self, why: str = "", fails: Exception | None = None) -> None:
        self._why = why
        self.fails = fails
        self.cuda = HostCuda()
        self.steps: list[InferenceStep] = []
        self.timed = 0

    def check(self) -> tuple[str, str]:
        return (self._why, "a remedy") if self._why else ("", "")

    def open_cuda(self) -> HostCuda:
        return self.cuda

    def create_step(self, run: Run, size: Size, stream: int) -> InferenceStep:
        if self.fails is not None and self.steps:
            raise self.fails
        return HostStep(run, size, self.steps)

    def measure_ms(self, run: Run, example: Tensor) -> float:
        self.timed += 1
        return float(self.timed)

    def free_unused(self) -> None: ...


def engine(gpu: HostGpu, **wishes: object) -> CudaEngine:
    return CudaEngine(CARD, gpu=gpu, tactics=autotune.TACTICS[:2], **wishes)  # type: ignore[arg-type]


def noise(size: Size) -> Pixels:
    pixels = make_black(size)
    pixels[..., :3] = np.random.default_rng(5).integers(0, 256, (size.height, size.width, 3))
    return pixels


def enlarged(pixels: Pixels, precision: str) -> Pixels:
    with torch.inference_mode():
        made: Tensor = wrap_torch_io(CARD, precision)(torch.from_numpy(pixels)[None])
    return made[0].numpy()


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_the_engine_makes_the_models_picture_of_frames_up_to_its_size(precision: str) -> None:
    gpu = HostGpu()
    upscaler = engine(gpu, precision=precision)
    upscaler.warm_up(SIZE)
    assert len(gpu.steps) == 2
    for size in (SIZE, Size(20, 10), SIZE):
        pixels = noise(size)
        frame = Frame(pixels, Stamps(seen=7), 3)
        done = upscaler.upscale(frame)
        assert done is not None
        assert (done.stamps, done.number) == (frame.stamps, 3)
        expected = enlarged(np.pad(pixels, ((0, 16 - size.height), (0, 24 - size.width), (0, 0)), "edge"), precision)
        apart = np.abs(done.pixels.astype(int) - expected[: size.height * 2, : size.width * 2])
        assert apart.max() <= 1
    assert str(upscaler.info) == f"turbo x2, cuda nchw {precision}"
    assert "compute" in upscaler.get_device_ms()
    upscaler.close()
    assert gpu.steps == []
    assert gpu.cuda.open == 0


def test_a_larger_frame_makes_it_warm_up_anew() -> None:
    gpu = HostGpu()
    upscaler = engine(gpu)
    for size in (SIZE, SIZE.times(2)):
        done = upscaler.upscale(Frame(noise(size)))
        assert done is not None
        assert done.pixels.shape == (size.height * 2, size.width * 2, 4)
    assert len(gpu.steps) == 2
    upscaler.close()


def test_a_drawn_picture_stays_where_it_is_until_it_is_read() -> None:
    gpu = HostGpu()
    upscaler = engine(gpu, precision="fp32")
    upscaler.warm_up(SIZE)
    pixels = noise(SIZE)
    drawn = upscaler.upscale_on_device(Frame(pixels))
    assert drawn is not None
    assert np.array_equal(drawn.pixels.to_host(), enlarged(pixels, "fp32"))
    drawn.pixels.release()
    upscaler.close()


class BlurNet(torch.nn.Module):
    """Sums whole numbers, which are the same in every order, so that a window draws what the whole picture has."""

    def forward(self, picture: Tensor) -> Tensor:
        _, height, width, _ = picture.shape
        around = torch.nn.functional.pad(picture.movedim(3, 1).float(), (1, 1, 1, 1), mode="replicate").int()
        total = sum(around[:, :, y : y + height, x : x + width] for y in range(3) for x in range(3))
        assert isinstance(total, Tensor)
        mean = (total // 9).to(torch.uint8).movedim(1, 3)
        return mean.repeat_interleave(2, 1).repeat_interleave(2, 2).contiguous()


@pytest.mark.parametrize("on_device", [True, False])
def test_only_what_has_changed_is_drawn_with_the_tactic_of_the_whole_picture(
    on_device: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("live_sr.engines.regions.engine.ADVANTAGE", 1e9)
    monkeypatch.setattr("live_sr.engines.regions.windows.TRIED_VALUES", 60_000)
    monkeypatch.setattr(autotune, "describe_deviation", lambda made, expected: "")
    made_for: list[Size] = []

    def build(task: TacticTask) -> MakeRun:
        made_for.append(task.size)
        return BlurNet

    gpu, size = HostGpu(), Size(160, 128)
    inner = CudaEngine(CARD, precision="fp16", quick=True, gpu=gpu, tactics=(Tactic("blur", build),))
    engine = DeviceWindowsEngine(inner, inner, TileRequirements(1), read_ns=time.perf_counter_ns, least_ms=0)
    engine.warm_up(size)
    assert made_for[0] == size
    assert len(made_for) > 2
    assert len(gpu.steps) == 1 + len(made_for), "two for whole pictures, and one for each window"
    chance = np.random.default_rng(1)
    scene, shares = make_scene(chance, size), []
    for _ in range(60):
        change(chance, scene)
        frame = Frame(scene.copy())
        done = engine.upscale_on_device(frame) if on_device else engine.upscale(frame)
        assert done is not None
        shown = done.pixels if isinstance(done.pixels, np.ndarray) else done.pixels.to_host()
        assert np.array_equal(shown, blur(scene).repeat(2, 0).repeat(2, 1))
        del done
        shares.append(frame.stamps.drawn)
    assert sum(share < 1 for share in shares) > 30
    engine.close()
    assert gpu.steps == []
    assert gpu.cuda.open == 0


def test_a_tactic_that_takes_long_to_build_has_no_windows() -> None:
    for any_size in (True, False):
        tactic = Tactic("a", right, any_size=any_size)
        upscaler = CudaEngine(CARD, precision="fp32", quick=True, gpu=HostGpu(), tactics=(tactic,))
        upscaler.warm_up(SIZE)
        assert upscaler.fit_window(Size(8, 8)) == (Size(8, 8) if any_size else None)
        upscaler.close()


def test_a_window_without_memory_is_one_sentence() -> None:
    gpu = HostGpu()
    upscaler = engine(gpu)
    upscaler.warm_up(SIZE)
    gpu.fails = torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(EngineError, match="no memory left for turbo x2 at 8x8"):
        upscaler.add_window(Size(8, 8))
    assert upscaler.upscale(Frame(noise(SIZE))) is not None
    upscaler.close()
    assert gpu.steps == []


def test_quick_takes_what_is_there_at_once() -> None:
    gpu = HostGpu()
    upscaler = engine(gpu, quick=True)
    upscaler.warm_up(SIZE)
    assert upscaler.taken is not None
    assert upscaler.taken.name == "nchw fp16"
    assert gpu.timed == 0
    upscaler.close()


def test_each_slot_gets_a_run_of_its_own() -> None:
    made: list[Run] = []

    def build(task: TacticTask) -> MakeRun:
        def make_run() -> Run:
            net = task.make_module()
            made.append(net)
            return net

        return make_run

    gpu = HostGpu()
    upscaler = CudaEngine(CARD, precision="fp16", quick=True, gpu=gpu, tactics=(Tactic("own memory", build),))
    upscaler.warm_up(SIZE)
    assert len({id(run) for run in made}) == 3  # the trial's, and two
    upscaler.close()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "no memory left for turbo x2 at 24x16"),
        (RuntimeError("CUDA error: operation not permitted when stream is capturing\n..."), "stream is capturing"),
    ],
)
def test_a_failed_warm_up_is_one_sentence_and_leaves_nothing(error: Exception, words: str) -> None:
    gpu = HostGpu(fails=error)
    with pytest.raises(EngineError) as told:
        engine(gpu).warm_up(SIZE)
    assert words in told.value.message
    assert "\n" not in told.value.message
    assert told.value.remedy
    assert gpu.steps == []
    assert gpu.cuda.open == 0


def test_a_cancelled_warm_up_leaves_nothing_and_can_be_started_again() -> None:
    gpu = HostGpu()
    wanted = [False]
    upscaler = engine(gpu, watch=BuildMonitor(cancelled=lambda: not wanted[0]))
    with pytest.raises(EngineError):
        upscaler.warm_up(SIZE)
    assert gpu.steps == []
    wanted[0] = True
    upscaler.warm_up(SIZE)
    assert len(gpu.steps) == 2
    upscaler.close()


def test_a_model_without_its_weights_is_told(tmp_path: Path) -> None:
    upscaler = CudaEngine(ModelCard("mine", 2, tmp_path / "mine-x2.onnx"), gpu=HostGpu())
    with pytest.raises(ModelError, match="safetensors"):
        upscaler.warm_up(SIZE)


def test_an_unknown_precision_is_told() -> None:
    with pytest.raises(EngineError, match="int8"):
        engine(HostGpu(), precision="int8").warm_up(SIZE)


def test_what_stands_in_its_way_is_told_before_anything_is_loaded() -> None:
    with pytest.raises(MissingPart, match="no NVIDIA driver") as told:
        engine(HostGpu("there is no NVIDIA driver here")).warm_up(SIZE)
    assert told.value.remedy == "a remedy"


# What stands in its way


def card(capability: tuple[int, int], cuda: tuple[int, int]) -> CudaDevice:
    return CudaDevice("GeForce", capability, cuda)


@pytest.mark.parametrize(
    ("device", "build", "words", "remedy"),
    [
        (card((8, 6), (13, 0)), (13, 0), "", ""),
        (card((7, 5), (13, 1)), (13, 0), "", ""),
        (card((12, 0), (13, 0)), (12, 8), "", ""),
        (card((8, 6), (12, 2)), (12, 6), "", ""),  # an older driver of the same major version will do
        (card((6, 1), (13, 0)), (12, 6), "", ""),
        (card((8, 6), (13, 0)), None, "without CUDA", "pip install"),
        (card((6, 1), (13, 0)), (13, 0), "capability 6.1", "CUDA 12.6"),
        (card((8, 6), (12, 8)), (13, 0), "supports CUDA 12.8", "driver"),
    ],
)
def test_a_build_of_pytorch_and_a_card_that_do_not_fit_are_told(
    device: CudaDevice, build: tuple[int, int] | None, words: str, remedy: str
) -> None:
    why, what_to_do = compatibility.check_device(device, build)
    assert bool(why) == bool(words)
    assert words in why
    assert remedy in what_to_do


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", (13, 0)),
        ("cuda = '12.6'\n", (12, 6)),
        ("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n", None),
        ("", None),
    ],
)
def test_the_build_is_read_from_pytorchs_version_file(text: str, version: tuple[int, int] | None) -> None:
    assert compatibility.parse_cuda_version(text) == version


def test_what_is_read_of_the_pytorch_here_is_what_it_says_itself() -> None:
    built = compatibility.parse_cuda_version(compatibility.read_version_file())
    assert (None if built is None else ".".join(map(str, built))) == torch.version.cuda


def test_where_there_is_no_card_the_engine_says_so() -> None:
    if torch.cuda.is_available():
        return
    assert compatibility.unavailable_reason()
    with pytest.raises(MissingPart) as told:
        CudaEngine(CARD).warm_up(SIZE)
    assert reason(told.value).startswith("the cuda engine cannot be used: ")
    assert told.value.remedy


# What only a card can do


@dataclass
class Call:
    name: str
    positional: int
    keywords: list[str]


def calls() -> list[Call]:
    """Of torch.cuda, in the engine's source."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("torch.cuda."):
            keywords = [keyword.arg for keyword in node.keywords if keyword.arg]
            found.append(Call(ast.unparse(node.func).removeprefix("torch.cuda."), len(node.args), keywords))
    return found


def test_pytorch_takes_the_calls_as_the_engine_makes_them() -> None:
    made = calls()
    assert {"CUDAGraph", "graph", "ExternalStream", "stream", "Stream", "Event", "synchronize"} <= {
        c.name for c in made
    }
    for call in made:
        target = getattr(torch.cuda, call.name)
        if inspect.isclass(target) and target.__init__ is object.__init__:
            target = target.__new__
            call.positional += 1
        elif inspect.isclass(target):
            target = target.__init__ if "__init__" in vars(target) else target.__new__
            call.positional += 1
        inspect.signature(target).bind(*range(call.positional), **dict.fromkeys(call.keywords))


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        (torch.cuda.CUDAGraph, ("replay", "reset", "capture_begin")),
        (torch.cuda.Event, ("record", "synchronize", "elapsed_time")),
        (torch.cuda.ExternalStream, ("synchronize", "record_event")),
    ],
)
def test_pytorch_has_the_members_that_the_engine_uses(kind: type, members: tuple[str, ...]) -> None:
    assert [name for name in members if not hasattr(kind, name)] == []
