"""Every call of CUDA's runtime that live-sr makes, each one checked.

A failure is one sentence (MissingPart where there is no card or driver, else EngineError). Addresses, streams, events
and graphs are plain numbers, as CUDA's handles are. Streams and memory belong to the process, not to a `Cuda`.
Written against cuda-bindings 13.5 and its documentation; until docs/gpu-status.md says otherwise it ran on no card.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from cuda.bindings import runtime

from live_sr.errors import EngineError, MissingPart
from live_sr.frame import Pixels, Size

HANG_S = 5.0
"""A card that has not finished one frame by then hangs: Windows itself resets a driver after 2 seconds."""
SPIN_S = 0.004
"""How long a wait looks again at once. A nap ends up to 0.5 ms late on Windows, which a short wait would feel."""
NAP_S = 0.0002

TEXTURE_2D = 0x0DE1  # GL_TEXTURE_2D, from the OpenGL registry

# After these every call of this process fails, as CUDA's documentation of cudaError_t says of most of them.
# Unknown is what a card tells that fell off the bus or whose driver was reset.
_LOST = (
    "IllegalAddress LaunchFailure LaunchTimeout HardwareStackError IllegalInstruction MisalignedAddress "
    "InvalidAddressSpace InvalidPc Assert ECCUncorrectable NvlinkUncorrectable Contained ContextIsDestroyed "
    "ExternalDevice TensorMemoryLeak Unknown"
)
LOST = {f"cudaError{name}" for name in _LOST.split()}

RESTART = "start live-sr again; if it happens often, update NVIDIA's driver and undo overclocking"
UPDATE = "update NVIDIA's driver, or choose another engine"
INTEROP = (
    "let live-sr run on the NVIDIA card (Windows: Settings > Display > Graphics, python.exe: high performance; "
    "Linux: __NV_PRIME_RENDER_OFFLOAD=1 __GLX_VENDOR_LIBRARY_NAME=nvidia)"
)


class _Block:
    """Page-locked memory as numpy sees it: every view holds this, and with the last view it goes."""

    def __init__(self, address: int, shape: tuple[int, int, int]) -> None:
        self.__array_interface__ = {"version": 3, "typestr": "|u1", "shape": shape, "data": (address, False)}


class Cuda:
    """The card number `device`. Any thread may call it, after `use()` on that thread.

    Raises MissingPart when there is no such card or no driver for it. After a failure that ends all work on the card
    `lost` is set; from then on nothing is freed, since that would fail or never return.
    """

    def __init__(
        self,
        device: int = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
        nap: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._nap = nap
        self.lost = False
        self.device = device
        self.gl = Interop(self)
        there = self.ask("looking for a card", runtime.cudaGetDeviceCount())
        if device >= there:
            raise MissingPart(
                f"there is no NVIDIA card number {device} here, but {there}", "choose one of those, counted from 0"
            )
        self.use()
        about = self.ask("asking for the card's name", runtime.cudaGetDeviceProperties(device))
        self.name: str = about.name.decode(errors="replace")

    def use(self) -> None:
        """Make this the calling thread's card. Costs next to nothing; others may have set another one since."""
        self.ask("opening the card", runtime.cudaSetDevice(self.device))

    # Memory

    def pinned(self, size: Size) -> Pixels:
        """A new picture in page-locked main memory; what it shows is undefined. Freed with its last reference."""
        count = size.width * size.height * 4
        address = self.ask("page-locking main memory", runtime.cudaHostAlloc(count, runtime.cudaHostAllocPortable))
        block = _Block(address, (size.height, size.width, 4))
        weakref.finalize(block, self._unpin, address).atexit = False  # the end of the process frees it anyway
        return np.asarray(block)

    def _unpin(self, address: int) -> None:
        if not self.lost:
            runtime.cudaFreeHost(address)  # nobody is there to hear of a failure

    def memory(self, count: int) -> int:
        """The address of `count` new bytes on the card; `free` gives them back."""
        return int(self.ask("reserving memory on the card", runtime.cudaMalloc(count)))

    def free(self, address: int) -> None:
        if not self.lost:
            self.ask("freeing memory on the card", runtime.cudaFree(address))

    # Streams and events

    def stream(self, *, urgent: bool = False) -> int:
        """A new stream that no other one waits for; `urgent`: its kernels go before those of this process's others."""
        least, greatest = self.ask("asking for priorities", runtime.cudaDeviceGetStreamPriorityRange())
        priority = greatest if urgent else least
        made = runtime.cudaStreamCreateWithPriority(runtime.cudaStreamNonBlocking, priority)
        return int(self.ask("making a stream", made))

    def end_stream(self, stream: int) -> None:
        if not self.lost:
            self.ask("ending a stream", runtime.cudaStreamDestroy(stream))

    def event(self, *, timing: bool = False) -> int:
        """A new event, never recorded: waiting for it takes no time. `timing`: for `elapsed_ms`."""
        flags = runtime.cudaEventDefault if timing else runtime.cudaEventDisableTiming
        return int(self.ask("making an event", runtime.cudaEventCreateWithFlags(flags)))

    def end_event(self, event: int) -> None:
        if not self.lost:
            self.ask("ending an event", runtime.cudaEventDestroy(event))

    def record(self, event: int, stream: int) -> None:
        """The event is complete when all that was given to the stream before this call is."""
        self.ask("recording an event", runtime.cudaEventRecord(event, stream))

    def after(self, stream: int, event: int) -> None:
        """What is given to the stream from now on waits, on the card, for the event's last record before this call."""
        self.ask("ordering two streams", runtime.cudaStreamWaitEvent(stream, event, 0))

    def done(self, event: int) -> bool:
        """Whether the event's last record is complete."""
        answer = runtime.cudaEventQuery(event)
        if answer[0].name == "cudaErrorNotReady":
            runtime.cudaGetLastError()  # else PyTorch takes it for a failure of its own next kernel
            return False
        self.ask("computing", answer)
        return True

    def wait(self, event: int) -> None:
        """Returns when the event's last record is complete. Raises EngineError when the card hangs or is lost.

        It looks again and again, since cudaEventSynchronize on a card that hangs would never return.
        """
        begun = self._clock()
        while not self.done(event):
            waited = self._clock() - begun
            if waited > HANG_S:
                self.lost = True
                raise EngineError(f"the graphics card has not finished a frame in {HANG_S:.0f} seconds", RESTART)
            self._nap(0 if waited < SPIN_S else NAP_S)

    def elapsed_ms(self, begun: int, ended: int) -> float:
        """Milliseconds between two complete events made for timing, to about half a microsecond."""
        return float(self.ask("reading the card's clock", runtime.cudaEventElapsedTime(begun, ended)))

    # Copies

    def upload(self, address: int, pixels: Pixels, stream: int) -> None:
        """Copy a page-locked picture to the card; it must not change until the copy is done."""
        kind = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        source = pixels.ctypes.data
        self.ask("copying to the card", runtime.cudaMemcpyAsync(address, source, pixels.nbytes, kind, stream))

    def download(self, into: Pixels, address: int, pitch: int, stream: int) -> None:
        """Copy the top left corner of a picture on the card, of rows `pitch` bytes apart, to a page-locked one."""
        kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        height, row, target = into.shape[0], into.shape[1] * 4, into.ctypes.data
        if row == pitch:
            answer = runtime.cudaMemcpyAsync(target, address, into.nbytes, kind, stream)
        else:
            answer = runtime.cudaMemcpy2DAsync(target, row, address, pitch, row, height, kind, stream)
        self.ask("copying from the card", answer)

    # Graphs

    def captured(self, work: Callable[[], None], stream: int) -> int:
        """What `work` gives to the stream, as a graph: not run now, but at every `launch`, on the same addresses.

        Only this thread is kept from what a capture forbids: others may allocate meanwhile.
        """
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self.ask("beginning a graph", runtime.cudaStreamBeginCapture(stream, mode))
        try:
            work()
        except BaseException:
            runtime.cudaStreamEndCapture(stream)  # or the stream stays unusable
            runtime.cudaGetLastError()
            raise
        graph = self.ask("ending a graph", runtime.cudaStreamEndCapture(stream))
        try:
            return int(self.ask("preparing a graph", runtime.cudaGraphInstantiate(graph, 0)))
        finally:
            self.ask("freeing a graph", runtime.cudaGraphDestroy(graph))

    def launch(self, graph: int, stream: int) -> None:
        self.ask("running a graph", runtime.cudaGraphLaunch(graph, stream))

    def end_graph(self, graph: int) -> None:
        if not self.lost:
            self.ask("ending a graph", runtime.cudaGraphExecDestroy(graph))

    # Answers

    def ask(self, doing: str, answer: tuple[Any, ...]) -> Any:
        """What came with the code of success: nothing, one value or several. Raises what the code means."""
        code, *values = answer
        if code.value == 0:
            return values[0] if len(values) == 1 else values
        runtime.cudaGetLastError()  # CUDA keeps it, and PyTorch would meet it at its next call
        self.lost = self.lost or code.name in LOST
        raise _failure(doing, code)


