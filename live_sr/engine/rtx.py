"""Networks on an RTX card through TensorRT-RTX in ONNX Runtime: 300 MB instead of PyTorch and TensorRT with gigabytes.

A network is compiled once for a card and a size of frames, in a process of its own (`rtx_build`), and kept among the
compiled engines together with the kernels that TensorRT-RTX compiled on the card. Here it is only loaded: one session
for each slot, since TensorRT-RTX keeps a CUDA graph of its own for the addresses that it saw last.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from live_sr import nvml
from live_sr.compiled.build import build
from live_sr.compiled.key import Key, installed
from live_sr.compiled.seal import own_secret
from live_sr.compiled.store import Store
from live_sr.contracts import Job, Watch
from live_sr.cuda import driver
from live_sr.cuda.slots import CudaLike, Picture, Slots
from live_sr.cuda.step import Step
from live_sr.engine import _rtx_card, _rtx_provider
from live_sr.engine._rtx_provider import Compiled
from live_sr.engine.rtx_build import Spec
from live_sr.errors import EngineError, MissingPart
from live_sr.frame import Frame, Pixels, Size, size_of
from live_sr.models import zoo
from live_sr.models.card import ModelCard

PRECISIONS = ("fp16", "fp32")
INPUT, OUTPUT = "frame", "picture"  # as models/framedonnx calls them
FORMAT = "1"  # of what is kept: goes up when `Compiled` or the graph changes

WARM_UPS = 4
"""Runs before the first frame. TensorRT-RTX captures its graph in the second and replays it from the third on."""

obstacle = _rtx_card.obstacle


class Memory(CudaLike, Protocol):
    """What the steps ask of CUDA beyond what the slots ask."""

    def memory(self, count: int) -> int: ...
    def free(self, address: int) -> None: ...


def _cuda() -> Memory:
    from live_sr.cuda.bindings import Cuda  # needs the package cuda-bindings

    return Cuda()


@dataclass(frozen=True)
class Rig:
    """What the engine finds on this machine."""

    device: Callable[[], driver.Device | None] = driver.device
    cuda: Callable[[], Memory] = _cuda
    command: Sequence[str] = (sys.executable, "-m", "live_sr.engine.rtx_build")
    secret: Callable[[], Path] = own_secret


class RtxEngine:
    """Any model that ONNX can describe, on RTX 30xx, 40xx, 50xx and newer: BGRA uint8 in, BGRA uint8 out.

    precision: auto (fp16), fp16 or fp32. threads is not used. cache: the folder of compiled engines; None keeps none.
    queue: as in `Slots`. watch follows the compilation, and can end it. Raises EngineError for another precision.
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
        rig: Rig = Rig(),
    ) -> None:
        self.precision = PRECISIONS[0] if precision == "auto" else precision
        if self.precision not in PRECISIONS:
            raise EngineError(f"TensorRT-RTX computes in {' or '.join(PRECISIONS)}, not in {precision}", "use auto")
        self._card = card
        self._cache = cache
        self._queue = queue
        self._watch = watch
        self._rig = rig
        self._slots: Slots | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def scale(self) -> int:
        return self._card.scale

    @property
    def job(self) -> Job:
        return Job(self._card.name, self._card.scale, "rtx", self.precision)

    def warm_up(self, size: Size) -> None:
        """Compile for frames of up to `size`, or find what was compiled, and load it into both slots.

        Raises MissingPart when the card cannot be used, ModelError or EngineError.
        """
        self.close()
        key = self._key(size)
        self._folder = tempfile.TemporaryDirectory(prefix="live-sr-rtx-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        try:
            store = Store(self._cache or folder / "engines", self._rig.secret())
            compiled = Compiled.unpacked(build(key, self._rig.command, self._spec(size), store, self._watch))
            compiled.lay_out(folder)
            cuda = self._rig.cuda()

            def make_step(stream: int) -> Step:
                return SessionStep(cuda, compiled.network, folder, self._card, size, stream)

            self._slots = Slots(cuda, make_step, size, self.scale, self._queue)
        except BaseException:
            self.close()
            raise

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        return self._ready(frame).upscale(frame, into)

    def draw(self, frame: Frame[Pixels]) -> Frame[Picture] | None:
        """The frame enlarged, and left on the card; None: it had to be dropped."""
        return self._ready(frame).draw(frame)

    def device_ms(self) -> dict[str, list[float]]:
        """As `Slots.device_ms`; empty before the warm-up."""
        return {} if self._slots is None else self._slots.device_ms()

    def close(self) -> None:
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.close()
        folder, self._folder = self._folder, None
        if folder is not None:  # TensorRT-RTX writes its kernels there again when a session ends
            folder.cleanup()

    def _ready(self, frame: Frame[Pixels]) -> Slots:
        size = size_of(frame.pixels)
        if self._slots is None or not self._slots.takes(size):
            self.warm_up(size)
        assert self._slots is not None
        return self._slots

    def _spec(self, size: Size) -> Spec:
        card = self._card
        onnx = str(card.onnx.resolve())
        return Spec(card.name, card.scale, card.multiple, onnx, size.width, size.height, self.precision)

    def _key(self, size: Size) -> Key:
        """All that the compiled network depends on. Raises MissingPart or ModelError."""
        device = self._rig.device()
        if device is None:
            raise MissingPart(driver.obstacle() or "there is no NVIDIA card here", "use another engine")
        why, remedy = _rtx_card.fits(device)
        if why:
            raise MissingPart(why, remedy or "use another engine")
        zoo.verify(self._card)
        told = nvml.readings().card(device.name)
        return Key(
            engine="rtx",
            model=self._card.name,
            scale=self._card.scale,
            width=size.width,
            height=size.height,
            precision=self.precision,
            weights=self._card.sha256 or hashlib.sha256(self._card.onnx.read_bytes()).hexdigest(),
            architecture=self._card.architecture,
            gpu=device.name,
            capability=".".join(map(str, device.capability)),
            driver=(told.driver if told else "") or "CUDA " + ".".join(map(str, device.cuda)),
            options=(("format", FORMAT), ("multiple", str(self._card.multiple))),
            versions=installed(_rtx_provider.PACKAGES),
        )


class SessionStep:
    """One slot's network: a session that works on one stream and on memory of its own."""

    def __init__(self, cuda: Memory, network: bytes, kernels: Path, card: ModelCard, size: Size, stream: int) -> None:
        self._cuda = cuda
        self._label = card.label
        self._stream = stream
        self._options = _rtx_provider.run_options()
        self._session = _rtx_provider.open_session(network, settings(stream, kernels))
        self._binding = self._session.io_binding()
        self._addresses: list[int] = []
        try:
            for name, picture in ((INPUT, size), (OUTPUT, size.times(card.scale))):
                self._addresses.append(cuda.memory(picture.width * picture.height * 4))
                self._bind(name, picture, self._addresses[-1])
            for _ in range(WARM_UPS):
                self.enqueue(stream)
            self._finish()
        except BaseException:
            self.close()
            raise

    @property
    def input(self) -> int:
        return self._addresses[0]

    @property
    def output(self) -> int:
        return self._addresses[1]

    def enqueue(self, stream: int) -> None:
        """Only on the stream that it was made for, which the session was told when it was opened."""
        if stream != self._stream:
            raise EngineError(f"{self._label} was made for another stream", "start live-sr again")
        try:
            self._session.run_with_iobinding(self._binding, self._options)
        except Exception as error:  # the binding has a dozen kinds, which share no class of their own
            raise _rtx_provider.failed(error, self._label) from error

    def close(self) -> None:
        with suppress(EngineError):  # a card that was lost does nothing any more
            self._finish()
        del self._binding, self._session  # in this order: the memory must outlast both
        addresses, self._addresses = self._addresses, []
        for address in addresses:
            self._cuda.free(address)

    def _bind(self, name: str, size: Size, address: int) -> None:
        shape = (1, size.height, size.width, 4)
        if name == INPUT:
            self._binding.bind_input(name, "cuda", 0, np.uint8, shape, address)
        else:
            self._binding.bind_output(name, "cuda", 0, np.uint8, shape, address)

    def _finish(self) -> None:
        """Wait until the card has done all that is in the stream."""
        event = self._cuda.event()
        try:
            self._cuda.record(event, self._stream)
            self._cuda.wait(event)
        finally:
            self._cuda.end_event(event)


def settings(stream: int, kernels: Path) -> dict[str, str]:
    """The provider's options for a session at work on that stream."""
    return {
        "has_user_compute_stream": "1",  # without it, it waits for the card at the end of every run
        "user_compute_stream": str(stream),
        "enable_cuda_graph": "1",
        "nv_persistent_context_memory": "1",  # without it, it allocates and frees its scratch memory in every run
        "nv_runtime_cache_path": str(kernels),
    }
