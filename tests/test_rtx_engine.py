"""The rtx engine on a card and a TensorRT-RTX that are stood in for: main memory, and ONNX Runtime on the CPU.

The stand-ins behave as the provider's source says, version 0.5.0; compiling happens in a real process of its own, which
is this file run as a program.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as real
import pytest

from live_sr.contracts import Watch
from live_sr.cuda.driver import Device
from live_sr.engine import _rtx_card
from live_sr.engine.openvino import OpenVINOEngine
from live_sr.errors import EngineError, LiveSRError, MissingPart
from live_sr.frame import Frame, Pixels, Size, fresh
from live_sr.models import zoo

PROVIDER = "NvTensorRTRTXExecutionProvider"
OURS = ("live_sr.engine.rtx", "live_sr.engine.rtx_build", "live_sr.engine._rtx_provider")
CARD = zoo.find("turbo", 2)
RTX_4060 = Device("NVIDIA GeForce RTX 4060", (8, 9), (13, 0))


class Fail(Exception):
    """As ONNX Runtime's kinds of error: of no class but Exception."""


class World:
    """ONNX Runtime with the provider registered, as far as it is used. `wrong`: what raises which words."""

    def __init__(self, wrong: Mapping[str, str] | None = None) -> None:
        self.wrong = dict(wrong or {})
        self.log: list[str] = []  # what happened, in order
        self.sessions: list[SimpleNamespace] = []  # what each was told, found and did
        self.cards = 2  # in this machine
        self.library = "/somewhere/the library.so"
        world = self

        class RunOptions:
            def __init__(self) -> None:
                self.entries: dict[str, str] = {}

            def add_run_config_entry(self, key: str, value: str) -> None:
                self.entries[key] = value

        class Compiler:
            def __init__(self, options: SessionOptions, network: bytes, embed_compiled_data_into_model: bool) -> None:
                world.fail("compile")
                assert options.devices == ["0"] and embed_compiled_data_into_model
                self._network = network

            def compile_to_bytes(self) -> bytes:
                return self._network

        self.onnxruntime = ModuleType("onnxruntime")
        self.plugin = ModuleType("onnxruntime_ep_nv_tensorrt_rtx")
        vars(self.onnxruntime).update(
            SessionOptions=SessionOptions,
            RunOptions=RunOptions,
            ModelCompiler=Compiler,
            InferenceSession=lambda *args, **named: Session(world, *args, **named),
            OrtEpDevice=SimpleNamespace,
            register_execution_provider_library=self.register,
            get_ep_devices=self.devices,
        )
        vars(self.plugin).update(get_ep_name=lambda: PROVIDER, get_library_path=lambda: self.library)

    def fail(self, at: str) -> None:
        if at in self.wrong:
            raise Fail(self.wrong[at])

    def register(self, name: str, path: str) -> None:
        self.fail("register")
        if "register" in self.log:
            raise Fail(f"[ONNXRuntimeError] : 1 : FAIL : {name} is already registered.")
        self.log.append("register")

    def devices(self) -> list[SimpleNamespace]:
        cpu = SimpleNamespace(ep_name="CPUExecutionProvider", ep_options={})
        there = [SimpleNamespace(ep_name=PROVIDER, ep_options={"device_id": str(i)}) for i in range(self.cards)]
        return [cpu, *there] if self.log else [cpu]


class SessionOptions:
    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.log_severity_level = 2

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value

    def add_provider_for_devices(self, devices: Sequence[SimpleNamespace], settings: Mapping[str, str]) -> None:
        self.devices = [device.ep_options["device_id"] for device in devices]
        self.settings = dict(settings)


