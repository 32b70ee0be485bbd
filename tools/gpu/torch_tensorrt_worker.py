"""Compiles shipped networks with torch-tensorrt, without a GPU: what `check_torch_tensorrt` runs in its venv.

Reads jobs from standard input, as JSON, and writes a line of JSON for each. A network is built by `make` of
`live_sr.engines.tensorrt.build`, as for the live program. `replace_driver` and `replace_tensorrt` replace what needs
NVIDIA's driver, and nothing else.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from live_sr.engines.tensorrt import build  # noqa: E402  # found through the path above
from live_sr.errors import LiveSRError  # noqa: E402
from live_sr.models import zoo  # noqa: E402
from tools.gpu.torch_tensorrt_report import UNNAMED  # noqa: E402

GPU, MEMORY = (8, 6), 8 << 30  # what torch_tensorrt is told of the GPU: compute capability, bytes
NO_DRIVER = "cudaError 35"  # in an error that TensorRT-RTX logs before it compiles without a driver
PACKAGES = ("torch", "torch-tensorrt-rtx", "tensorrt-rtx-cu13-libs", "tensorrt-rtx-cu13-bindings", "numpy")


class BuildRecorder(logging.Handler):
    """Collects what is seen of one build: its stages, the network that reached the compiler, and the engines.

    engines: by compute capability, with bytes and seconds, or the words with which the compiler refused one. As a
    handler of torch_tensorrt's log it also collects the compiler's messages: those that are errors, and all lines.
    """

    def __init__(self) -> None:
        super().__init__()
        self.start()

    def start(self) -> None:
        """Forgets the build before."""
        self.errors: list[str] = []
        self.lines: list[str] = []
        self.network: dict[str, Any] = {}
        self.engines: dict[str, dict[str, Any]] = {}
        self._stages: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += record.getMessage().splitlines()
        if record.levelno >= logging.ERROR:
            self.errors.append(shorten(record.getMessage()))

    def say(self, stage: str) -> None:
        self._stages[stage] = time.perf_counter()

    def get_seconds(self) -> dict[str, float]:
        """How long our export and torch_tensorrt's conversion took, as far as the build came."""
        stages = {"export": ("exporting", "optimising"), "convert": ("optimising", "compiling")}
        return {
            name: round(self._stages[end] - self._stages[begin], 2)
            for name, (begin, end) in stages.items()
            if begin in self._stages and end in self._stages
        }


def replace_driver() -> None:
    """Lets PyTorch do without a driver: it describes a GPU, and everything stays on the processor.

    Called before torch_tensorrt is imported, which looks for the GPU while it is.
    """
    zeros = torch.zeros

    def zeros_on_processor(*size: Any, device: Any = None, **more: Any) -> torch.Tensor:
        return zeros(*size, device=None if "cuda" in str(device) else device, **more)

    replaced: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True,
        "current_device": lambda: 0,
        "get_device_capability": lambda device=None: GPU,
        "mem_get_info": lambda device=None: (MEMORY, MEMORY),
        "get_rng_state": lambda device="cuda": torch.get_rng_state(),
        "set_rng_state": lambda state, device="cuda": None,
        **dict.fromkeys(("synchronize", "empty_cache", "ipc_collect"), lambda device=None: None),
    }
    for name, function in replaced.items():
        setattr(torch.cuda, name, function)
    torch.nn.Module.cuda = lambda module, device=None: module  # type: ignore[assignment, method-assign]
    torch.zeros = zeros_on_processor


def replace_tensorrt(recorder: BuildRecorder, capabilities: list[str]) -> None:
    """Ends each build before the compiled engine is loaded, which needs a driver, and compiles for more GPUs.

    torch_tensorrt names no compute capability and has no setting for it. The engines for `capabilities` are compiled
    from the network that it made, with its other settings.
    """
    trt: Any = sys.modules["tensorrt"]  # torch_tensorrt has put the bindings of TensorRT-RTX there
    compiler = trt.Builder

    class Builder(compiler):  # type: ignore[misc, valid-type]
        def build_serialized_network(self, network: Any, config: Any) -> Any:
            recorder.say("compiling")
            recorder.network = describe_network(network)
            engine = self.compile(network, config, UNNAMED)
            config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # so that the log lists the kernels
            for capability in capabilities:
                config.num_compute_capabilities = 1
                config.set_compute_capability(getattr(trt.ComputeCapability, capability), 0)
                self.compile(network, config, capability)
            return engine

        def compile(self, network: Any, config: Any, capability: str) -> Any:
            recorder.lines.clear()
            known, begun = len(recorder.errors), time.perf_counter()
            engine = compiler.build_serialized_network(self, network, config)
            seconds = round(time.perf_counter() - begun, 2)
            if engine is None:
                words = [*recorder.errors[known:], "the compiler does not say why"]
                recorder.engines[capability] = {"refused": words[0]}
            else:
                made = {"bytes": engine.nbytes, "seconds": seconds}
                recorder.engines[capability] = made | describe_kernels("\n".join(recorder.lines))
            return engine

    class LoadedEngine:
        """What torch_tensorrt asks of an engine that is loaded: its bytes, and which outputs are inputs as well."""

        def __init__(self, data: Any) -> None:
            self.data = data

        def get_aliased_input_tensor(self, name: str) -> None:
            return None

        def serialize(self) -> Any:
            return self.data

    class Runtime:
        def __init__(self, logger: Any) -> None:
            pass

        def deserialize_cuda_engine(self, data: Any) -> LoadedEngine:
            return LoadedEngine(data)

    trt.Builder, trt.Runtime = Builder, Runtime


