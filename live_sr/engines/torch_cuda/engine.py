"""Runs the shipped networks on an NVIDIA GPU through PyTorch alone: ready at once, while faster engines are built."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from live_sr.engines.torch_cuda import compatibility
from live_sr.engines.torch_cuda.autotune import TACTICS, ChosenTactic, Run, Tactic, TacticTask, choose_tactic
from live_sr.errors import EngineError, MissingPart
from live_sr.models.card import ModelCard
from live_sr.nvidia.inference_step import InferenceStep
from live_sr.nvidia.windowed_engine import WindowedEngine
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.engine_contracts import BuildMonitor
from live_sr.pipeline.frame import Size

if TYPE_CHECKING:  # it imports the package cuda-bindings
    from live_sr.nvidia.cuda_runtime import Cuda

WARM_UPS = 3  # runs before a capture: what happens only once, such as cuDNN's choice, must not be in the graph
ROUNDS = 20  # timed replays; the GPU raises its clock during the first half, which does not count

_capturing = threading.Lock()  # PyTorch captures one graph at a time in a process


class TorchDevice(Protocol):
    """What the engine needs from a device; a test replaces it by the processor."""

    device: str
    """PyTorch's name for it."""

    def check(self) -> tuple[str, str]:
        """Why it cannot be used, and a remedy; both empty if it can."""
        ...

    def open_cuda(self) -> Cuda:
        """What the double buffer works with."""
        ...

    def create_step(self, run: Run, size: Size, stream: int) -> InferenceStep: ...

    def measure_ms(self, run: Run, example: Tensor) -> float: ...

    def free_unused(self) -> None:
        """Frees memory that PyTorch keeps but does not use."""
        ...


