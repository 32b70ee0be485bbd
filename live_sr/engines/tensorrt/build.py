"""Builds a TensorRT engine of a shipped network, in a process of its own: `python -m live_sr.engines.tensorrt.build`.

`live_sr.engines.cache.build_worker` defines what such a process has to do. PyTorch and torch_tensorrt are imported only
to build, never to run an engine. Either flavour of torch_tensorrt will do, that for TensorRT or that for TensorRT-RTX:
nothing here imports their bindings, see `flavour`.

int8 and fp8 would need a network with pairs of quantize and dequantize operations (nvidia-modelopt's `mtq.quantize`,
calibrated with frames, then exported in its `export_torch_mode`): TensorRT 11 has no calibration of its own.
"""

from __future__ import annotations

import logging
import re
import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from live_sr.engines.cache import build_worker
from live_sr.engines.cache.build_worker import ReportStage
from live_sr.engines.tensorrt.flavour import RTX, find_flavour
from live_sr.errors import EngineError, LiveSRError, MissingPart
from live_sr.models.card import ModelCard

if TYPE_CHECKING:
    import tensorrt as trt
    from torch.export import ExportedProgram

OPTIMIZATION_LEVEL = 3  # TensorRT's own default, of 0 to 5
GET = 'pip install "live-sr[tensorrt]"'
MEMORY = ("out of memory", "outofmemory", "insufficient memory")
"""How TensorRT, CUDA and PyTorch report it, in lower case."""

CONVERSION_LOG = "torch_tensorrt [TensorRT Conversion Context]"  # where torch_tensorrt sends the messages of TensorRT


@dataclass(frozen=True)
class TensorRTBuildSpec:
    """What to build. onnx: the model's file, with the weights beside it. width, height: of the frames.

    timing_cache: a file of this user with times of kernels on this GPU, which shorten builds; empty: there is none.
    """

    model: str
    scale: int
    multiple: int
    onnx: str
    width: int
    height: int
    precision: str
    optimization_level: int
    timing_cache: str = ""

    @property
    def card(self) -> ModelCard:
        return ModelCard(self.model, self.scale, Path(self.onnx), multiple=self.multiple)


def make(spec: TensorRTBuildSpec, say: ReportStage) -> bytes:
    """The engine: BGRA uint8 (1, H, W, 4) in, BGRA uint8 (1, H * scale, W * scale, 4) out. Raises LiveSRError."""
    say("loading PyTorch")
    _check_packages()
    errors = _collect_errors()
    try:
        program, example = _export(spec, say)
        say("optimising")
        return build_engine(program, example, spec)
    except LiveSRError:
        raise
    except Exception as error:  # PyTorch, torch_tensorrt and TensorRT raise exceptions of every kind
        raise make_build_error(error, errors, spec.card.label) from error


def _check_packages() -> None:
    try:
        import torch
        import torch_tensorrt  # noqa: F401
    except Exception as error:  # torch_tensorrt raises a bare Exception if it does not find TensorRT's libraries
        first = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise MissingPart(f"torch_tensorrt, which builds TensorRT's engines, cannot be used: {first}", GET) from error
    if not torch.cuda.is_available():
        raise MissingPart(
            "this PyTorch sees no NVIDIA GPU, and TensorRT's engines are built on the GPU",
            "install PyTorch with CUDA: on Windows from PyTorch's own index, PyPI has none there",
        )


def _export(spec: TensorRTBuildSpec, say: ReportStage) -> tuple[ExportedProgram, Any]:
    """The network with its conversions, on the GPU, and an input for it."""
    import torch

    from live_sr.models.export.torch_io import wrap_torch_io

    network = wrap_torch_io(spec.card, spec.precision, prelu_as_max=find_flavour() is RTX).cuda()
    say("exporting")
    example = torch.zeros((1, spec.height, spec.width, 4), dtype=torch.uint8, device="cuda")
    with torch.no_grad():
        return torch.export.export(network, (example,)), example


