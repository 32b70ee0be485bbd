"""Every call of the CUDA runtime that live-sr makes, each one checked.

A failure is one sentence: MissingPart if there is no GPU or driver, else EngineError. Addresses, streams, events and
graphs are plain numbers, as CUDA's handles are. Streams and memory belong to the process, not to a `Cuda`.
Written against cuda-bindings 13.5 and its documentation; docs/gpu-status.md lists what has run on a GPU.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from cuda.bindings import runtime

from live_sr.errors import EngineError, MissingPart
from live_sr.nvidia.cuda_api import DevicePlace
from live_sr.pipeline.frame import Pixels, Size

HANG_S = 5.0
"""A GPU that needs longer for one frame hangs: Windows itself resets a driver after 2 seconds."""
SPIN_S = 0.004
"""A wait checks again at once for this long, since a sleep ends up to 0.5 ms late on Windows."""
NAP_S = 0.0002

TEXTURE_2D = 0x0DE1  # GL_TEXTURE_2D, from the OpenGL registry

# After these, every call of this process fails; CUDA's documentation of cudaError_t says so of most of them.
# Unknown comes from a GPU that fell off the bus, or whose driver was reset.
_LOST = (
    "IllegalAddress LaunchFailure LaunchTimeout HardwareStackError IllegalInstruction MisalignedAddress "
    "InvalidAddressSpace InvalidPc Assert ECCUncorrectable NvlinkUncorrectable Contained ContextIsDestroyed "
    "ExternalDevice TensorMemoryLeak Unknown"
)
LOST = {f"cudaError{name}" for name in _LOST.split()}

RESTART = "start live-sr again; if it happens often, update NVIDIA's driver and undo overclocking"
UPDATE = "update NVIDIA's driver, or choose another engine"
INTEROP = (
    "let live-sr run on the NVIDIA GPU (Windows: Settings > Display > Graphics, python.exe: high performance; "
    "Linux: __NV_PRIME_RENDER_OFFLOAD=1 __GLX_VENDOR_LIBRARY_NAME=nvidia)"
)


class _PinnedBlock:
    """Page-locked memory for numpy. Every view holds a reference to it; it is freed with the last view."""

    def __init__(self, address: int, shape: tuple[int, int, int]) -> None:
        self.__array_interface__ = {"version": 3, "typestr": "|u1", "shape": shape, "data": (address, False)}


class Cuda:
    """The GPU number `device`. Any thread may call it, after `make_current()` on that thread.

    Raises MissingPart if there is no such GPU or no driver for it. A failure that ends all work on the GPU sets `lost`;
    from then on nothing is freed, since that would fail or never return.
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
        self.gl = GlInterop(self)
        there = self.unwrap("looking for a GPU", runtime.cudaGetDeviceCount())
        if device >= there:
            raise MissingPart(
                f"there is no NVIDIA GPU number {device} here, but {there}", "choose one of those, counted from 0"
            )
        self.make_current()
        about = self.unwrap("querying the name of the GPU", runtime.cudaGetDeviceProperties(device))
        self.name: str = about.name.decode(errors="replace")

    def make_current(self) -> None:
        """Makes this the calling thread's GPU, whichever one the thread used before. Costs next to nothing."""
        self.unwrap("opening the GPU", runtime.cudaSetDevice(self.device))

    # Memory

    def allocate_pinned(self, size: Size) -> Pixels:
        """A new picture of undefined content in page-locked main memory. Freed with its last reference."""
        count = size.width * size.height * 4
        address = self.unwrap("page-locking main memory", runtime.cudaHostAlloc(count, runtime.cudaHostAllocPortable))
        block = _PinnedBlock(address, (size.height, size.width, 4))
        weakref.finalize(block, self._unpin, address).atexit = False  # the end of the process frees it anyway
        return np.asarray(block)

    def _unpin(self, address: int) -> None:
        if not self.lost:
            runtime.cudaFreeHost(address)  # called by the garbage collector: there is nowhere to report a failure

    def allocate(self, count: int) -> int:
        """The address of `count` new bytes of the GPU's memory, until `free`."""
        return int(self.unwrap("reserving memory on the GPU", runtime.cudaMalloc(count)))

    def free(self, address: int) -> None:
        if not self.lost:
            self.unwrap("freeing memory on the GPU", runtime.cudaFree(address))

    # Streams and events

    def create_stream(self, *, urgent: bool = False) -> int:
        """A new stream that no other one waits for. urgent: its kernels go before those of this process's others."""
        least, greatest = self.unwrap("asking for priorities", runtime.cudaDeviceGetStreamPriorityRange())
        priority = greatest if urgent else least
        made = runtime.cudaStreamCreateWithPriority(runtime.cudaStreamNonBlocking, priority)
        return int(self.unwrap("making a stream", made))

    def destroy_stream(self, stream: int) -> None:
        if not self.lost:
            self.unwrap("ending a stream", runtime.cudaStreamDestroy(stream))

    def create_event(self, *, timing: bool = False) -> int:
        """A new event. Until it is recorded, a wait for it takes no time. timing: for `elapsed_ms`."""
        flags = runtime.cudaEventDefault if timing else runtime.cudaEventDisableTiming
        return int(self.unwrap("making an event", runtime.cudaEventCreateWithFlags(flags)))

    def destroy_event(self, event: int) -> None:
        if not self.lost:
            self.unwrap("ending an event", runtime.cudaEventDestroy(event))

    def record_event(self, event: int, stream: int) -> None:
        """The event is complete when everything that was given to the stream before this call is."""
        self.unwrap("recording an event", runtime.cudaEventRecord(event, stream))

    def make_stream_wait(self, stream: int, event: int) -> None:
        """What is given to the stream from now on waits, on the GPU, for the event's last record before this call."""
        self.unwrap("ordering two streams", runtime.cudaStreamWaitEvent(stream, event, 0))

    def is_complete(self, event: int) -> bool:
        """Whether the event's last record is complete."""
        answer = runtime.cudaEventQuery(event)
        if answer[0].name == "cudaErrorNotReady":
            runtime.cudaGetLastError()  # else PyTorch would take it for a failure of its own next kernel
            return False
        self.unwrap("computing", answer)
        return True

    def wait_for_event(self, event: int) -> None:
        """Returns when the event's last record is complete. Raises EngineError if the GPU hangs or is lost.

        It polls, since cudaEventSynchronize would never return on a GPU that hangs.
        """
        begun = self._clock()
        while not self.is_complete(event):
            waited = self._clock() - begun
            if waited > HANG_S:
                self.lost = True
                raise EngineError(f"the GPU has not finished a frame in {HANG_S:.0f} seconds", RESTART)
            self._nap(0 if waited < SPIN_S else NAP_S)

    def elapsed_ms(self, begun: int, ended: int) -> float:
        """Milliseconds between two complete events made for timing, to about half a microsecond."""
        return float(self.unwrap("reading the GPU's clock", runtime.cudaEventElapsedTime(begun, ended)))

    # Copies

    def upload(self, address: int, pixels: Pixels, stream: int) -> None:
        """Copies a page-locked picture to the GPU. It must not change until the copy is complete."""
        kind = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        source = pixels.ctypes.data
        self.unwrap("copying to the GPU", runtime.cudaMemcpyAsync(address, source, pixels.nbytes, kind, stream))

    def download(self, into: Pixels, source: DevicePlace, stream: int) -> None:
        """Copies a part of a picture on the GPU, as large as `into`, to that page-locked picture."""
        kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        height, row, target = into.shape[0], into.shape[1] * 4, into.ctypes.data
        if row == source.pitch:
            answer = runtime.cudaMemcpyAsync(target, source.begin, into.nbytes, kind, stream)
        else:
            answer = runtime.cudaMemcpy2DAsync(target, row, source.begin, source.pitch, row, height, kind, stream)
        self.unwrap("copying from the GPU", answer)

    def copy(self, target: DevicePlace, source: DevicePlace, size: Size, stream: int) -> None:
        """Copies a part of that size from one picture on the GPU to another one there. They must not overlap."""
        kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        row = size.width * 4
        answer = runtime.cudaMemcpy2DAsync(
            target.begin, target.pitch, source.begin, source.pitch, row, size.height, kind, stream
        )
        self.unwrap("copying on the GPU", answer)

    # Graphs

    def capture_graph(self, work: Callable[[], None], stream: int) -> int:
        """Records what `work` gives to the stream as a graph, which `launch_graph` runs on the same addresses.

        What a capture forbids, such as to allocate, is forbidden on this thread only.
        """
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self.unwrap("beginning a graph", runtime.cudaStreamBeginCapture(stream, mode))
        try:
            work()
        except BaseException:
            runtime.cudaStreamEndCapture(stream)  # else the stream stays unusable
            runtime.cudaGetLastError()
            raise
        graph = self.unwrap("ending a graph", runtime.cudaStreamEndCapture(stream))
        try:
            return int(self.unwrap("preparing a graph", runtime.cudaGraphInstantiate(graph, 0)))
        finally:
            self.unwrap("freeing a graph", runtime.cudaGraphDestroy(graph))

    def launch_graph(self, graph: int, stream: int) -> None:
        self.unwrap("running a graph", runtime.cudaGraphLaunch(graph, stream))

    def destroy_graph(self, graph: int) -> None:
        if not self.lost:
            self.unwrap("ending a graph", runtime.cudaGraphExecDestroy(graph))

    # Results

    def unwrap(self, doing: str, answer: tuple[Any, ...]) -> Any:
        """The value or values of a call that succeeded. Raises EngineError or MissingPart for one that failed.

        `doing` completes the sentence "... failed while ...".
        """
        code, *values = answer
        if code.value == 0:
            return values[0] if len(values) == 1 else values
        runtime.cudaGetLastError()  # CUDA keeps the error, and PyTorch would get it from its next call
        self.lost = self.lost or code.name in LOST
        raise _make_error(doing, code)