def describe_network(network: Any) -> dict[str, Any]:
    """The number of layers, and each input and output as "uint8 1x540x960x4"."""

    def describe(tensor: Any) -> str:
        return f"{tensor.dtype.name.lower()} {'x'.join(map(str, tuple(tensor.shape)))}"

    return {
        "layers": network.num_layers,
        "inputs": [describe(network.get_input(index)) for index in range(network.num_inputs)],
        "outputs": [describe(network.get_output(index)) for index in range(network.num_outputs)],
    }


def describe_kernels(log: str) -> dict[str, int]:
    """What the compiler's log says of an engine: its kernels, and bytes. Nothing if the log does not list the kernels.

    moved: read and written by all kernels for one frame.
    """
    from tools.gpu.compile_report import read_log  # it imports the bindings, which torch_tensorrt must do first

    said = read_log(log, 0, 0.0)
    if not said.kernels:
        return {}
    return {"kernels": len(said.kernels), "moved": said.moved, "activations": said.activations}


def run_job(job: dict[str, Any], recorder: BuildRecorder) -> dict[str, Any]:
    """The job with what came of it; `refused` says in the compiler's words why nothing did."""
    recorder.start()
    result = dict(job)
    try:
        if job["kind"] == "network":
            build.make(make_spec(job), recorder.say)
        else:
            compile_reordered_uint8(job, recorder)
    except LiveSRError as error:
        result["refused"] = shorten(error.message)
    return result | {
        "seconds": recorder.get_seconds(),
        "network": recorder.network,
        "engines": recorder.engines,
    }


def make_spec(job: dict[str, Any]) -> build.TensorRTBuildSpec:
    card = zoo.find(job["model"], job["scale"])
    return build.TensorRTBuildSpec(
        model=card.name,
        scale=card.scale,
        multiple=card.multiple,
        onnx=str(card.onnx),
        width=job["width"],
        height=job["height"],
        precision=job["precision"],
        optimization_level=build.OPTIMIZATION_LEVEL,
    )


class ReorderedUint8(torch.nn.Module):
    """Reorders the bytes before it casts them, which TensorRT cannot do. `IOWrapper` casts first."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return (picture.permute(0, 3, 1, 2).to(torch.float16) + 1).to(torch.uint8)


def compile_reordered_uint8(job: dict[str, Any], recorder: BuildRecorder) -> None:
    """Builds a graph that must be refused; if it is not, the other results prove little. Raises EngineError."""
    example = torch.zeros((1, job["height"], job["width"], 4), dtype=torch.uint8)
    program = torch.export.export(ReorderedUint8(), (example,))
    try:
        build.build_engine(program, example, make_spec(job))
    except Exception as error:  # of every kind, as in `make`
        raise build.make_build_error(error, recorder.errors, "a graph that reorders uint8") from error


def shorten(words: str) -> str:
    """In one line, without folders of this machine."""
    return re.sub(r"\S*/(?=[\w.-]+\.(?:py|so))", "", " ".join(words.split()))[:400]


def main() -> int:
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)  # whatever a library prints goes to standard error
        request = json.load(sys.stdin)
        recorder = BuildRecorder()
        replace_driver()
        importlib.import_module("torch_tensorrt")  # only now
        compiler_log = logging.getLogger(build.CONVERSION_LOG)
        compiler_log.addFilter(lambda record: NO_DRIVER not in record.getMessage())
        compiler_log.addHandler(recorder)
        compiler_log.setLevel(logging.DEBUG)
        compiler_log.propagate = False
        replace_tensorrt(recorder, request["capabilities"])
        print(json.dumps({"versions": {name: metadata.version(name) for name in PACKAGES}}), file=out, flush=True)
        for job in request["jobs"]:
            print(json.dumps(run_job(job, recorder)), file=out, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
