"""Networks trained here on an NVIDIA card, through TensorRT: built once for a size of frames, then only loaded.

Running an engine needs no PyTorch; building one does, in another process: see `tensorrt_build`.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from live_sr import __version__, nvml
from live_sr.compiled.build import build
from live_sr.compiled.key import Key, installed
from live_sr.compiled.seal import own_secret
from live_sr.compiled.store import Store, card_of
from live_sr.contracts import Job, Watch
from live_sr.cuda import driver
from live_sr.cuda.slots import Picture, Slots
from live_sr.engine._tensorrt_run import VERSION, Plan, TensorRTStep, Unusable
from live_sr.engine.tensorrt_build import Spec
from live_sr.errors import EngineError, MissingPart, ModelError
from live_sr.frame import Frame, Pixels, Size, size_of
from live_sr.models.card import ModelCard

if TYPE_CHECKING:
    from live_sr.cuda.bindings import Cuda

PRECISIONS = ("fp16", "fp32")  # TensorRT casts uint8 from and to no other type
BUILDER = (sys.executable, "-m", "live_sr.engine.tensorrt_build")
OPTIMIZATION_LEVEL = 3  # TensorRT's own default, of 0 to 5
GRAPH = "1"  # raised whenever the same weights are built into another graph
PACKAGES = ("tensorrt", "tensorrt-cu13", "tensorrt-cu13-bindings", "tensorrt-cu13-libs", "torch-tensorrt", "torch")


@dataclass(frozen=True)
class Gpu:
    """The card that engines are built for, as its driver calls it; capability such as "8.9"."""

    name: str
    capability: str
    driver: str

    @classmethod
    def here(cls) -> Gpu:
        """Raises MissingPart without a card that can be used."""
        why, device = driver.obstacle(), driver.device()
        if why or device is None:
            raise MissingPart(f"TensorRT cannot be used: {why}", "use another engine")
        card = nvml.readings().card(device.name)
        told = card.driver if card is not None else ""
        versions = [".".join(map(str, version)) for version in (device.capability, device.cuda)]
        return cls(device.name, versions[0], told or f"for CUDA {versions[1]}")


class TensorRTEngine:
    """A network of ours as one TensorRT engine, from captured to shown levels, in one CUDA graph for each slot.

    precision: auto (fp16), fp16 or fp32. threads is not used. cache: the folder for built engines; None: they are not
    kept. queue: as in `Slots`. watch is told how far a build is and can cancel it. gpu, cuda and builder are this
    machine's unless a test brings its own. Raises EngineError for another precision.
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
        gpu: Callable[[], Gpu] = Gpu.here,
        cuda: Callable[[], Cuda] | None = None,
        builder: Sequence[str] = BUILDER,
    ) -> None:
        self.precision = "fp16" if precision == "auto" else precision
        if self.precision not in PRECISIONS:
            raise EngineError(
                f"TensorRT does not run our networks in {precision}, but in {' and '.join(PRECISIONS)}",
                'use precision = "auto"',
            )
        self._card = card
        self._cache = cache
        self._queue = queue
        self._watch = watch
        self._gpu = gpu
        self._cuda = cuda or _cuda
        self._builder = builder
        self._slots: Slots | None = None

    @property
    def scale(self) -> int:
        return self._card.scale

    @property
    def job(self) -> Job:
        return Job(self._card.name, self._card.scale, "tensorrt", self.precision)

    def warm_up(self, size: Size) -> None:
        """Find or build the engine for frames of up to `size`, and capture it. Raises EngineError, or its Cancelled,
        ModelError or MissingPart.
        """
        self.close()
        key = self._key(size)
        cuda = self._cuda()
        cuda.use()  # deserialising puts the weights on this thread's card
        plan = self._plan(key)
        self._slots = Slots(cuda, lambda stream: TensorRTStep(plan, cuda, stream), size, self.scale, self._queue)

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

    def _ready(self, frame: Frame[Pixels]) -> Slots:
        size = size_of(frame.pixels)
        if self._slots is None or not self._slots.takes(size):
            self.warm_up(size)
        assert self._slots is not None
        return self._slots

    def _key(self, size: Size) -> Key:
        gpu = self._gpu()
        return Key(
            engine="tensorrt",
            model=self._card.name,
            scale=self.scale,
            width=size.width,
            height=size.height,
            precision=self.precision,
            weights=_weights(self._card),
            architecture=self._card.architecture,
            gpu=gpu.name,
            capability=gpu.capability,
            driver=gpu.driver,
            options=(
                ("graph", GRAPH),
                ("multiple", str(self._card.multiple)),
                ("optimization_level", str(OPTIMIZATION_LEVEL)),
            ),
            versions=(("live-sr", __version__), ("TensorRT in use", VERSION), *installed(PACKAGES)),
        )

    def _plan(self, key: Key) -> Plan:
        """From the store, or built. What TensorRT refuses is thrown away and built anew, once."""
        with self._store() as store:
            found = store.find(key)
            if found is not None:
                try:
                    return Plan.of(found, key)
                except Unusable as error:
                    store.tell(f"{key.file_name} is not used: {error.message}; it is built again")
                    with suppress(OSError):
                        card_of(store.folder / key.file_name).unlink(missing_ok=True)
            return Plan.of(build(key, self._builder, self._spec(key), store, self._watch), key)

    @contextmanager
    def _store(self) -> Iterator[Store]:
        if self._cache is not None:
            yield Store(self._cache, own_secret())
            return
        with TemporaryDirectory() as folder:
            yield Store(Path(folder), Path(folder) / "secret")

    def _spec(self, key: Key) -> Spec:
        # what TensorRT reads back must be this user's own: so it is beside the secret, not in the folder of engines
        times = own_secret().with_name(re.sub(r"[^\w.]+", "-", f"timing-{VERSION}-{key.gpu}.bin"))
        return Spec(
            model=self._card.name,
            scale=self.scale,
            multiple=self._card.multiple,
            onnx=str(self._card.onnx),
            width=key.width,
            height=key.height,
            precision=self.precision,
            optimization_level=OPTIMIZATION_LEVEL,
            timing_cache=str(times) if self._cache is not None else "",
        )


def _cuda() -> Cuda:
    from live_sr.cuda.bindings import Cuda  # needs a driver

    return Cuda()


def _weights(card: ModelCard) -> str:
    """The SHA-256 of the weights beside the model, in hex. Raises ModelError."""
    path = card.onnx.with_suffix(".safetensors")
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(
            f"the weights {path} of {card.label} cannot be read: {error.strerror}",
            'put them beside the model, or use backend = "openvino", which runs the .onnx',
        ) from error
