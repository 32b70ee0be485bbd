#!/usr/bin/env bash
# python-xlib: a connection to a second X server sends the first connection's extension requests to other extensions.
#
# Every X server numbers its extensions itself, and a client asks for the numbers when it connects. python-xlib keeps
# them in two dictionaries of the class Xlib.protocol.display.Display, so all connections of a process share those of
# the last server. With two servers that have different extensions (Xvfb and Xwayland, a nested Xephyr, ssh -X), a
# request on the first connection reaches another extension and is answered by it, without an error; or the second
# connection fails with a TypeError about the table of events.
#
# Seen on 2026-11-28 with python-xlib 0.33 (Python 3.11) and Xvfb 21.1.7 of Debian 12, on Linux x86-64. The version of
# RANDR on a connection to a server with all extensions:
#     alone:                                            1.5
#     after connecting to a server without RENDER:      0.11, the version of RENDER
#     after connecting to a server without MIT-SHM:     TypeError: 'type' object does not support item assignment
# Until that changes, give each such connection dictionaries of its own: assign copies to `event_classes` and
# `extension_major_opcodes` of the class before connecting, and use one connection at a time.
# Exits with 1 when that is no longer so. Takes a python3 of 3.11 or newer and Xvfb (Debian: xvfb).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"

cat > "$folder/ask.py" <<'PY'
import contextlib
import os
import subprocess
import sys
from importlib.metadata import version

from Xlib.display import Display


@contextlib.contextmanager
def start_server(*options):
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "320x240x24", "-nolisten", "tcp", *options]
    server = subprocess.Popen(command, pass_fds=(writing,), stderr=subprocess.DEVNULL)
    os.close(writing)
    number = b""
    while not number.endswith(b"\n"):
        part = os.read(reading, 64)
        assert part, "Xvfb did not start"
        number += part
    try:
        yield f":{int(number)}"
    finally:
        server.terminate()
        server.wait()


def ask(first, second):
    """The version of RANDR on the first server; `second`: another one to connect to before, if any."""
    connection = Display(first)
    if second:
        Display(second)
    answer = connection.xrandr_query_version()
    return f"{answer.major_version}.{answer.minor_version}"


if len(sys.argv) > 1:
    try:
        print(ask(*sys.argv[1:]))
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
    sys.exit()


def ask_in_new_process(*displays):
    return subprocess.run([sys.executable, __file__, *displays], capture_output=True, text=True, check=True).stdout.strip()


print("python-xlib", version("python-xlib"))
with start_server() as whole, start_server("-extension", "RENDER") as less, start_server("-extension", "MIT-SHM") as other:
    alone, wrong, failed = (ask_in_new_process(whole, second) for second in ("", less, other))
print("alone:", alone)
print("after connecting to a server without RENDER:", wrong)
print("after connecting to a server without MIT-SHM:", failed)
sys.exit(0 if wrong != alone and failed.startswith("TypeError") else 1)
PY

"$folder/venv/bin/pip" install -q --disable-pip-version-check python-xlib==0.33 six==1.17.0
"$folder/venv/bin/python" "$folder/ask.py"