class Interop:
    """Textures of the OpenGL context that is current on the calling thread; on no other thread.

    Everything raises EngineError when card and context do not go together; the card can go on computing.
    """

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda

    def check(self) -> None:
        """Whether this very card draws the current OpenGL context."""
        count, drawing = self._ask(
            "finding the card that draws", runtime.cudaGLGetDevices(8, runtime.cudaGLDeviceList.cudaGLDeviceListAll)
        )
        if self._cuda.device not in list(drawing)[:count]:
            raise EngineError(f"OpenGL is drawn by another card than {self._cuda.name}", INTEROP)

    def register(self, texture: int) -> object:
        """Let CUDA write a two-dimensional RGBA8 texture, all of it each time."""
        flags = runtime.cudaGraphicsRegisterFlags.cudaGraphicsRegisterFlagsWriteDiscard
        answer = runtime.cudaGraphicsGLRegisterImage(texture, TEXTURE_2D, int(flags))
        return self._ask("registering the texture", answer)

    def unregister(self, resource: object) -> None:
        if not self._cuda.lost:
            self._ask("giving the texture back", runtime.cudaGraphicsUnregisterResource(resource))

    def mapped(self, resource: object, stream: int) -> int:
        """The array behind the texture, until `unmap`. What the stream does next waits for what OpenGL did before."""
        self._ask("taking the texture from OpenGL", runtime.cudaGraphicsMapResources(1, resource, stream))
        try:
            array = runtime.cudaGraphicsSubResourceGetMappedArray(resource, 0, 0)
            return int(self._ask("finding the texture's memory", array))
        except EngineError:
            self.unmap(resource, stream)
            raise

    def unmap(self, resource: object, stream: int) -> None:
        """What OpenGL does next waits for what the stream did before."""
        self._ask("giving the texture to OpenGL", runtime.cudaGraphicsUnmapResources(1, resource, stream))

    def fill(self, array: int, address: int, pitch: int, size: Size, stream: int) -> None:
        """Copy the top left `size` of a picture on the card, of rows `pitch` bytes apart, to a mapped texture."""
        kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        row = size.width * 4
        copied = runtime.cudaMemcpy2DToArrayAsync(array, 0, 0, address, pitch, row, size.height, kind, stream)
        self._ask("copying to the texture", copied)

    def _ask(self, doing: str, answer: tuple[Any, ...]) -> Any:
        """The same, where an unknown error only means that these two do not work together."""
        code = answer[0]
        if code.value == 0 or (code.name in LOST and code.name != "cudaErrorUnknown"):
            return self._cuda.ask(doing, answer)
        runtime.cudaGetLastError()
        raise EngineError(f"the picture cannot go from CUDA to OpenGL: {doing} failed with {_told(code)}", INTEROP)


