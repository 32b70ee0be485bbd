#!/usr/bin/env bash
# OpenVINO with ONEDNN_MAX_CPU_ISA=AVX2, on a processor that has bf16: it goes on choosing bf16, and then cannot compile
# any network.
#
# oneDNN's variable makes it use no newer instructions than the named ones. OpenVINO takes FP16 out of its capabilities
# then, but leaves BF16 in, and computes in bf16 by default wherever that is listed. So who tries a program as on an
# older processor gets "object is not initialized" from a convolution. With AVX512_CORE it compiles, but still in bf16,
# which processors of that kind do not have: such a measurement says nothing about them.
#
# Seen on 2026-11-28 with openvino 2026.4.1 (Python 3.11), on Linux x86-64, an Intel Xeon with AMX:
#     no limit: BF16 listed, FP16 listed, compiles in bf16
#     AVX512_CORE: BF16 listed, FP16 not listed, compiles in bf16
#     AVX2: BF16 listed, FP16 not listed, cannot compile
#     AVX2 with INFERENCE_PRECISION_HINT=f32: compiles in f32
# With the hint, the limit works. Exits with 1 when that is no longer so, and with 2 on a processor without bf16 or fp16.
# Takes a python3 of 3.11 or newer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "openvino==2026.4.1"

cat > "$folder/compile.py" <<'PY'
import sys

import numpy as np
import openvino as ov
from openvino import opset13 as ops

core = ov.Core()
listed = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
picture = ops.parameter([1, 16, 32, 32], np.float32)
kernel = ops.constant(np.ones((16, 16, 3, 3), np.float32))
model = ov.Model([ops.convolution(picture, kernel, [1, 1], [1, 1], [1, 1], [1, 1])], [picture])
try:
    compiled = core.compile_model(model, "CPU", dict(setting.split("=") for setting in sys.argv[1:]))
    result = f"compiles in {compiled.get_property('INFERENCE_PRECISION_HINT').to_string()}"
except RuntimeError:
    result = "cannot compile"
has = [f"{kind} {'' if kind in listed else 'not '}listed" for kind in ("BF16", "FP16")]
print(", ".join((*has, result)))
PY

run() { "$folder/venv/bin/python" "$folder/compile.py" "$@"; }
free=$(run)
echo "no limit: $free"
case $free in
    "BF16 listed, FP16 listed"*) ;;
    *) echo "this processor has no bf16, or no fp16" >&2; exit 2 ;;
esac
half=$(ONEDNN_MAX_CPU_ISA=AVX512_CORE run)
echo "AVX512_CORE: $half"
old=$(ONEDNN_MAX_CPU_ISA=AVX2 run)
echo "AVX2: $old"
hinted=$(ONEDNN_MAX_CPU_ISA=AVX2 run INFERENCE_PRECISION_HINT=f32)
echo "AVX2 with INFERENCE_PRECISION_HINT=f32: $hinted"
[ "$half" = "BF16 listed, FP16 not listed, compiles in bf16" ]
[ "$old" = "BF16 listed, FP16 not listed, cannot compile" ]
[ "$hinted" = "BF16 listed, FP16 not listed, compiles in f32" ]
