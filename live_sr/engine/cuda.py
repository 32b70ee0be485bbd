"""Networks trained here on an NVIDIA card, through PyTorch alone: there at once, while better engines are built."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from live_sr.contracts import Job, Watch
from live_sr.cuda.slots import Picture, Slots
from live_sr.cuda.step import Step
from live_sr.engine import _torch_build
from live_sr.engine._tactics import TACTICS, Run, Tactic, Taken, Task, choose
from live_sr.errors import EngineError, MissingPart
from live_sr.frame import Frame, Pixels, Size, size_of
from live_sr.models.card import ModelCard

if TYPE_CHECKING:  # it imports the package cuda-bindings
    from live_sr.cuda.bindings import Cuda

WARM_UPS = 3  # runs before a capture: what is made once, such as cuDNN's choice of algorithm, must not be in the graph
ROUNDS = 20  # timed replays; the card raises its clock during the first half, which does not count

obstacle = _torch_build.obstacle

_capturing = threading.Lock()  # PyTorch captures one graph at a time in a process


class Gpu(Protocol):
    """What the engine asks of the card."""

    device: str
    """As PyTorch calls it."""

    def trouble(self) -> tuple[str, str]:
        """Why it cannot be used, and a remedy; empty when it can."""
        ...

    def memory(self) -> Cuda:
        """What the slots work with."""
        ...

    def step(self, run: Run, size: Size, stream: int) -> Step: ...

    def milliseconds(self, run: Run, example: Tensor) -> float: ...

    def forget(self) -> None:
        """Give back what is not in use any more."""
        ...


class CudaEngine:
    """A network of ours in PyTorch, one CUDA graph for each slot, in whichever way was the fastest right one here.

    precision: auto (fp16 if that is right and the faster one on this card, else fp32), fp16, bf16 or fp32. threads and
    cache are not used. queue: as in `Slots`. quick: take the first way that is right, without timing the others. watch
    is asked between two ways; when it gives up, `warm_up` raises Cancelled.
    """

    def __init__(
        self,
        card: ModelCard,
        *,
        precision: str = "auto",
        threads: int = 0,
        cache: Path | None = None,
        queue: int = 0,
        watch: Watch = Watch(),  # noqa: B008  # it is frozen
        quick: bool = False,
        gpu: Gpu | None = None,
        tactics: tuple[Tactic, ...] = TACTICS,
    ) -> None:
        self._card = card
        self._precisions = ("fp16", "fp32") if precision == "auto" else (precision,)
        self._queue = queue
        self._watch = watch
        self._quick = quick
        self._gpu: Gpu = TorchGpu() if gpu is None else gpu
        self._tactics = tactics
        self._slots: Slots | None = None
        self.taken: Taken | None = None
        """What was chosen, and why not the others; None before the warm-up."""

    @property
    def scale(self) -> int:
        return self._card.scale

    @property
    def job(self) -> Job:
        precision = self._precisions[0] if self.taken is None else self.taken.name
        return Job(self._card.name, self._card.scale, "cuda", precision)

    def warm_up(self, size: Size) -> None:
        """Choose, and capture for frames of up to `size`. Raises EngineError, ModelError or MissingPart."""
        self.close()
        why, remedy = self._gpu.trouble()
        if why:
            raise MissingPart(f"the cuda engine cannot be used: {why}", remedy or "use another engine")
        try:
            self._warm_up(size)
        except torch.OutOfMemoryError as error:
            raise EngineError(
                f"the graphics card has no memory left for {self._card.label} at {size}", FEWER
            ) from error
        except RuntimeError as error:  # whatever CUDA and cuDNN have to say
            raise EngineError(
                f"PyTorch cannot run {self._card.label} at {size}: {_first_line(error)}", REMEDY
            ) from error
        finally:
            self._gpu.forget()  # the game can use what the trials used

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        return self._ready(frame).upscale(frame, into)

    def draw(self, frame: Frame[Pixels]) -> Frame[Picture] | None:
        """The frame enlarged, and left on the card; None: it had to be dropped."""
        return self._ready(frame).draw(frame)

    def device_ms(self) -> dict[str, list[float]]:
        """As `Slots.device_ms`; empty before the warm-up."""
        return {} if self._slots is None else self._slots.device_ms()

    def close(self) -> None:
        slots, self._slots, self.taken = self._slots, None, None
        if slots is not None:
            slots.close()
            self._gpu.forget()

    def _ready(self, frame: Frame[Pixels]) -> Slots:
        size = size_of(frame.pixels)
        if self._slots is None or not self._slots.takes(size):
            self.warm_up(size)
        assert self._slots is not None
        return self._slots

    def _warm_up(self, size: Size) -> None:
        gpu = self._gpu
        tasks = tuple(Task(self._card, precision, size, gpu.device) for precision in self._precisions)
        with _steady():
            taken = choose(self._tactics, tasks, None if self._quick else gpu.milliseconds, self._watch)

        def make_step(stream: int) -> Step:
            with _steady():
                return gpu.step(taken.make_run(), size, stream)

        self._slots = Slots(gpu.memory(), make_step, size, self.scale, self._queue)
        self.taken = taken


REMEDY = "use another engine, or update NVIDIA's driver"
FEWER = "use a smaller model or window, or another engine"


class TorchGpu:
    """The first NVIDIA card, as PyTorch sees it."""

    device = "cuda"

    def trouble(self) -> tuple[str, str]:
        return _torch_build.trouble()

    def memory(self) -> Cuda:
        from live_sr.cuda.bindings import Cuda

        return Cuda()

    def step(self, run: Run, size: Size, stream: int) -> Step:
        return GraphStep(run, size, stream)

    def milliseconds(self, run: Run, example: Tensor) -> float:
        """Of a captured replay, as it will be at work: launched one by one, small networks wait for the processor."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        step = GraphStep(run, Size(example.shape[2], example.shape[1]), stream.cuda_stream)
        step.picture.copy_(example)  # arithmetic on zeros draws less power, and so runs faster
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

    def forget(self) -> None:
        torch.cuda.empty_cache()


class GraphStep:
    """One slot's network as a CUDA graph, captured on that stream, with a memory pool of its own."""

    def __init__(self, run: Run, size: Size, stream: int) -> None:
        self._stream = torch.cuda.ExternalStream(stream)  # type: ignore[no-untyped-call]
        self._run = run  # the graph uses its weights
        self.picture = torch.zeros((1, size.height, size.width, 4), dtype=torch.uint8, device="cuda")
        self._graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()  # the picture was cleared on another stream
        # the outer context puts the thread's stream back when a capture fails, which the inner one then does not
        with _capturing, torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                run(self.picture)
            # thread_local: meanwhile other threads may do with CUDA what must not happen in a capture
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
            raise EngineError(f"the graphics card failed at a frame: {_first_line(error)}", REMEDY) from error

    def close(self) -> None:
        """When the card is done with it: who gave it a stream knows."""
        self._graph.reset()
        del self.picture, self._enlarged, self._run


@contextmanager
def _steady() -> Iterator[None]:
    """No gradients, and cuDNN tries its algorithms at the first run of a shape. Entered alike for trial and capture."""
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=True):
        yield


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
