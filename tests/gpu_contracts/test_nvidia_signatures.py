"""The NVIDIA path's calls, held against the signatures in the libraries' real wheels; nothing here needs a card.

The libraries are not imported, and most of them are not installed where this runs. What they have is in
signatures_nvidia.toml, which `tools/signatures/read.py --nvidia` writes.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from contract_check import find_problems
from signature_check import FACTS, ROOT, check, imports_of

SOURCES = sorted(
    path
    for folder in ("live_sr", "tools")
    for path in (ROOT / folder).rglob("*.py")
    if imports_of(path.read_text("utf-8"))
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_call_of_a_library_is_one_that_it_has(path: Path) -> None:
    findings = check(path.read_text("utf-8"))
    assert findings.problems == []
    assert findings.checked, f"nothing in {path} could be compared"


def test_all_who_call_these_libraries_are_found() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in SOURCES}
    assert {"live_sr/nvidia/cuda_runtime.py", "live_sr/engines/tensorrt/runtime.py", "live_sr/nvidia/nvml.py"} <= names


@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        ("live_sr.engines.tensorrt.engine:TensorRTEngine", "Upscaler"),
        ("live_sr.engines.torch_cuda.engine:CudaEngine", "Upscaler"),
        ("live_sr.nvidia.windowed_engine:WindowedEngine", "WindowEngine"),
    ],
)
def test_an_engine_for_a_card_fulfils_its_contract(path: str, protocol: str) -> None:
    assert find_problems(path, protocol) == []


def test_the_libraries_read_are_those_of_the_path() -> None:
    versions = {module: facts["version"].split(".")[:2] for module, facts in FACTS.items()}
    assert versions["tensorrt"] == ["11", "0"]  # torch_tensorrt 2.13 asks for exactly this one
    assert versions["torch_tensorrt"] == ["2", "13"]
    assert versions["cuda.bindings.runtime"][0] == "13"


RIGHT = [
    "import tensorrt as trt\nr = trt.Runtime(trt.Logger(trt.Logger.WARNING))\ne = r.deserialize_cuda_engine(b'')\n"
    "c = e.create_execution_context()\nc.set_tensor_address('x', 1)\nc.execute_async_v3(stream_handle=2)",
    "import tensorrt as trt\nclass L(trt.ILogger):\n  def __init__(self):\n    trt.ILogger.__init__(self)\n"
    "  def log(self, severity, msg): ...",
    "import tensorrt as trt\ndef f(e: trt.ICudaEngine | None):\n"
    "  return e.get_tensor_mode('x') == trt.TensorIOMode.INPUT",
    "from cuda.bindings import runtime as cudart\nerr, p = cudart.cudaMalloc(8)\n"
    "cudart.cudaMemcpyAsync(p, p, 8, cudart.cudaMemcpyKind.cudaMemcpyHostToDevice, 0)",
    "import onnxruntime as ort\no = ort.SessionOptions()\no.add_session_config_entry('a', 'b')\n"
    "s = ort.InferenceSession('m', sess_options=o)\nb = s.io_binding()\nb.bind_output('y', 'cuda', 0, int, [1], 7)",
    "import torch_tensorrt\ntorch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(1, arg_inputs=[])",
    "import onnxruntime as ort\nv = ort.OrtValue.ortvalue_from_numpy(1, 'cuda', 0)\nv.data_ptr()",
    "import tensorrt as trt\ndef f(x: trt.Runtime):\n  x = 3\n  return x.real",
    "def f():\n  import pynvml\n  return pynvml.nvmlDeviceGetClockInfo(1, pynvml.NVML_CLOCK_SM)",
]


@pytest.mark.parametrize("source", RIGHT)
def test_what_is_right_is_passed(source: str) -> None:
    findings = check(source)
    assert findings.problems == [] and findings.checked


WRONG = [
    ("import tensorrt as trt\ntrt.Runtim(1)", "tensorrt has no Runtim"),
    ("import tensorrt as trt\ntrt.Runtime()", "is not given logger"),
    (
        "import tensorrt as trt\nr = trt.Runtime(1)\nr.deserialize_engine(b'')",
        "tensorrt.Runtime has no deserialize_engine",
    ),
    (
        "import tensorrt as trt\ndef f(e: trt.ICudaEngine):\n  c = e.create_execution_context()\n"
        "  c.execute_async_v2(1)",
        "IExecutionContext has no execute_async_v2",
    ),
    ("import tensorrt as trt\ndef f(c: trt.IExecutionContext):\n  c.set_tensor_address('x')", "is not given memory"),
    (
        "import tensorrt as trt\ndef f(c: trt.IExecutionContext):\n  c.execute_async_v3(stream=1)",
        "has no parameter stream",
    ),
    ("import tensorrt as trt\nprint(trt.TensorIOMode.IN)", "tensorrt.TensorIOMode has no IN"),
    ("import tensorrt as trt\nclass L(trt.ILogger):\n  def log(self, message): ...", "is called with 2 arguments"),
    (
        "import tensorrt as trt\nclass S:\n  def __init__(self, e: trt.ICudaEngine):\n"
        "    self._context = e.create_execution_context()\n  def run(self):\n    self._context.execute()",
        "IExecutionContext has no execute",
    ),
    ("from cuda.bindings import runtime as cudart\ncudart.cudaMemcpy3D2(1)", "has no cudaMemcpy3D2"),
    ("from cuda.bindings import runtime as cudart\ncudart.cudaMemcpyAsync(1, 2, 3, 4)", "is not given stream"),
    ("from cuda.bindings import runtime as cudart\ncudart.cudaMemcpyKind.cudaMemcpyUp", "has no cudaMemcpyUp"),
    ("import cuda.bindings.runtime\ncuda.bindings.runtime.cudaMallocs(1)", "has no cudaMallocs"),
    (
        "import onnxruntime as ort\ns = ort.InferenceSession('m')\nb = s.io_binding()\nb.bind_inputs('x')",
        "has no bind_inputs",
    ),
    ("import onnxruntime as ort\no = ort.SessionOptions()\no.add_session_config_entry('a')", "is not given arg1"),
    ("import onnxruntime as ort\no = ort.SessionOptions()\no.threads = 3", "SessionOptions has no threads"),
    ("import onnxruntime as ort\nort.OrtValue.ortvalue_from_numpy()", "is not given numpy_obj"),
    # its **kwargs would swallow that without a word
    (
        "import torch_tensorrt as t\n"
        "t.dynamo.convert_exported_program_to_serialized_trt_engine(1, enabled_precisions=2)",
        "has no parameter enabled_precisions",
    ),
    ("import torch_tensorrt\ntorch_tensorrt.dynamo.converts(1)", "has no converts"),
    ("import pynvml\npynvml.nvmlDeviceGetClockInfo(1)", "is not given type"),
    ("import pynvml\npynvml.nvmlInit(1, 2, 3)", "takes"),
    ("import tensorrt as trt\ntrt.Runtime(1, logger=2)", "is given logger twice"),
]


@pytest.mark.parametrize(("source", "problem"), WRONG)
def test_what_is_wrong_is_told(source: str, problem: str) -> None:
    assert any(re.search(re.escape(problem), found) for found in check(source).problems), check(source).problems


@pytest.mark.parametrize(
    "path",
    [
        "live_sr.engines.tensorrt.engine:TensorRTEngine",
        "live_sr.engines.tensorrt.rtx_engine:RtxEngine",
        "live_sr.engines.torch_cuda.engine:CudaEngine",
        "live_sr.engines.live.presenter:Presenter",
    ],
)
def test_engines_on_cards_keep_the_contract_of_all_engines(path: str) -> None:
    assert find_problems(path, "Upscaler") == []