class GlInterop:
    """Copies into textures of the OpenGL context that is current on the calling thread.

    Everything raises EngineError if GPU and context do not work together; the GPU can still compute.
    """

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda

    def check_device(self) -> None:
        """Raises EngineError if another GPU draws the current OpenGL context."""
        count, drawing = self._unwrap(
            "finding the GPU that draws", runtime.cudaGLGetDevices(8, runtime.cudaGLDeviceList.cudaGLDeviceListAll)
        )
        if self._cuda.device not in list(drawing)[:count]:
            raise EngineError(f"OpenGL is drawn by another GPU than {self._cuda.name}", INTEROP)

    def register_texture(self, texture: int) -> object:
        """Lets CUDA write a two-dimensional RGBA8 texture, always all of it."""
        flags = runtime.cudaGraphicsRegisterFlags.cudaGraphicsRegisterFlagsWriteDiscard
        answer = runtime.cudaGraphicsGLRegisterImage(texture, TEXTURE_2D, int(flags))
        return self._unwrap("registering the texture", answer)

    def unregister_texture(self, resource: object) -> None:
        if not self._cuda.lost:
            self._unwrap("unregistering the texture", runtime.cudaGraphicsUnregisterResource(resource))

    def map_texture(self, resource: object, stream: int) -> int:
        """The array behind the texture, until `unmap`. What the stream does next waits for what OpenGL did before."""
        self._unwrap("mapping the texture", runtime.cudaGraphicsMapResources(1, resource, stream))
        try:
            array = runtime.cudaGraphicsSubResourceGetMappedArray(resource, 0, 0)
            return int(self._unwrap("finding the texture's memory", array))
        except EngineError:
            self.unmap_texture(resource, stream)
            raise

    def unmap_texture(self, resource: object, stream: int) -> None:
        """What OpenGL does next waits for what the stream did before."""
        self._unwrap("unmapping the texture", runtime.cudaGraphicsUnmapResources(1, resource, stream))

    def copy_to_texture(self, array: int, address: int, pitch: int, size: Size, stream: int) -> None:
        """Copies the top left `size` of a picture on the GPU, with rows `pitch` bytes apart, to a mapped texture."""
        kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        row = size.width * 4
        copied = runtime.cudaMemcpy2DToArrayAsync(array, 0, 0, address, pitch, row, size.height, kind, stream)
        self._unwrap("copying to the texture", copied)

    def _unwrap(self, doing: str, answer: tuple[Any, ...]) -> Any:
        """As `Cuda.unwrap`, but an unknown error only means that CUDA and OpenGL do not work together."""
        code = answer[0]
        if code.value == 0 or (code.name in LOST and code.name != "cudaErrorUnknown"):
            return self._cuda.unwrap(doing, answer)
        runtime.cudaGetLastError()
        raise EngineError(
            f"the picture cannot go from CUDA to OpenGL: {doing} failed with {_describe_code(code)}", INTEROP
        )


def _describe_code(code: Any) -> str:
    """The name of the code, and CUDA's description."""
    words = runtime.cudaGetErrorString(code)[1]
    return f"{code.name} ({words.decode(errors='replace')})"


def _make_error(doing: str, code: Any) -> EngineError | MissingPart:
    if code.name == "cudaErrorNoDevice":
        return MissingPart("there is no NVIDIA GPU that CUDA can use", "choose another engine")
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
            f"memory ran out while {doing}", "close other programs that use the GPU, or choose a cheaper model"
        )
    if code.name in LOST:
        return EngineError(f"the GPU was lost while {doing}: {_describe_code(code)}", RESTART)
    return EngineError(f"CUDA failed while {doing}: {_describe_code(code)}", UPDATE)