class Session:
    """Runs the network on the CPU at once, and leaves its kernels in the folder that it is told, when it ends."""

    def __init__(self, world: World, network: bytes, sess_options: SessionOptions, enable_fallback: int) -> None:
        world.fail("load")
        assert not enable_fallback and sess_options.entries == {"session.disable_cpu_ep_fallback": "1"}
        assert sess_options.devices == ["0"], "it takes one"
        self._world = world
        self._kernels = Path(sess_options.settings["nv_runtime_cache_path"])
        found = sorted(path.name for path in self._kernels.iterdir())
        self._told = SimpleNamespace(settings=sess_options.settings, found=found, runs=[])
        options = real.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        self._real = real.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        world.sessions.append(self._told)

    def run(self, names: None, feed: dict[str, Pixels]) -> list[Pixels]:
        self._world.fail("first run")
        done: list[Pixels] = self._real.run(names, feed)
        return done

    def io_binding(self) -> Binding:
        return Binding()

    def run_with_iobinding(self, binding: Binding, options: Any) -> None:
        self._world.fail("run")
        self._told.runs.append(options.entries)
        (picture,) = self._real.run(["picture"], {"frame": binding.arrays["frame"]})
        binding.arrays["picture"][...] = picture

    def __del__(self) -> None:
        if hasattr(self, "_real") and self._kernels.is_dir():  # else it would only write that to its log
            (self._kernels / "TRTKernel_1.cache").write_bytes(b"kernels")
            self._world.log.append("session ended")


class Binding:
    def __init__(self) -> None:
        self.arrays: dict[str, Pixels] = {}

    def bind_input(self, name: str, device: str, number: int, kind: type, shape: tuple[int, ...], address: int) -> None:
        assert (device, number, kind) == ("cuda", 0, np.uint8)
        kept = (ctypes.c_uint8 * int(np.prod(shape))).from_address(address)
        self.arrays[name] = np.frombuffer(kept, np.uint8).reshape(shape)

    bind_output = bind_input


class HostCuda:
    """A card that is main memory and does everything at once."""

    lost = False
    gl = None

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.blocks: dict[int, Pixels] = {}
        self.made: set[int] = set()
        self._next = 100

    def use(self) -> None: ...
    def record(self, event: int, stream: int) -> None: ...
    def after(self, stream: int, event: int) -> None: ...
    def wait(self, event: int) -> None: ...

    def elapsed_ms(self, begun: int, ended: int) -> float:
        return 1.0

    def pinned(self, size: Size) -> Pixels:
        return fresh(size)

    def memory(self, count: int) -> int:
        block = np.zeros(count, np.uint8)
        self.blocks[block.ctypes.data] = block
        return block.ctypes.data

    def free(self, address: int) -> None:
        self.log.append("memory freed")
        del self.blocks[address]

    def stream(self, *, urgent: bool = False) -> int:
        return self._new()

    def event(self, *, timing: bool = False) -> int:
        return self._new()

    def _new(self) -> int:
        self._next += 1
        self.made.add(self._next)
        return self._next

    def end_stream(self, number: int) -> None:
        self.made.remove(number)

    end_event = end_stream

    def upload(self, address: int, pixels: Pixels, stream: int) -> None:
        self.blocks[address][: pixels.size] = pixels.reshape(-1)

    def download(self, into: Pixels, address: int, pitch: int, stream: int) -> None:
        rows = self.blocks[address].reshape(-1, pitch)
        into[...] = rows[: into.shape[0], : into.shape[1] * 4].reshape(into.shape)