def _told(code: Any) -> str:
    """The code's name and CUDA's few words on it."""
    words = runtime.cudaGetErrorString(code)[1]
    return f"{code.name} ({words.decode(errors='replace')})"


def _failure(doing: str, code: Any) -> EngineError | MissingPart:
    if code.name == "cudaErrorNoDevice":
        return MissingPart("there is no NVIDIA card that CUDA can use", "choose another engine")
    if code.name == "cudaErrorInsufficientDriver":
        has, needs = runtime.cudaDriverGetVersion()[1], runtime.cudaRuntimeGetVersion()[1]
        if not has:
            return MissingPart("there is no NVIDIA driver", "install NVIDIA's driver, or choose another engine")
        return MissingPart(
            f"NVIDIA's driver is for CUDA {has // 1000}.{has % 1000 // 10} and the engine needs {needs // 1000}.0",
            UPDATE,
        )
    if code.name == "cudaErrorSystemDriverMismatch":
        return EngineError("NVIDIA's driver was updated while the computer ran", "restart the computer")
    if code.name == "cudaErrorMemoryAllocation":
        return EngineError(
            f"memory ran out while {doing}", "close other programs that use the card, or choose a cheaper model"
        )
    if code.name in LOST:
        return EngineError(f"the graphics card was lost while {doing}: {_told(code)}", RESTART)
    return EngineError(f"CUDA failed while {doing}: {_told(code)}", UPDATE)
