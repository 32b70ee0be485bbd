"""Builds a TensorRT engine of one of our networks, in a process of its own: `python -m live_sr.engine.tensorrt_build`.

What `live_sr.compiled` asks of such a process is in `compiled.child`. PyTorch and torch_tensorrt are imported when
there is something to build, and nowhere else on the way to a picture.

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

from live_sr.compiled import child
from live_sr.compiled.child import Say
from live_sr.errors import EngineError, LiveSRError, MissingPart
from live_sr.models.card import ModelCard

if TYPE_CHECKING:
    from torch.export import ExportedProgram

GET = 'pip install "live-sr[tensorrt]"'
MEMORY = ("out of memory", "outofmemory", "insufficient memory")
"""What TensorRT, CUDA and PyTorch say, in lower case."""

CONVERSION_LOG = "torch_tensorrt [TensorRT Conversion Context]"  # where torch_tensorrt sends what TensorRT tells


@dataclass(frozen=True)
class Spec:
    """What to build. onnx: the model's file, with the weights beside it. width, height: of the frames.

    timing_cache: a file of this user's with the times of kernels on this card, for shorter builds; "" for none.
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


def make(spec: Spec, say: Say) -> bytes:
    """The engine: BGRA uint8 (1, H, W, 4) in, BGRA uint8 (1, H * scale, W * scale, 4) out. Raises LiveSRError."""
    say("loading PyTorch")
    _check()
    told = _listen()
    try:
        program, example = _exported(spec, say)
        say("optimising")
        return _built(program, example, spec)
    except LiveSRError:
        raise
    except Exception as error:  # PyTorch's passes, torch_tensorrt and TensorRT raise whatever they raise
        raise reason(error, told, spec.card.label) from error


def _check() -> None:
    try:
        import torch
        import torch_tensorrt  # noqa: F401
    except Exception as error:  # it raises a bare Exception when it does not find TensorRT's libraries
        first = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise MissingPart(f"torch_tensorrt, which builds TensorRT's engines, cannot be used: {first}", GET) from error
    if not torch.cuda.is_available():
        raise MissingPart(
            "this PyTorch sees no NVIDIA card, and TensorRT's engines are built on the card",
            "install PyTorch with CUDA: on Windows from PyTorch's own index, PyPI has none there",
        )


def _exported(spec: Spec, say: Say) -> tuple[ExportedProgram, Any]:
    """The network with its conversions, on the card, and a picture that it takes."""
    import torch

    from live_sr.models.framed import framed

    network = framed(spec.card, spec.precision).cuda()
    say("exporting")
    example = torch.zeros((1, spec.height, spec.width, 4), dtype=torch.uint8, device="cuda")
    with torch.no_grad():
        return torch.export.export(network, (example,)), example


def _built(program: ExportedProgram, example: Any, spec: Spec) -> bytes:
    """Static shapes, one engine for all of it; in TensorRT 11 the types of the graph are the types it computes in."""
    import torch_tensorrt

    teach_uint8()
    with tempfile.TemporaryDirectory() as folder:
        # torch_tensorrt rewrites the file in place, and would give up the engine when it cannot
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
                max_aux_streams=0,  # our graph is a chain: nothing in it could run beside the rest
                disable_tf32=True,  # fp32 is asked for by who wants all of its digits
                timing_cache_path=str(times),
                tiling_optimization_level="none",
            )
        except Exception:
            _forget(spec.timing_cache)  # it may be what TensorRT stumbled over; without, only time is lost
            raise
        _keep(times, spec.timing_cache)
    return engine


def teach_uint8() -> None:
    """Lets torch_tensorrt convert the last operation of our graph, the cast to uint8.

    TensorRT has that cast, from fp16 and fp32 and at the end of a network (documentation of DataType.UINT8), but
    torch_tensorrt 2.13 converts only casts to other types: `to_copy_dtype_validator` in its aten_ops_converters.
    """
    import tensorrt as trt
    import torch
    import torch_tensorrt

    def to_uint8(node: torch.fx.Node, settings: object) -> bool:
        return node.kwargs.get("dtype") == torch.uint8

    def convert(context: Any, target: object, args: tuple[Any, ...], kwargs: object, name: str) -> Any:
        network: trt.INetworkDefinition = context.net
        cast = network.add_cast(args[0], trt.DataType.UINT8)
        cast.name = name
        return cast.get_output(0)

    register = torch_tensorrt.dynamo.conversion.dynamo_tensorrt_converter(
        torch.ops.aten._to_copy.default, capability_validator=to_uint8
    )
    register(convert)


def reason(error: Exception, told: list[str], label: str) -> EngineError:
    """What an exception and TensorRT's own errors (`told`) mean, as a sentence."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    words = [str(link) for link in chain]
    if any(mark in text.lower() for text in (*words, *told) for mark in MEMORY):
        return EngineError(
            f"the graphics card has no memory left to build {label}",
            "close other programs that use it while the engine is built, or choose a cheaper model",
        )
    for link in chain:
        if type(link).__name__ == "UnsupportedOperatorException":
            found = re.findall(r"aten(?:::|\.)(?!aten)(\w+)", str(chain[-1]))
            what = f"its operation {found[-1]}" if found else "one of its operations"
            return EngineError(f"TensorRT cannot run {label}: torch_tensorrt does not convert {what}", OTHER)
    last = told[-1] if told else next((text for text in reversed(words) if text), type(error).__name__)
    return EngineError(f"TensorRT cannot build {label}: {last.splitlines()[0].strip()}", OTHER)


OTHER = "use the cuda engine, or another model"


def _listen() -> list[str]:
    """What TensorRT tells as errors from now on: an exception of torch_tensorrt's seldom says it."""
    told: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    logging.getLogger(CONVERSION_LOG).addHandler(Keeping(logging.ERROR))
    return told


def _forget(timing_cache: str) -> None:
    if timing_cache:
        with suppress(OSError):
            Path(timing_cache).unlink(missing_ok=True)


def _keep(times: Path, timing_cache: str) -> None:
    """For the next build, whole or not at all."""
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
    sys.exit(child.run(Spec, make))