def build_engine(program: ExportedProgram, example: Any, spec: TensorRTBuildSpec) -> bytes:
    """One engine with static shapes. TensorRT 11 and TensorRT-RTX compute in the types of the graph.

    TensorRT-RTX times no kernels while it builds, so it leaves `spec.timing_cache` alone.
    """
    import torch_tensorrt

    register_uint8_cast()
    with tempfile.TemporaryDirectory() as folder:
        # torch_tensorrt rewrites the file in place, and fails if it cannot: so it gets a copy
        times = Path(folder) / "timing.bin"
        if spec.timing_cache:
            with suppress(OSError):
                shutil.copyfile(spec.timing_cache, times)
        try:
            engine: bytes = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
                program,
                arg_inputs=[example],
                min_block_size=1,
                require_full_compilation=True,
                optimization_level=spec.optimization_level,
                max_aux_streams=0,  # the graph is a chain: no two parts of it could run in parallel
                disable_tf32=True,  # whoever chooses fp32 wants its full precision
                timing_cache_path=str(times),
                tiling_optimization_level="none",
            )
        except Exception:
            _discard_timing_cache(spec.timing_cache)  # it may be the cause; without it only time is lost
            raise
        _keep_timing_cache(times, spec.timing_cache)
    return engine


def register_uint8_cast() -> None:
    """Makes torch_tensorrt convert the last operation of the graph, the cast to uint8.

    TensorRT has that cast, from fp16 and fp32 and at the end of a network (documentation of DataType.UINT8), but
    torch_tensorrt 2.13 and 2.14 convert only casts to other types: `to_copy_dtype_validator` in their
    aten_ops_converters.
    """
    import torch
    import torch_tensorrt

    def to_uint8(node: torch.fx.Node, settings: object) -> bool:
        return node.kwargs.get("dtype") == torch.uint8

    def convert(context: Any, target: object, args: tuple[Any, ...], kwargs: object, name: str) -> Any:
        network: trt.INetworkDefinition = context.net
        levels: trt.ITensor = args[0]
        cast = network.add_cast(levels, type(levels.dtype).UINT8)  # of the bindings of either flavour
        cast.name = name
        return cast.get_output(0)

    register = torch_tensorrt.dynamo.conversion.dynamo_tensorrt_converter(
        torch.ops.aten._to_copy.default, capability_validator=to_uint8
    )
    register(convert)


def make_build_error(error: Exception, messages: list[str], label: str) -> EngineError:
    """What an exception and TensorRT's own error messages mean, as a sentence."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    words = [str(link) for link in chain]
    if any(mark in text.lower() for text in (*words, *messages) for mark in MEMORY):
        return EngineError(
            f"the GPU has no memory left to build {label}",
            "close other programs that use it while the engine is built, or choose a cheaper model",
        )
    for link in chain:
        if type(link).__name__ == "UnsupportedOperatorException":
            found = re.findall(r"aten(?:::|\.)(?!aten)(\w+)", str(chain[-1]))
            what = f"its operation {found[-1]}" if found else "one of its operations"
            return EngineError(f"TensorRT cannot run {label}: torch_tensorrt does not convert {what}", OTHER)
    last = messages[-1] if messages else next((text for text in reversed(words) if text), type(error).__name__)
    return EngineError(f"TensorRT cannot build {label}: {last.splitlines()[0].strip()}", OTHER)


OTHER = "use the cuda engine, or another model"


def _collect_errors() -> list[str]:
    """A list that gets TensorRT's error messages from now on: torch_tensorrt's exceptions seldom have them."""
    messages: list[str] = []

    class ErrorHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logging.getLogger(CONVERSION_LOG).addHandler(ErrorHandler(logging.ERROR))
    return messages


def _discard_timing_cache(timing_cache: str) -> None:
    if timing_cache:
        with suppress(OSError):
            Path(timing_cache).unlink(missing_ok=True)


def _keep_timing_cache(times: Path, timing_cache: str) -> None:
    """Keeps the times for the next build; the file is replaced atomically."""
    if not timing_cache:
        return
    part = Path(f"{timing_cache}.{times.parent.name}.part")
    with suppress(OSError):
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(times, part)
            part.replace(timing_cache)
        finally:
            part.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(build_worker.run_worker(TensorRTBuildSpec, make))
