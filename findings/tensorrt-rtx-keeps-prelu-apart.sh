#!/usr/bin/env bash
# TensorRT-RTX: an ONNX PRelu is never fused with the convolution before it, while the same function written as
# Max(x, slope * x) is.
#
# Super-resolution networks (SRCNN's followers, FSRCNN, SRVGGNetCompact, ...) have a PReLU after every convolution, and
# exporters write it as PRelu. Each one then becomes a kernel of its own ("MulLtSele" in the log) that reads and writes
# all features once more, which doubles the memory traffic between its layers. For slopes of at most 1, which trained
# networks have, Max(x, slope * x) is equal, and disappears in the convolution.
#
# Seen on 2026-11-28 with tensorrt-rtx-cu13-bindings and -libs 1.7.1.116, onnx 1.23.2, Python 3.11, Linux x86-64,
# compiled without a GPU for SM75, SM86 and SM120, fp16, four convolutions of 32 channels at 270x480:
#     PRelu: 9 kernels: one that reorders the input, and then convolution and MulLtSele four times
#     Max:   6 kernels: one that reorders the input, three CorrMulMax, and for the last layer, whose output is reordered,
#            a convolution and MulMaxTran
# Exits with 1 when that is no longer so. Takes a python3 of 3.11 to 3.14.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorrt-rtx-cu13-libs==1.7.1.116 \
    tensorrt-rtx-cu13-bindings==1.7.1.116 onnx==1.23.2 numpy==2.4.6

cat > "$folder/kernels.py" <<'PY'
import numpy as np
import tensorrt_rtx_bindings as trt
from onnx import TensorProto, helper, numpy_helper

LAYERS, CHANNELS, HEIGHT, WIDTH = 4, 32, 270, 480


def make(activation):
    rng = np.random.default_rng(1)
    nodes, weights, name = [], [], "features"
    for layer in range(LAYERS):
        filters = rng.normal(0, 0.05, (CHANNELS, CHANNELS, 3, 3)).astype(np.float16)
        slopes = rng.uniform(0, 0.5, (CHANNELS, 1, 1)).astype(np.float16)
        weights += [numpy_helper.from_array(filters, f"filters{layer}"), numpy_helper.from_array(slopes, f"slope{layer}")]
        nodes.append(helper.make_node("Conv", [name, f"filters{layer}"], [f"conv{layer}"], pads=[1] * 4))
        name = f"active{layer}"
        if activation == "PRelu":
            nodes.append(helper.make_node("PRelu", [f"conv{layer}", f"slope{layer}"], [name]))
        else:
            nodes.append(helper.make_node("Mul", [f"conv{layer}", f"slope{layer}"], [f"scaled{layer}"]))
            nodes.append(helper.make_node("Max", [f"conv{layer}", f"scaled{layer}"], [name]))
    shape = (1, CHANNELS, HEIGHT, WIDTH)
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT16, shape) for end in ("features", name)]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


class Log(trt.ILogger):
    def __init__(self):
        super().__init__()
        self.text = ""

    def log(self, severity, message):
        self.text += message + "\n"


def count_kernels(model, capability):
    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(0)
    assert trt.OnnxParser(network, log).parse(model)
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(capability, 0)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    assert builder.build_serialized_network(network, config)
    return log.text.partition("Layers:")[2].partition("I/O Tensors:")[0].count("LayerType: ")


for capability in (trt.ComputeCapability.SM75, trt.ComputeCapability.SM86, trt.ComputeCapability.SM120):
    print(capability.name, *(f"{kind} {count_kernels(make(kind), capability)}" for kind in ("PRelu", "Max")))
PY
seen=$("$folder/venv/bin/python" "$folder/kernels.py")
echo "$seen"
[ "$seen" = "SM75 PRelu 9 Max 6
SM86 PRelu 9 Max 6
SM120 PRelu 9 Max 6" ]
