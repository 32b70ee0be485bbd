#!/usr/bin/env bash
# TensorRT-RTX: on a machine without NVIDIA's driver, Runtime.get_engine_validity says INVALID for a good engine and
# names no reason, although it has one for this case.
#
# The call is there to find out, before an engine is loaded, whether it fits this machine, and why not. Its second value
# is a number made of the bits of EngineInvalidityDiagnostics. For bytes that are no engine it names MALFORMED_ENGINE,
# also without a driver. For an engine that was just compiled there (which needs no GPU) it is 0, while CUDA_ERROR is
# documented as "Incorrect installation of CUDA driver or runtime". So 0 must not be read as "nothing is wrong", and a
# program that tells its user the reasons has none to tell: it has to ask for a driver by itself first. (The reason is in
# the log only: "Error reading CUDA GPU properties ... cudaError 35".)
#
# Seen on 2026-11-28 with tensorrt-rtx-cu13-bindings and -libs 1.7.1.116, onnx 1.23.2, Python 3.11, Linux x86-64:
#     an engine:       INVALID, diagnostics 0
#     no engine:       INVALID, diagnostics 32 (MALFORMED_ENGINE)
# Exits with 1 when that is no longer so, and with 2 where a driver is installed. Takes a python3 of 3.11 to 3.14.
set -euo pipefail
if python3 -c 'import ctypes; ctypes.CDLL("libcuda.so.1")' 2> /dev/null; then
    echo "this machine has NVIDIA's driver, and what is shown here is only so without one"
    exit 2
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorrt-rtx-cu13-libs==1.7.1.116 \
    tensorrt-rtx-cu13-bindings==1.7.1.116 onnx==1.23.2

cat > "$folder/validity.py" <<'PY'
import tensorrt_rtx_bindings as trt
from onnx import TensorProto, helper

picture = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, 8, 8)) for name in ("small", "large")]
graph = helper.make_graph([helper.make_node("Relu", ["small"], ["large"])], "network", picture[:1], picture[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
builder = trt.Builder(logger)
network = builder.create_network(0)
assert trt.OnnxParser(network, logger).parse(model.SerializeToString())
config = builder.create_builder_config()
config.num_compute_capabilities = 1
config.set_compute_capability(trt.ComputeCapability.SM86, 0)
engine = bytes(builder.build_serialized_network(network, config))

runtime = trt.Runtime(logger)
for name, data in (("an engine", engine), ("no engine", bytes(len(engine)))):
    validity, diagnostics = runtime.get_engine_validity(data)
    bits = [flag.name for flag in trt.EngineInvalidityDiagnostics.__members__.values() if diagnostics & flag.value]
    print(f"{name}: {validity.name}, diagnostics {diagnostics}", *bits)
PY
seen=$("$folder/venv/bin/python" "$folder/validity.py" | grep -v "\[TRT\]")  # its log goes to standard output
echo "$seen"
[ "$seen" = "an engine: INVALID, diagnostics 0
no engine: INVALID, diagnostics 32 MALFORMED_ENGINE" ]
