"""Compiles networks with TensorRT-RTX, in a process of its own: `python -m live_sr.engines.tensorrt.rtx_build`.

It needs no GPU: the engine is compiled ahead of time for a compute capability, and gets its kernels for the one GPU
when it is first run there.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from live_sr.engines.cache import build_worker
from live_sr.engines.tensorrt.library import TensorRTLibrary, load_tensorrt_rtx
from live_sr.engines.tensorrt.rtx_build_spec import RtxBuildSpec
from live_sr.engines.tensorrt.rtx_compatibility import get_member_name
from live_sr.errors import EngineError, MissingPart, ModelError
from live_sr.pipeline.frame import Size

if TYPE_CHECKING:
    import tensorrt_rtx_bindings as trt

MODULES = ("tensorrt_rtx_bindings", "tensorrt_rtx_libs", "onnx")  # what compiling needs
GET = 'pip install "live-sr[rtx]"'
OTHER = "use another model or engine"


def make(spec: RtxBuildSpec, say: build_worker.ReportStage) -> bytes:
    """The engine: BGRA uint8 (1, H, W, 4) in, BGRA uint8 (1, H * scale, W * scale, 4) out. Raises LiveSRError."""
    from live_sr.models.export import onnx_io  # needs the package onnx, which only the building process has to have

    network = onnx_io.wrap_onnx_io(spec.card, Size(spec.width, spec.height), spec.precision, dynamic=spec.dynamic)
    say("compiling")
    try:
        library = load_tensorrt_rtx()
    except (ImportError, OSError) as error:
        raise MissingPart(f"TensorRT-RTX cannot be used: {error}", GET) from error
    return compile_network(library, network, spec.capability, spec.profile, spec.card.label)


def compile_network(
    library: TensorRTLibrary,
    network: bytes,
    capability: str,
    profile: tuple[Size, Size, Size] | None = None,
    label: str = "the network",
    *,
    detailed: bool = False,
) -> bytes:
    """The engine for the network, a serialised ONNX model from one uint8 picture to one.

    profile: the smallest, the typical and the largest frame, if the network has dynamic shapes. label: for messages.
    detailed: log what each kernel reads and writes.
    Raises ModelError if TensorRT-RTX does not accept the network, EngineError if it cannot compile it.
    """
    try:
        builder: trt.Builder = library.trt.Builder(library.logger)
    except TypeError as error:  # what the bindings raise for a null pointer
        raise library.make_error("start") from error
    library.logger.take_errors()
    definition = builder.create_network(0)
    parser: trt.OnnxParser = library.trt.OnnxParser(definition, library.logger)
    if not parser.parse(network):
        raise ModelError(f"TensorRT-RTX does not accept {label}: {_describe_parser_errors(parser)}", OTHER)
    _check_pictures(library, definition, label)
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(library.trt.ComputeCapability, get_member_name(capability)), 0)
    if detailed:
        config.profiling_verbosity = library.trt.ProfilingVerbosity.DETAILED
    if profile is not None:
        shapes = builder.create_optimization_profile()
        shapes.set_shape(definition.get_input(0).name, *((1, size.height, size.width, 4) for size in profile))
        config.add_optimization_profile(shapes)
    library.logger.take_errors()
    engine = builder.build_serialized_network(definition, config)
    if engine is None:
        raise library.make_error(f"compile {label}", EngineError)
    return bytes(engine)


def _describe_parser_errors(parser: trt.OnnxParser) -> str:
    """The first error: later ones follow from it."""
    if not parser.num_errors:
        return "it does not say why"
    error = parser.get_error(0)
    lines = [line.strip() for line in str(error.desc()).splitlines()]
    # without a driver, every error brings one of CUDA's with it, which is not the cause
    words = " ".join(line for line in lines if line and not line.startswith("[checkMacros")).rstrip(".")
    node, operator = str(error.node_name()), str(error.node_operator())
    return f"{words} (at {node or 'an unnamed node'}, {operator})" if operator else words


def _check_pictures(library: TensorRTLibrary, definition: trt.INetworkDefinition, label: str) -> None:
    """Raises ModelError unless the network goes from one uint8 picture to one."""
    inputs = [definition.get_input(number) for number in range(definition.num_inputs)]
    outputs = [definition.get_output(number) for number in range(definition.num_outputs)]
    if (len(inputs), len(outputs)) != (1, 1):
        raise ModelError(f"{label} has {len(inputs)} inputs and {len(outputs)} outputs, not one of each", OTHER)
    for side, tensor in (("input", inputs[0]), ("output", outputs[0])):
        if tensor.dtype != library.trt.uint8:
            raise ModelError(f"the {side} of {label} is {tensor.dtype.name.lower()}, not uint8", OTHER)


if __name__ == "__main__":
    sys.exit(build_worker.run_worker(RtxBuildSpec, make))