class CudaEngine(WindowedEngine):
    """A shipped network in PyTorch, in a CUDA graph per slot, with the fastest tactic that is correct on this GPU.

    Fulfils `contracts.DeviceWindowEngine`, with a graph for each window.

    precision: auto (fp16 if that is correct and faster on this GPU, else fp32), fp16, bf16 or fp32. threads and cache
    are not used. queue: as in `DoubleBuffer`. quick: use the first correct tactic, without timing the others. watch is
    asked between two tactics; if it cancels, `warm_up` raises BuildCancelled.
    """

    def __init__(
        self,
        card: ModelCard,
        *,
        precision: str = "auto",
        threads: int = 0,
        cache: Path | None = None,
        queue: int = 0,
        watch: BuildMonitor = BuildMonitor(),  # noqa: B008  # it is frozen
        quick: bool = False,
        gpu: TorchDevice | None = None,
        tactics: tuple[Tactic, ...] = TACTICS,
    ) -> None:
        self._precisions = ("fp16", "fp32") if precision == "auto" else (precision,)
        super().__init__(EngineInfo(card.name, card.scale, "cuda", self._precisions[0]), queue)
        self._card = card
        self._watch = watch
        self._quick = quick
        self._gpu: TorchDevice = CudaTorchDevice() if gpu is None else gpu
        self._tactics = tactics
        self.taken: ChosenTactic | None = None
        """The tactic in use, and why not the others; None before the warm-up."""

    def warm_up(self, size: Size) -> None:
        """Chooses a tactic and captures it for frames of up to `size`.

        Raises EngineError, ModelError or MissingPart.
        """
        self.close()
        why, remedy = self._gpu.check()
        if why:
            raise MissingPart(f"the cuda engine cannot be used: {why}", remedy or "use another engine")
        with self._explain_failure(size):
            self._warm_up(size)

    def fit_window(self, size: Size) -> Size | None:
        return None if self.taken is None or self.taken.make_run_for is None else size

    def close(self) -> None:
        was_ready, self.taken = self.taken is not None, None
        self.info = replace(self.info, precision=self._precisions[0])
        super().close()
        if was_ready:
            self._gpu.free_unused()

    def _warm_up(self, size: Size) -> None:
        gpu = self._gpu
        tasks = tuple(TacticTask(self._card, precision, size, gpu.device) for precision in self._precisions)
        with _use_inference_mode():
            taken = choose_tactic(self._tactics, tasks, None if self._quick else gpu.measure_ms, self._watch)

        def make_step(stream: int) -> InferenceStep:
            with _use_inference_mode():
                return gpu.create_step(taken.make_run(), size, stream)

        self._allocate(gpu.open_cuda(), make_step, size)
        self.taken = taken
        self.info = replace(self.info, precision=taken.name)

    def _make_window(self, size: Size, stream: int) -> InferenceStep:
        assert self.taken is not None and self.taken.make_run_for is not None
        with self._explain_failure(size), _use_inference_mode():
            return self._gpu.create_step(self.taken.make_run_for(size)(), size, stream)

    @contextmanager
    def _explain_failure(self, size: Size) -> Iterator[None]:
        """Around all that runs the network for the first time at that size. Raises EngineError."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise EngineError(f"the GPU has no memory left for {self._card.label} at {size}", LESS_MEMORY) from error
        except RuntimeError as error:  # CUDA and cuDNN raise it for every kind of failure
            raise EngineError(
                f"PyTorch cannot run {self._card.label} at {size}: {_first_line(error)}", REMEDY
            ) from error
        finally:
            self._gpu.free_unused()  # for the game: the memory that the trials used


REMEDY = "use another engine, or update NVIDIA's driver"
LESS_MEMORY = "use a smaller model or window, or another engine"


class CudaTorchDevice:
    """Fulfils `TorchDevice` with the first NVIDIA GPU."""

    device = "cuda"

    def check(self) -> tuple[str, str]:
        return compatibility.check()

    def open_cuda(self) -> Cuda:
        from live_sr.nvidia.cuda_runtime import Cuda

        return Cuda()

    def create_step(self, run: Run, size: Size, stream: int) -> InferenceStep:
        return GraphStep(run, size, stream)

    def measure_ms(self, run: Run, example: Tensor) -> float:
        """Times replays of a graph, as at work: launched one by one, small networks would wait for the processor."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        step = GraphStep(run, Size(example.shape[2], example.shape[1]), stream.cuda_stream)
        step.picture.copy_(example)  # arithmetic on zeros draws less power, and would run faster
        torch.cuda.synchronize()
        times = []
        for _ in range(ROUNDS):
            begun, done = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            begun.record(stream)
            step.enqueue(stream.cuda_stream)
            done.record(stream)
            done.synchronize()
            times.append(float(begun.elapsed_time(done)))
        step.close()
        return statistics.median(times[ROUNDS // 2 :])

    def free_unused(self) -> None:
        torch.cuda.empty_cache()


class GraphStep:
    """The network of one slot as a CUDA graph, captured on that stream, with a memory pool of its own."""

    def __init__(self, run: Run, size: Size, stream: int) -> None:
        self._stream = torch.cuda.ExternalStream(stream)  # type: ignore[no-untyped-call]
        self._run = run  # the graph uses its weights
        self.picture = torch.zeros((1, size.height, size.width, 4), dtype=torch.uint8, device="cuda")
        self._graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()  # the picture was cleared on another stream
        # if a capture fails, only the outer context restores the thread's stream
        with _capturing, torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                run(self.picture)
            # thread_local: other threads may make CUDA calls that a capture forbids
            with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                self._enlarged = run(self.picture)

    @property
    def input(self) -> int:
        return self.picture.data_ptr()

    @property
    def output(self) -> int:
        return self._enlarged.data_ptr()

    def enqueue(self, stream: int) -> None:
        if stream != self._stream.cuda_stream:
            self._stream = torch.cuda.ExternalStream(stream)  # type: ignore[no-untyped-call]
        try:
            with torch.cuda.stream(self._stream):
                self._graph.replay()
        except RuntimeError as error:
            raise EngineError(f"the GPU failed at a frame: {_first_line(error)}", REMEDY) from error

    def close(self) -> None:
        """Call it when the GPU has finished with it."""
        self._graph.reset()
        del self.picture, self._enlarged, self._run


@contextmanager
def _use_inference_mode() -> Iterator[None]:
    """No gradients, and cuDNN tries its algorithms in the first run of a shape. Used for trial and capture alike."""
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=True):
        yield


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
