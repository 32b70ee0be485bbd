#!/usr/bin/env bash
# wgpu 0.32 (PyPI): queue.on_submitted_work_done_async() raises a TypeError, and so does its _sync twin. Its callback has
# three parameters, and the library that it is built around, wgpu-native 29, wants four: a message was added as the
# second. Who wants to know when a card has finished maps some bytes for reading in its place, which waits as well.
#
# Needs an adapter, such as Mesa's software driver (Debian: mesa-vulkan-drivers libvulkan1).
# Seen on 2026-11-29 with wgpu 0.32.0 (Python 3.11), Mesa 22.3.6, on Linux x86-64:
#     on_submitted_work_done_async: TypeError
#     mapping 4 bytes: works
# Exits with 1 when that is no longer so, and with 2 without an adapter. Takes a python3 of 3.11 or newer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "wgpu==0.32.0"

cat > "$folder/wait.py" <<'PY'
import sys

import wgpu

adapters = wgpu.gpu.enumerate_adapters_sync()
if not adapters:
    sys.exit(2)
device = adapters[0].request_device_sync()
device.queue.submit([device.create_command_encoder().finish()])
try:
    device.queue.on_submitted_work_done_async().sync_wait()
    print("on_submitted_work_done_async: works")
except TypeError:
    print("on_submitted_work_done_async: TypeError")
buffer = device.create_buffer(size=4, usage=wgpu.BufferUsage.MAP_READ | wgpu.BufferUsage.COPY_DST)
buffer.map_sync(wgpu.MapMode.READ)
print("mapping 4 bytes: works")
PY

said=$("$folder/venv/bin/python" "$folder/wait.py" 2>/dev/null) || exit $?
echo "$said"
[ "$said" = $'on_submitted_work_done_async: TypeError\nmapping 4 bytes: works' ]
