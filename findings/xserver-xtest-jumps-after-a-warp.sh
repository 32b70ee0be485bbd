#!/usr/bin/env bash
# X.Org's server: with a "Coordinate Transformation Matrix" on the XTEST pointer, a relative movement by XTEST that follows
# an XWarpPointer starts from another place than where the pointer is, if XTEST was also the last to move it before.
#
# The server carries out XWarpPointer through the XTEST device. The pointer arrives at the right place, but the device
# remembers that place multiplied with its matrix, although the place was one of the screen, and the next relative
# movement (xdotool mousemove_relative, remote control, on-screen mice) is added to that. The movement after it is right.
# Such a matrix is a common way to change the speed of the pointer: it is set for every pointer device at once.
#
# Seen on 2026-11-28 with Debian's xvfb 2:21.1.7-3+deb12u13 and python-xlib 0.33:
#     warped to 400, 400
#     then moved by 8, 8 with a matrix of 1/4 (so by 2, 2): at 101, 101
#     then again: at 103, 103
# Expected are 402, 402 and 404, 404. Without the matrix it is right, and so are other devices with a matrix. A program can
# move the pointer by XTEST instead of by XWarpPointer, with the device's own matrix in place meanwhile.
# Exits with 1 when that is no longer so. Takes Xvfb, and a python3 of 3.9 or newer.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "python-xlib==0.33" 2>"$folder/pip" || { cat "$folder/pip" >&2; exit 2; }
mkfifo "$folder/number"
Xvfb -displayfd 3 -screen 0 800x800x24 -nolisten tcp -noreset 3>"$folder/number" 2>/dev/null &
server=$!
read -r number <"$folder/number"
dpkg-query --show --showformat='${Package} ${Version}\n' xvfb

DISPLAY=":$number" "$folder/venv/bin/python" - <<'PY'
import struct
import sys

from Xlib import X
from Xlib.display import Display
from Xlib.ext import xtest

display = Display()
root = display.screen().root
display.xinput_query_version()
device = next(d.deviceid for d in display.xinput_query_device(0).devices if "XTEST pointer" in d.name)
name, number = display.intern_atom("Coordinate Transformation Matrix"), display.intern_atom("FLOAT")
matrix = struct.unpack("=9I", struct.pack("=9f", 0.25, 0, 0, 0, 0.25, 0, 0, 0, 1))
display.xinput_change_device_property(device, name, number, X.PropModeReplace, (32, list(matrix)))
xtest.fake_input(display, X.MotionNotify, True, x=8, y=8)
root.warp_pointer(400, 400)
display.sync()
places = []
for _ in range(3):
    at = root.query_pointer()
    places.append((at.root_x, at.root_y))
    xtest.fake_input(display, X.MotionNotify, True, x=8, y=8)
    display.sync()
print("warped to %d, %d" % places[0])
print("then moved by 8, 8 with a matrix of 1/4 (so by 2, 2): at %d, %d" % places[1])
print("then again: at %d, %d" % places[2])
sys.exit(places[0] != (400, 400) or places[1] == (402, 402) or places[2] != (places[1][0] + 2, places[1][1] + 2))
PY