class Bench:
    """An engine's surroundings, in a folder."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder, self.world, self.cuda = folder, world, HostCuda(world.log)
        self.device: Device | None = RTX_4060
        self.command = [sys.executable, __file__]
        self.words: list[str] = []
        self.rtx = importlib.import_module("live_sr.engine.rtx")

    def engine(self, **options: Any) -> Any:
        rig = self.rtx.Rig(lambda: self.device, lambda: self.cuda, self.command, lambda: self.folder / "secret")
        watch = Watch(self.words.append)
        return self.rtx.RtxEngine(CARD, cache=self.folder / "engines", watch=watch, rig=rig, **options)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    world = World()
    stand_in(world, monkeypatch.setitem)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    forget()
    yield Bench(tmp_path, world)
    forget()


def forget() -> None:
    """Let who imports the engine next have it with the libraries that are there then."""
    for name in OURS:
        package, _, module = name.rpartition(".")
        sys.modules.pop(name, None)
        vars(sys.modules[package]).pop(module, None)


def stand_in(world: World, put: Any) -> None:
    put(sys.modules, "onnxruntime", world.onnxruntime)
    put(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", world.plugin)


def noise(size: Size) -> Pixels:
    pixels = fresh(size)
    pixels[..., :3] = np.random.default_rng(2).integers(0, 256, (size.height, size.width, 3))
    return pixels


def by_openvino(pixels: Pixels) -> Pixels:
    engine = OpenVINOEngine(CARD, precision="fp32", threads=1)
    done = engine.upscale(Frame(pixels))
    engine.close()
    assert done is not None
    return done.pixels


def test_it_compiles_once_and_says_what_the_cpu_engine_says(bench: Bench) -> None:
    engine = bench.engine(precision="fp32")
    engine.warm_up(Size(37, 23))
    for size in (Size(37, 23), Size(20, 23), Size(1, 1)):  # the window shrank: the same engine
        done = engine.upscale(Frame(noise(size)))
        # its edge is repeated, so all but the last pixels know the same neighbours
        differing = np.abs(done.pixels.astype(int) - by_openvino(noise(size)))
        assert done.pixels.shape == (size.height * 2, size.width * 2, 4)
        assert differing.max() <= 1 if size == Size(37, 23) else differing[: size.height, : size.width].max() <= 1
    assert len(bench.world.sessions) == 2, "a slot each"
    engine.close()

    bench.command = ["nothing of this name"]
    engine = bench.engine(precision="fp32")
    engine.warm_up(Size(37, 23))
    assert str(engine.job) == "turbo x2, rtx fp32"
    engine.close()
    with pytest.raises(EngineError, match="cannot start"):
        bench.engine(precision="fp16").warm_up(Size(37, 23))


def test_pictures_can_stay_on_the_card(bench: Bench) -> None:
    engine = bench.engine()
    drawn = engine.draw(Frame(noise(Size(16, 8)), number=7))
    assert drawn.number == 7 and drawn.pixels.size == Size(32, 16)
    assert np.abs(drawn.pixels.on_host().astype(int) - by_openvino(noise(Size(16, 8)))).max() <= 1
    drawn.pixels.release()
    engine.close()


def test_sessions_work_on_the_slots_stream_without_waiting_for_the_card(bench: Bench) -> None:
    engine = bench.engine()
    engine.warm_up(Size(8, 8))
    engine.upscale(Frame(noise(Size(8, 8))))
    streams = {session.settings["user_compute_stream"] for session in bench.world.sessions}
    assert len(streams) == 1 and int(streams.pop()) in bench.cuda.made
    for session in bench.world.sessions:
        settings = {key: value for key, value in session.settings.items() if value == "1"}
        assert set(settings) == {"has_user_compute_stream", "enable_cuda_graph", "nv_persistent_context_memory"}
        assert session.found == ["TRTKernel_1.cache"], "what was compiled on the card is there again"
        assert len(session.runs) >= 3, "its graph is captured in the second run, and replayed from the third on"
        assert all(run == {"disable_synchronize_execution_providers": "1"} for run in session.runs)
    assert len(bench.world.sessions[0].runs) == len(bench.world.sessions[1].runs) + 1
    engine.close()


def test_a_session_ends_before_its_memory_goes_and_nothing_is_left(bench: Bench) -> None:
    engine = bench.engine()
    engine.warm_up(Size(8, 8))
    folder = Path(bench.world.sessions[0].settings["nv_runtime_cache_path"])
    assert bench.cuda.blocks and folder.is_dir()
    engine.close()
    engine.close()
    assert bench.world.log == ["register", *["session ended", "memory freed", "memory freed"] * 2]
    assert (bench.cuda.blocks, bench.cuda.made) == ({}, set())
    assert not folder.exists()
    engine.warm_up(Size(4, 4))  # another one is compiled, and the library is not registered again
    engine.close()


def test_a_step_is_for_one_stream(bench: Bench) -> None:
    engine = bench.engine()
    engine.warm_up(Size(8, 8))
    with pytest.raises(EngineError, match="another stream"):
        engine._slots._slots[0].step.enqueue(1)
    engine.close()


NO_DRIVER = (  # said by the library itself on a machine without a card
    "[ONNXRuntimeError] : 1 : FAIL : Failed to load library /somewhere/libonnxruntime_providers_nv_tensorrt_rtx.so with"
    " error: libcuda.so.1: cannot open shared object file: No such file or directory"
)
TROUBLES = [
    ({"register": NO_DRIVER}, "TensorRT-RTX needs NVIDIA's driver: libcuda.so.1: cannot open", "580"),
    ({"register": "[NvTensorRTRTX EP] Host ORT is too old. Minimum supported API version is 24"}, "do not fit", "pip"),
    ({"register": "LoadLibrary failed with error 126"}, "cannot be loaded: LoadLibrary failed", "pip install"),
    ({"load": "[ONNXRuntimeError] : 11 : EP_FAIL : no\n room"}, "cannot load the network: no room", "another"),
    ({"run": "[ONNXRuntimeError] : 11 : EP_FAIL : enqueue failed."}, "failed on turbo x2: enqueue failed.", "another"),
]


@pytest.mark.parametrize(("wrong", "words", "remedy"), TROUBLES, ids=[words for _, words, _ in TROUBLES])
def test_failures_are_sentences_and_leave_nothing(bench: Bench, wrong: dict[str, str], words: str, remedy: str) -> None:
    bench.world.wrong = wrong
    engine = bench.engine()
    with pytest.raises(EngineError) as told:
        engine.warm_up(Size(8, 8))
    assert words in told.value.message and remedy in told.value.remedy
    assert "\n" not in told.value.message and "ONNXRuntimeError" not in told.value.message
    assert (bench.cuda.blocks, bench.cuda.made) == ({}, set())


COMPILER_TROUBLES = [
    ("compile=[ONNXRuntimeError] : 11 : EP_FAIL : no kernel", "cannot compile the network: no kernel"),
    ("first run=[ONNXRuntimeError] : 11 : EP_FAIL : no memory", "cannot run the network: no memory"),
]


@pytest.mark.parametrize(("wrong", "words"), COMPILER_TROUBLES)
def test_failures_of_the_compiling_process_are_told_too(bench: Bench, wrong: str, words: str) -> None:
    bench.command.append(wrong)
    with pytest.raises(EngineError, match=words):
        bench.engine().warm_up(Size(8, 8))


def test_the_cuda_runtime_in_its_package_is_loaded_first(bench: Bench) -> None:
    (bench.folder / "libcudart.so.13.4.36").write_bytes(b"no library")
    bench.world.library = str(bench.folder / "the library.so")
    with pytest.raises(EngineError, match=r"cannot be loaded: .*libcudart\.so\.13"):
        bench.engine().warm_up(Size(8, 8))
    assert bench.world.log == []


def test_no_card_that_it_serves_is_told(bench: Bench) -> None:
    bench.world.cards = 0
    with pytest.raises(EngineError, match="finds no card"):
        bench.engine().warm_up(Size(8, 8))


CARDS = [
    ("RTX 2080 Ti", (7, 5), (13, 0), "compute capability 7.5"),
    ("A100", (8, 0), (13, 0), "compute capability 8.0"),
    ("RTX 3060", (8, 6), (13, 0), ""),
    ("RTX 4090", (8, 9), (13, 2), ""),
    ("H100", (9, 0), (13, 0), "compute capability 9.0"),
    ("B200", (10, 0), (13, 0), "compute capability 10.0"),
    ("RTX 5090", (12, 0), (13, 0), ""),
    ("of tomorrow", (13, 1), (14, 0), ""),
    ("RTX 3060", (8, 6), (12, 8), "the NVIDIA driver serves CUDA 12.8"),
]


@pytest.mark.parametrize(("name", "capability", "cuda", "words"), CARDS)
def test_cards_and_drivers_that_it_does_not_serve_are_passed_over(
    bench: Bench, name: str, capability: tuple[int, int], cuda: tuple[int, int], words: str
) -> None:
    bench.device = Device(name, capability, cuda)
    why, _ = _rtx_card.fits(bench.device)
    assert (words in why) if words else why == ""
    if words:
        with pytest.raises(MissingPart, match=words):
            bench.engine().warm_up(Size(8, 8))


def test_other_precisions_are_refused(bench: Bench) -> None:
    with pytest.raises(LiveSRError, match="fp16 or fp32, not in bf16"):
        bench.engine(precision="bf16")


if __name__ == "__main__":  # the process that compiles; its arguments say what goes wrong
    stand_in(World(dict(argument.split("=", 1) for argument in sys.argv[1:])), dict.__setitem__)

    from live_sr.compiled import child
    from live_sr.engine.rtx_build import Spec, make

    sys.exit(child.run(Spec, make))
