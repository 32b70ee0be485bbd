#!/usr/bin/env bash
# The Python backend of Triton 2.51 with NumPy 2 in the model's environment: frames are garbled, and nothing says so.
#
# The stub program that runs a model was built for NumPy 1. `Tensor.as_numpy()` then has wrong values, and the server
# answers with status 200. (A `Tensor(name, array)` has no values at all, which the server does refuse.) Both are right
# over DLPack, which does not depend on how NumPy lays out its types: `np.from_dlpack(tensor)` and
# `Tensor.from_dlpack(name, array)`.
#
# Seen on 2026-11-29 with nvidia-pytriton 0.7.0 (tritonserver 2.51.0), numpy 2.4.6, Python 3.11, on Linux x86-64:
#     sent: 11,22,33,44 of shape 4
#     as_numpy: 11,11,11,11 of shape 4, status 200
#     Tensor: {"error":"output tensor shape does not match size of output for 'seen'"} status 500
#     dlpack: 11,22,33,44 of shape 4, status 200
# Exits with 1 when that is no longer so. Takes a python3 of 3.9 to 3.13 whose libpython can be loaded, glibc 2.35 or
# newer, curl, and 370 MB.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2> /dev/null; wait; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install --quiet --disable-pip-version-check)
"${pip[@]}" "numpy==2.4.6"
"${pip[@]}" --no-deps "nvidia-pytriton==0.7.0"
read -r version site libraries < <("$folder/venv/bin/python" -c 'if True:
    import sys, sysconfig
    print("%d.%d" % sys.version_info[:2], sysconfig.get_path("purelib"), sysconfig.get_config_var("LIBDIR"))')

for way in as_numpy Tensor dlpack; do
    mkdir -p "$folder/models/$way/1"
    cat > "$folder/models/$way/config.pbtxt" << CONFIG
name: "$way"
backend: "python"
max_batch_size: 0
input [ { name: "sent" data_type: TYPE_UINT8 dims: [ -1 ] } ]
output [ { name: "seen" data_type: TYPE_UINT8 dims: [ -1 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
CONFIG
done
write_model() { # WAY READ WRITE
    cat > "$folder/models/$1/1/model.py" << PY
import numpy as np
import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        sent = triton.get_input_tensor_by_name(requests[0], "sent")
        return [triton.InferenceResponse([$3("seen", np.array($2))])]
PY
}
write_model as_numpy "sent.as_numpy()" triton.Tensor.from_dlpack
write_model Tensor "np.from_dlpack(sent)" triton.Tensor
write_model dlpack "np.from_dlpack(sent)" triton.Tensor.from_dlpack

# The wheel keeps the backend and its stubs apart, one stub for each version of Python.
mkdir -p "$folder/backends/python"
ln -s "$site"/pytriton/tritonserver/backends/python/* "$folder/backends/python/"
ln -s "$site/pytriton/tritonserver/python_backend_stubs/$version/triton_python_backend_stub" "$folder/backends/python/"
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
PATH="$folder/venv/bin:$PATH" LD_LIBRARY_PATH="$site/nvidia_pytriton.libs:$libraries" \
    "$site/pytriton/tritonserver/bin/tritonserver" --model-repository="$folder/models" \
    --backend-directory="$folder/backends" --http-address=127.0.0.1 --http-port="$port" --allow-grpc=false \
    --allow-metrics=false --exit-timeout-secs=3 > "$folder/log" 2>&1 &
server=$!
until curl --silent --fail "http://127.0.0.1:$port/v2/health/ready"; do
    kill -0 "$server" || { cat "$folder/log" >&2; exit 2; }
    sleep 0.2
done

ask() { # MODEL
    curl --silent --write-out ' status %{http_code}' "http://127.0.0.1:$port/v2/models/$1/infer" \
        --data '{"inputs": [{"name": "sent", "datatype": "UINT8", "shape": [4], "data": [11, 22, 33, 44]}]}'
}
values() { sed -E 's/.*"shape":\[([^]]*)\].*"data":\[([^]]*)\].*( status .*)/\2 of shape \1,\3/'; }
echo "sent: 11,22,33,44 of shape 4"
read=$(ask as_numpy | values)
echo "as_numpy: $read"
written=$(ask Tensor | values)
echo "Tensor: $written"
right=$(ask dlpack | values)
echo "dlpack: $right"
[ "$right" = "11,22,33,44 of shape 4, status 200" ]
[ "$written" != "$right" ]
[ "$read" != "$right" ]
[ "${read##*, }" = "status 200" ]
