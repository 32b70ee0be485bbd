"""Loads built engines, and binds the network of each slot to memory. Needs no PyTorch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from live_sr.engines.cache.key import EngineKey
from live_sr.engines.tensorrt.library import OTHER, TensorRTLibrary, UnusablePlan
from live_sr.errors import EngineError
from live_sr.nvidia.cuda_api import CudaWithGraphs
from live_sr.pipeline.frame import Size

if TYPE_CHECKING:
    import tensorrt_rtx_bindings as trt  # TensorRT has the same classes

WARM_UPS = 3  # runs before a capture, since what TensorRT loads or allocates in the first runs must not be in the graph

log = logging.getLogger(__name__)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class TensorRTPlan:
    """A loaded engine. input and output: the names of its pictures. smallest, largest: the frames that it takes."""

    library: TensorRTLibrary
    engine: trt.ICudaEngine
    input: str
    output: str
    scale: int
    smallest: Size
    largest: Size

    @classmethod
    def from_bytes(cls, library: TensorRTLibrary, data: bytes, key: EngineKey) -> TensorRTPlan:
        """Raises UnusablePlan, or EngineError if the GPU has no memory for it."""
        engine: trt.ICudaEngine = library.load(data, key.label)
        modes = library.trt.TensorIOMode
        names: dict[Any, str] = {}
        shapes: dict[Any, Shape] = {}
        for number in range(engine.num_io_tensors):
            name = engine.get_tensor_name(number)
            mode, kind = engine.get_tensor_mode(name), engine.get_tensor_dtype(name)
            shape = tuple(engine.get_tensor_shape(name))
            if mode in names or kind != library.trt.DataType.UINT8 or not _is_picture(shape):
                raise UnusablePlan(f"its {name} is {kind} {shape}, which is not from one picture to one", OTHER)
            names[mode], shapes[mode] = name, shape
        if len(names) != 2:
            raise UnusablePlan(f"it has {len(names)} of the two pictures", OTHER)
        frame, picture = shapes[modes.INPUT], shapes[modes.OUTPUT]
        smallest, largest = _read_sizes(engine, names[modes.INPUT], frame)
        is_free = smallest != largest
        expected = (-1, -1) if is_free else (largest.height * key.scale, largest.width * key.scale)
        if largest != key.size or picture[1:3] != expected:
            raise UnusablePlan(f"it makes {picture} of {frame}, which is not {key.label}", OTHER)
        return cls(library, engine, names[modes.INPUT], names[modes.OUTPUT], key.scale, smallest, largest)


def _is_picture(shape: Shape) -> bool:
    return len(shape) == 4 and (shape[0], shape[3]) == (1, 4)


def _read_sizes(engine: trt.ICudaEngine, name: str, shape: Shape) -> tuple[Size, Size]:
    """The smallest and the largest frame: the same one, or those of the profile where height and width are free."""
    shapes = [shape, shape]
    if -1 in shape:
        least, _, most = engine.get_tensor_profile_shape(name, 0)
        shapes = [tuple(least), tuple(most)]
    smallest, largest = (Size(shape[2], shape[1]) for shape in shapes)
    return smallest, largest


class TensorRTStep:
    """The network of one slot: a context bound to memory of its own, for frames of `size`.

    make_context: makes the context. own_graph: it is captured as a CUDA graph here, if it can be; TensorRT-RTX captures
    its graphs itself, and does so again when it has compiled better kernels.
    """

    def __init__(
        self,
        plan: TensorRTPlan,
        cuda: CudaWithGraphs,
        stream: int,
        size: Size,
        *,
        make_context: Callable[[], trt.IExecutionContext | None] | None = None,
        own_graph: bool = True,
    ) -> None:
        """Raises EngineError, and then has freed everything."""
        self._library = plan.library
        self._library.logger.take_errors()
        with ExitStack() as making:
            context: trt.IExecutionContext = (make_context or plan.engine.create_execution_context)()
            if context is None:
                raise self._library.make_error("prepare a network")
            self._context: trt.IExecutionContext = context
            making.callback(setattr, self, "_context", None)  # TensorRT frees the memory of a context with it
            if plan.smallest != plan.largest and not context.set_input_shape(plan.input, _make_shape(size)):
                raise self._library.make_error(f"take frames of {size}")
            addresses = []
            for name, picture in ((plan.input, size), (plan.output, size.times(plan.scale))):
                addresses.append(cuda.allocate(4 * picture.width * picture.height))
                making.callback(cuda.free, addresses[-1])
                if not context.set_tensor_address(name, addresses[-1]):
                    raise self._library.make_error(f"bind {name}")
            self.input, self.output = addresses
            for _ in range(WARM_UPS):
                self._run(stream)
            self._launch = self._capture(cuda, stream, making) if own_graph else self._run
            self._owned = making.pop_all()

    def _capture(self, cuda: CudaWithGraphs, stream: int, owned: ExitStack) -> Callable[[int], None]:
        """What `enqueue` calls: the launch of the graph, or the network itself if it cannot be captured."""
        try:
            graph = cuda.capture_graph(lambda: self._run(stream), stream)
        except EngineError as error:
            if cuda.lost:
                raise
            log.warning("%s runs without a CUDA graph, which takes longer: %s", self._library.name, error.message)
            return self._run
        owned.callback(cuda.destroy_graph, graph)
        return lambda on: cuda.launch_graph(graph, on)

    def _run(self, stream: int) -> None:
        if not self._context.execute_async_v3(stream):
            raise self._library.make_error("run the network")

    def enqueue(self, stream: int) -> None:
        self._launch(stream)

    def close(self) -> None:
        self._owned.close()


def _make_shape(size: Size) -> Shape:
    return 1, size.height, size.width, 4
